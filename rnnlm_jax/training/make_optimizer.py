"""The optimiser of a configuration: ``chain(clip_by_global_norm(c), rule(schedule))`` of optax."""

from typing import Any, NamedTuple

import jax
import optax

from rnnlm_jax.array_types import Tree
from rnnlm_jax.arrays.leaf_names import path_name
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.training.leaf_patterns import matches, split_patterns
from rnnlm_jax.training.learning_rates import LearningRate, find_kind, make_learning_rate
from rnnlm_jax.training.optimizers import make_rule, mask_option
from rnnlm_jax.training.plateau import Plateau
from rnnlm_jax.training.schedules import Length

#: In place of the name of an update rule: a transformation that a program passed to ``train``.
GIVEN = "given"

#: In place of patterns of parameters: all those with two axes or more.
MATRICES = "matrices"

#: The pattern of all parameters.
ALL = "*"

#: Length of a job that is not known, where only shapes and programs are wanted.
UNKNOWN_LENGTH = Length.of_equal_epochs(steps=10**9, steps_per_epoch=10**6)


class Optimizer(NamedTuple):
    """What updates the parameters, and its learning rate."""

    transform: optax.GradientTransformation
    learning_rate: LearningRate | None
    """None for a transformation that a program passed to ``train``."""

    @property
    def plateau(self) -> Plateau | None:
        """The rule that lowers the learning rate on a plateau of the validation loss, if there is one."""
        return None if self.learning_rate is None else self.learning_rate.plateau


def make_optimizer(
    config: OptimizerConfig, length: Length = UNKNOWN_LENGTH, *, given: optax.GradientTransformation | None = None
) -> Optimizer:
    """Return the optimiser of a configuration.

    Its transformation is a chain: clipping, L2 weight decay, the update rule with its learning rate, and the scale of
    a plateau schedule; parts that are off are left out. Clipping is ``g ← c g / ‖g‖`` where ``‖g‖ ≥ c`` (Pascanu,
    Mikolov & Bengio 2013, algorithm 1); with ``clip_scope="cells"``, g is the gradient of the cells, and other
    gradients are not clipped (Jozefowicz et al. 2016, section 4).

    Args:
        config: the configuration.
        length: length of the job, for schedules.
        given: a transformation to use as it is, if ``config.optimizer`` is "given".

    Raises:
        ConfigError: if a rule, a schedule or one of their options is unknown or impossible.
    """
    if (config.optimizer == GIVEN) != (given is not None):
        raise ConfigError(
            "this run's optimizer is a transformation that a program made: pass it to rnnlm_jax.training.train again"
            if given is None
            else f"an optimizer was passed to train, and `optimizer` is {config.optimizer!r}: leave one out"
        )
    if given is not None:
        return Optimizer(given, None)
    rate = make_learning_rate(config.schedule, config.learning_rate, length, **dict(config.schedule_options))
    options = dict(config.optimizer_options)
    if name := mask_option(config.optimizer):
        if name in options:
            raise ConfigError(f"`optimizer_options` cannot have {name!r}: choose the parameters by `weight_decay_mask`")
        options[name] = lambda params: _decaying(config, params)
    elif config.weight_decay_mask != ALL and not config.weight_decay:
        raise ConfigError(
            "`weight_decay_mask` chooses parameters that decay, and none does: set `weight_decay`, or leave it out"
        )
    parts: list[optax.GradientTransformation] = []
    if config.clip_norm is not None:
        clip = optax.clip_by_global_norm(config.clip_norm)
        parts.append(optax.masked(clip, of_cells) if config.clip_scope == "cells" else clip)
    if config.weight_decay:
        parts.append(optax.add_decayed_weights(config.weight_decay, lambda params: _decaying(config, params)))
    parts.append(make_rule(config.optimizer, rate.schedule, **options))
    if rate.plateau is not None:
        parts.append(rate.plateau.transform)
    return Optimizer(optax.chain(*parts), rate)


def schedule_spans_job(config: OptimizerConfig) -> bool:
    """Return whether the learning rate of a step depends on the length of the job."""
    return config.optimizer != GIVEN and find_kind(config.schedule).spans_job


def of_cells(params: Tree) -> Tree:
    """Return a tree like the model's parameters that is True at those of the cells."""
    return jax.tree.map_with_path(lambda path, _: getattr(path[0], "name", None) == "cell", params)


def _decaying(config: OptimizerConfig, params: Any) -> Tree:
    """Return a tree like the parameters that is True at those that decay."""
    if config.weight_decay_mask == MATRICES:
        return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)
    patterns = split_patterns(config.weight_decay_mask)
    return jax.tree.map_with_path(lambda path, _: matches(path_name(path), patterns), params)

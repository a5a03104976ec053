"""The optax optimiser of a configuration, and the learning rate of each epoch."""

from typing import Any

import jax
import optax

from rnnlm_jax.array_types import Tree
from rnnlm_jax.config import OptimizerConfig


def make_optimizer(config: OptimizerConfig, learning_rate: Any) -> optax.GradientTransformation:
    """Return ``chain(clip_by_global_norm(c), rule)``.

    Clipping is ``g ← c·g/‖g‖`` if ``‖g‖ ≥ c`` (Pascanu et al. 2013, algorithm 1).

    With ``clip_scope="cells"``, g is the gradient of the cells, and other gradients are not clipped (Jozefowicz et al.
    2016, section 4).

    Checkpoints contain the state of this optimiser. The training step makes the same update in fewer passes over memory
    (``apply_gradient``); tests compare the two.
    """
    rules = {
        "sgd": lambda: optax.sgd(learning_rate),
        "momentum": lambda: optax.sgd(learning_rate, momentum=config.momentum),
        "adagrad": lambda: optax.adagrad(learning_rate, config.initial_accumulator),
        "adam": lambda: optax.adam(learning_rate),
        "adamw": lambda: optax.adamw(learning_rate, weight_decay=config.weight_decay),
    }
    clip = [] if config.clip_norm is None else [optax.clip_by_global_norm(config.clip_norm)]
    if config.clip_scope == "cells":
        clip = [optax.masked(each, of_cells) for each in clip]
    return optax.chain(*clip, rules[config.optimizer]())


def of_cells(params: Tree) -> Tree:
    """Return a tree like the model's parameters that is True at those of the cells."""
    return jax.tree.map_with_path(lambda path, _: getattr(path[0], "name", None) == "cell", params)


def learning_rate_at(config: OptimizerConfig, epoch: int) -> float:
    """Return ``η / decay^max(epoch + 1 - decay_after, 0)`` for an epoch from 0 (Zaremba et al. 2014, section 4.1)."""
    return config.learning_rate / config.decay ** max(epoch + 1 - config.decay_after, 0)

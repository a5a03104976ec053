"""From a configuration to an optax update rule and a learning rate for each epoch."""

from typing import Any

import jax
import optax

from rnnlm_jax.array_types import Tree
from rnnlm_jax.config import OptimizerConfig


def make_optimizer(config: OptimizerConfig, learning_rate: Any) -> optax.GradientTransformation:
    """``chain(clip_by_global_norm(c), rule)``: ``g ← c·g/‖g‖`` where ``‖g‖ ≥ c`` (Pascanu et al. 2013, algorithm 1).

    With ``clip_scope="cells"`` g is the gradient of the cells, and what else there is is left as it is (Jozefowicz et al.
    2016, section 4).

    Its state is what a run keeps and a checkpoint holds. The step does the same update in fewer passes over memory
    (``apply_gradient``), and is held to this one.
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
    """Which leaves are parameters of the cells: a tree of truth values like the model's parameters."""
    return jax.tree.map_with_path(lambda path, _: getattr(path[0], "name", None) == "cell", params)


def learning_rate_at(config: OptimizerConfig, epoch: int) -> float:
    """``η / decay^max(epoch + 1 - decay_after, 0)`` with epochs counted from 0 (Zaremba et al. 2014, section 4.1)."""
    return config.learning_rate / config.decay ** max(epoch + 1 - config.decay_after, 0)

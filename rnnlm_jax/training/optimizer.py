"""From a configuration to an optax update rule and a learning rate for each epoch."""

from typing import Any

import optax

from rnnlm_jax.config import OptimizerConfig


def make_optimizer(config: OptimizerConfig, learning_rate: Any) -> optax.GradientTransformation:
    """``chain(clip_by_global_norm(c), rule)``: ``g ← c·g/‖g‖`` where ``‖g‖ ≥ c`` (Pascanu et al. 2013, algorithm 1).

    Its state is what a run keeps and a checkpoint holds. The step does the same update in fewer passes over memory
    (``apply_gradient``), and is held to this one.
    """
    rules = {
        "sgd": lambda: optax.sgd(learning_rate),
        "momentum": lambda: optax.sgd(learning_rate, momentum=config.momentum),
        "adagrad": lambda: optax.adagrad(learning_rate),
        "adam": lambda: optax.adam(learning_rate),
        "adamw": lambda: optax.adamw(learning_rate, weight_decay=config.weight_decay),
    }
    clip = [] if config.clip_norm is None else [optax.clip_by_global_norm(config.clip_norm)]
    return optax.chain(*clip, rules[config.optimizer]())


def learning_rate_at(config: OptimizerConfig, epoch: int) -> float:
    """``η / decay^max(epoch + 1 - decay_after, 0)`` with epochs counted from 0 (Zaremba et al. 2014, section 4.1)."""
    return config.learning_rate / config.decay ** max(epoch + 1 - config.decay_after, 0)

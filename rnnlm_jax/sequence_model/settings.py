"""How models of sequences are trained: a frozen dataclass, every field an option of ``rnnlm-jax task``."""

import math
from dataclasses import dataclass, fields
from typing import Any

from rnnlm_jax.config import OptimizerConfig, option
from rnnlm_jax.errors import ConfigError


@dataclass(frozen=True)
class SequenceTraining:
    """How models of sequences are trained: several seeds at once, each as it would be alone."""

    steps: int = option(20_000, "most steps of training", may_change=True, advanced=False)
    seeds: int = option(1, "training runs at once", advanced=False)
    seed: int = option(0, "the first seed; the others follow it")
    check_every: int = option(200, "steps between two measurements of the accuracy on new sequences")
    check_sequences: int = option(1000, "sequences of such a measurement")
    stop_accuracy: float | None = option(
        None, "end a seed's training at this accuracy on new sequences; none: train all steps"
    )
    optimizer: str = option("adam", "update rule: one of optax's by name, or FILE.py:function for one of your own")
    optimizer_options: tuple[tuple[str, Any], ...] = option((), "options of the update rule: b1=0,eps=1e-8")
    learning_rate: float = option(0.001, "learning rate, which the schedule multiplies", advanced=False)
    schedule: str = option("constant", "learning rate of each step by name, as for rnnlm-jax train")
    schedule_options: tuple[tuple[str, Any], ...] = option((), "options of the schedule: warmup_steps=500")
    clip_norm: float | None = option(
        1.0, "rescale gradients with a larger global norm to this norm; none: never", advanced=False
    )
    weight_decay: float = option(0.0, "add this times the parameters to the clipped gradient (L2 penalty)")
    regularize: tuple[tuple[str, Any], ...] = option(
        (), "terms to add to the loss, with their weights, and options: omega=2, or flossing=1,flossing_exponents=4"
    )

    def optimizer_config(self) -> OptimizerConfig:
        """Return the optimiser as a part of the configuration of a language model."""
        names = {spec.name for spec in fields(OptimizerConfig)} & {spec.name for spec in fields(self)}
        return OptimizerConfig(**{name: getattr(self, name) for name in names})


def check_training(training: SequenceTraining) -> SequenceTraining:
    """Check the range of every value, and return ``training``.

    Raises:
        ConfigError: naming the first field whose value is not possible.
    """
    for name in ("steps", "seeds", "check_every", "check_sequences"):
        value = getattr(training, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"`{name}` must be a positive whole number, not {value!r}")
    if not (isinstance(training.seed, int) and training.seed >= 0 and training.seed + training.seeds <= 2**32):
        raise ConfigError(f"`seed` must be a whole number from 0 to below 2^32, not {training.seed!r}")
    for name in ("learning_rate", "clip_norm"):
        value = getattr(training, name)
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"`{name}` must be a positive number, not {value!r}")
    if not 0 <= training.weight_decay < math.inf:
        raise ConfigError(f"`weight_decay` must be 0 or more, not {training.weight_decay!r}")
    stop = training.stop_accuracy
    if stop is not None and not 0 < stop <= 1:
        raise ConfigError(f"`stop_accuracy` must be above 0 and at most 1, not {stop!r}")
    return training

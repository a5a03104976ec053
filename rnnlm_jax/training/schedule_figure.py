"""The figure of a job's learning rate, before the job is begun."""

from pathlib import Path

import numpy as np

from rnnlm_jax.config import Config, check_config
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.plotting import learning_rate_schedule
from rnnlm_jax.training.job_length import JobLength
from rnnlm_jax.training.learning_rates import make_learning_rate, rates
from rnnlm_jax.training.make_optimizer import GIVEN
from rnnlm_jax.training.texts import load_texts, make_batches

#: Most points of the line.
POINTS = 20_000


def draw_schedule(config: Config, path: Path, *, quiet: bool = True) -> str:
    """Draw the learning rate of each step of a job, and return its length and range as a line.

    The text is read for the number of steps in an epoch. A plateau schedule is drawn as if every validation improved.

    Args:
        config: the experiment.
        path: PNG, PDF or SVG file to write.
        quiet: whether to hide the progress bar of reading the text.

    Raises:
        UserError: as training with this configuration.
    """
    own = check_config(config).optimizer
    if own.optimizer == GIVEN:
        raise ConfigError("the optimizer of this run was made by a program, and so was its schedule: draw it there")
    batches = make_batches(config.data, load_texts(config.data, quiet=quiet), config.training.seed)
    try:
        length = JobLength(config.training, batches.batch_count).total
    finally:
        batches.close()
    rate = make_learning_rate(own.schedule, own.learning_rate, length, **dict(own.schedule_options))
    steps = np.unique(np.linspace(0, length.steps - 1, min(length.steps, POINTS)).round().astype(np.int32))
    found = rates(rate.schedule, steps)
    ends = list(length.epoch_ends)
    while ends[-1] < length.steps:
        ends.append(ends[-1] + ends[-1] - (ends[-2] if len(ends) > 1 else 0))
    note = f"{own.optimizer}, schedule {own.schedule}"
    if rate.plateau is not None:
        note += " (as if every validation improved)"
    warmup = dict(own.schedule_options).get("warmup_steps", 0)
    learning_rate_schedule(
        found.tolist(), path, steps=steps.tolist(), epoch_starts=ends, warmup_steps=warmup, note=note
    )
    epochs = length.steps / ends[0]
    return f"{length.steps:,} steps, {epochs:.3g} epochs; learning rate from {found.min():.3g} to {found.max():.3g}"

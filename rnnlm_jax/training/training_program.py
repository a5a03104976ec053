"""What a configuration trains with: optimiser, compiled step and initial state."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from rnnlm_jax.config import Config, DataConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jobs.sharding.placement import batch_sharding
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.regularizers import Regularizer, regularizers_for
from rnnlm_jax.training.averaging import Average, make_average
from rnnlm_jax.training.frozen_parameters import frozen, frozen_leaves
from rnnlm_jax.training.leaf_patterns import leaf_names, select_leaves
from rnnlm_jax.training.make_optimizer import MATRICES, UNKNOWN_LENGTH, Optimizer, make_optimizer
from rnnlm_jax.training.schedules import Length
from rnnlm_jax.training.step import TrainStep, make_train_step
from rnnlm_jax.training.texts import batch_lengths
from rnnlm_jax.training.train_state import TrainState, initial_train_state, state_shardings


class TrainingProgram(NamedTuple):
    """The parts that a configuration gives to ``make_train_step`` and ``initial_train_state``, and their results."""

    optimizer: Optimizer
    average: Average | None
    regularizers: Sequence[Regularizer]
    step: TrainStep
    initial_state: Callable[..., TrainState]
    """Takes ``start``, parameters of another model to start from."""
    shardings: Callable[[Mesh], TrainState]
    """Mesh -> shardings of the state's leaves on it."""


def training_program(
    model: LanguageModel,
    config: Config,
    *,
    length: Length = UNKNOWN_LENGTH,
    given: optax.GradientTransformation | None = None,
    mesh: Mesh | None = None,
) -> TrainingProgram:
    """Return what a configuration trains a model with; nothing is computed or compiled yet.

    Args:
        model: the model.
        config: the experiment.
        length: length of the job, for schedules.
        given: a transformation in place of the configuration's optimiser, whose name is then "given".
        mesh: devices to divide training over; None for one device.

    Raises:
        ConfigError: if an optimiser, schedule, average, regulariser or one of their options is unknown or impossible.
    """
    own, seed = config.optimizer, config.training.seed
    optimizer = make_optimizer(own, length, given=given)
    average = make_average(own.average, **dict(own.average_options))
    if config.data.batch_size % own.accumulate:
        raise ConfigError(
            f"`accumulate` must divide `batch_size`: {config.data.batch_size} sequences cannot be cut into "
            f"{own.accumulate} equal parts"
        )
    names = jax.tree.leaves(leaf_names(jax.eval_shape(model.init, jax.random.key(0))))
    if own.weight_decay_mask != MATRICES:
        select_leaves(names, own.weight_decay_mask, option="weight_decay_mask")
    if frozen_leaves(model, config.training.freeze):
        transform = frozen(optimizer.transform, str(config.training.freeze))
        optimizer = optimizer._replace(transform=transform)
    regularizers = regularizers_for(model.cell, own.regularize)
    step = make_train_step(
        model,
        optimizer.transform,
        seed=seed,
        carries_state=config.data.batching == "stream",
        loss_normalization=own.loss_normalization,
        accumulate=own.accumulate,
        average=average,
        regularizers=regularizers,
        label_smoothing=own.label_smoothing,
        random_bptt=config.data.bptt if config.data.bptt_random else None,
        state_reset_probability=config.data.state_reset_probability,
        mesh=mesh,
    )
    initial_state = functools.partial(
        initial_train_state,
        model,
        optimizer.transform,
        config.data.batch_size,
        seed=seed,
        average=average,
        mesh=mesh,
    )
    shardings = functools.partial(state_shardings, model, optimizer.transform, averaged=average is not None)
    return TrainingProgram(optimizer, average, regularizers, step, initial_state, shardings)


def compile_step(step: TrainStep, state: TrainState, config: DataConfig, *, mesh: Mesh | None = None) -> Any:
    """Compile a step for streams; later calls of it use this program.

    Args:
        step: the step.
        state: a training state, which is not read.
        config: sizes of the batch; of windows of several lengths, the longest is compiled.
        mesh: devices that training is divided over; None for one device.
    """
    sharding = None if mesh is None else batch_sharding(mesh)
    parts: Any = [
        jax.ShapeDtypeStruct((batch_lengths(config)[-1], config.batch_size), kind, sharding=sharding)
        for kind in (np.int32, np.int32, np.bool_)
    ]
    lowered: Any = step
    return lowered.lower(state, Batch(*parts)).compile()

"""Memory of a training step, as far as it is known before the first one."""

from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from rnnlm_jax.config import DataConfig
from rnnlm_jax.system.machine_memory import bytes_on_each_device, size_text
from rnnlm_jax.training.texts import batch_lengths
from rnnlm_jax.training.train_state import TrainState, with_shardings
from rnnlm_jax.training.training_program import TrainingProgram


class StepMemory(NamedTuple):
    """Memory of a training step, in bytes on each device."""

    params: int
    opt_state: int
    other_state: int
    """Recurrent state, counters, and the average of the parameters if there is one."""
    temporaries: int | None = None
    """Gradients and activations of the compiled step; None if the compiler does not report them."""

    @property
    def total(self) -> int:
        """Sum of the known parts."""
        return sum(size or 0 for size in self)


def describe_memory(memory: StepMemory, limit: int | None = None) -> str:
    """Return the memory as text: ``parameters 17.7 MiB, optimiser 0.0 MiB, …: 62.4 MiB in all of 15.8 GiB``.

    Args:
        memory: the memory of the step.
        limit: bytes that each device has; None if unknown.
    """
    names = ("parameters", "optimiser", "recurrent state", "gradients and activations")
    parts = [f"{name} {size_text(size)}" for name, size in zip(names, memory, strict=True) if size is not None]
    of_limit = "" if limit is None else f" of {size_text(limit)}"
    return f"{', '.join(parts)}: {size_text(memory.total)} in all{of_limit}"


def step_memory(state: TrainState, compiled: Any = None) -> StepMemory:
    """Return the memory of a training state and, if given, of its compiled step."""
    analysis = None if compiled is None else compiled.memory_analysis()
    return StepMemory(
        params=bytes_on_each_device(state.params),
        opt_state=bytes_on_each_device(state.opt_state),
        other_state=bytes_on_each_device(state._replace(params=None, opt_state=None)),  # pyright: ignore[reportArgumentType]
        temporaries=None if analysis is None else analysis.temp_size_in_bytes,
    )


def state_bytes(config: DataConfig, program: TrainingProgram, *, mesh: Mesh | None = None) -> int:
    """Return the bytes on each device of the training state and one batch, computed without creating them.

    Args:
        config: sizes of the batch.
        program: what is trained with, without a mesh.
        mesh: devices to divide training over; None for one device.
    """
    state: Any = jax.eval_shape(program.initial_state)
    if mesh is not None:
        state = with_shardings(state, program.shardings(mesh))
    token = 4 + 4 + 1  # int32 input and target, and whether it counts
    batch = token * batch_lengths(config)[-1] * config.batch_size if config.batching == "stream" else 0
    return bytes_on_each_device(state) + batch // (1 if mesh is None else mesh.devices.size)

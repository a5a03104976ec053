"""Memory of a training step, as far as it is known before the first one."""

from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from rnnlm_jax.config import Config
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.system.machine_memory import bytes_on_each_device, size_text
from rnnlm_jax.training.texts import batch_lengths
from rnnlm_jax.training.train_state import TrainState, initial_train_state, state_shardings, with_shardings


class StepMemory(NamedTuple):
    """Memory of a training step, in bytes on each device."""

    params: int
    opt_state: int
    other_state: int
    """Recurrent state and counters."""
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
        other_state=bytes_on_each_device((state.model_state, state.step, state.skipped, state.skipped_in_row)),
        temporaries=None if analysis is None else analysis.temp_size_in_bytes,
    )


def state_bytes(model: LanguageModel, config: Config, mesh: Mesh | None = None) -> int:
    """Return the bytes on each device of the training state and one batch, computed without creating them."""
    data = config.data

    def make() -> TrainState:
        return initial_train_state(model, config.optimizer, data.batch_size, seed=config.training.seed)

    state: Any = jax.eval_shape(make)
    if mesh is not None:
        state = with_shardings(state, state_shardings(model, config.optimizer, mesh))
    steps = batch_lengths(data)[-1] if data.batching == "stream" else 0
    batch = 9 * steps * data.batch_size  # int32 inputs and targets, bool mask
    return bytes_on_each_device(state) + batch // (1 if mesh is None else mesh.devices.size)

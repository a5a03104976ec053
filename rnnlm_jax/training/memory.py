"""What a training step takes of a device's memory, as far as it can be told before the first one."""

from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from rnnlm_jax.config import Config
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.system.machine_memory import bytes_on_each_device, size_text
from rnnlm_jax.training.step import TrainState, initial_train_state, state_shardings


class StepMemory(NamedTuple):
    """Bytes on each device."""

    params: int
    opt_state: int
    other_state: int
    """Recurrent state and counters."""
    temporaries: int | None = None
    """Gradients and activations, from the compiled step; None where its backend does not tell."""

    @property
    def total(self) -> int:
        """Of all that is known."""
        return sum(size or 0 for size in self)


def describe_memory(memory: StepMemory, limit: int | None = None) -> str:
    """In words: ``parameters 17.7 MiB, optimiser 0.0 MiB, …, 62.4 MiB in all of 15.8 GiB``, ``limit`` being those."""
    names = ("parameters", "optimiser", "recurrent state", "gradients and activations")
    parts = [f"{name} {size_text(size)}" for name, size in zip(names, memory, strict=True) if size is not None]
    there = "" if limit is None else f" of {size_text(limit)}"
    return f"{', '.join(parts)}: {size_text(memory.total)} in all{there}"


def step_memory(state: TrainState, compiled: Any = None) -> StepMemory:
    """The memory of a training state, and of what a compiled step needs beside it."""
    other = state._replace(params=None, opt_state=None)  # pyright: ignore[reportArgumentType]
    found = None if compiled is None else compiled.memory_analysis()
    return StepMemory(
        params=bytes_on_each_device(state.params),
        opt_state=bytes_on_each_device(state.opt_state),
        other_state=bytes_on_each_device(other),
        temporaries=None if found is None else found.temp_size_in_bytes,
    )


def state_bytes(model: LanguageModel, config: Config, mesh: Mesh | None = None) -> int:
    """Bytes on each device that the state of training and one batch take at least, before any of it is made."""
    data = config.data

    def make() -> TrainState:
        return initial_train_state(model, config.optimizer, data.batch_size, config.training.seed)

    state: Any = jax.eval_shape(make)
    if mesh is not None:
        shardings = state_shardings(model, config.optimizer, mesh)
        state = jax.tree.map(lambda s, where: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=where), state, shardings)
    batch = 9 * data.bptt * data.batch_size if data.batching == "stream" else 0  # inputs, targets and mask
    return bytes_on_each_device(state) + batch // (1 if mesh is None else mesh.devices.size)

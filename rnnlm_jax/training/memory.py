"""What a training step takes of a device's memory, as far as it can be told before the first one."""

import math
from typing import Any, NamedTuple

import jax

from rnnlm_jax.training.step import TrainState


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


def size_text(size: int) -> str:
    """Bytes in a unit to read: MiB below a tenth of a GiB."""
    return f"{size / 2**20:.1f} MiB" if size < 2**30 / 10 else f"{size / 2**30:.2f} GiB"


def step_memory(state: TrainState, compiled: Any = None) -> StepMemory:
    """The memory of a training state, and of what a compiled step needs beside it."""
    other = state._replace(params=None, opt_state=None)  # pyright: ignore[reportArgumentType]
    found = None if compiled is None else compiled.memory_analysis()
    return StepMemory(
        params=_bytes_a_device(state.params),
        opt_state=_bytes_a_device(state.opt_state),
        other_state=_bytes_a_device(other),
        temporaries=None if found is None else found.temp_size_in_bytes,
    )


def _bytes_a_device(tree: Any) -> int:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]
    return sum(leaf.dtype.itemsize * math.prod(leaf.sharding.shard_shape(leaf.shape)) for leaf in leaves)

"""How the cost of an LSTM's gradient grows with steps, sequences and layers: time, compile time and memory.

``cost ~ size^exponent`` is fitted by least squares of the logarithms. Only this library is measured.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, unroll
from rnnlm_jax.benchmarking.layers import Shape
from rnnlm_jax.benchmarking.measure.compiled_program import Program, compile_program
from rnnlm_jax.benchmarking.measure.timing import interleave
from rnnlm_jax.benchmarking.random_weights import cell_weights
from rnnlm_jax.cells.cell import Cell


@dataclass(frozen=True)
class Sizes:
    """The sizes of each sweep, and the shape that the other sizes are taken from."""

    steps: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048)
    batches: tuple[int, ...] = (1, 4, 16, 64, 256)
    layers: tuple[int, ...] = (1, 2, 4, 8, 16)
    fixed: Shape = field(default=Shape(64, 16, 128))


SIZES = Sizes()


@dataclass(frozen=True)
class Sweep:
    """Measurements of one sweep, one of each kind per size."""

    what: str
    """Name of the size that varies: T, B or layers."""
    others: str
    """The fixed sizes, as text."""
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    compile_seconds: tuple[float, ...]
    temporary_bytes: tuple[int | None, ...]
    temporary_bytes_sqrt: tuple[int | None, ...]
    """With ``remat_chunk="sqrt"``; all None if it is not measured."""

    @property
    def exponents(self) -> dict[str, float]:
        """Exponents of everything that is measured at two sizes or more."""
        measured = {
            "seconds": self.seconds,
            "compile_seconds": self.compile_seconds,
            "temporary_bytes": self.temporary_bytes,
            "temporary_bytes_sqrt": self.temporary_bytes_sqrt,
        }
        known = {name: values for name, values in measured.items() if all(values) and len(values) > 1}
        return {name: exponent(self.sizes, values) for name, values in known.items()}


def exponent(sizes: Any, values: Any) -> float:
    """Return the slope of ``ln value`` over ``ln size``, by least squares."""
    return float(np.polyfit(np.log(np.asarray(sizes, float)), np.log(np.asarray(values, float)), 1)[0])


def sweeps(sizes: Sizes, dtype: str, repeats: int) -> Iterator[Sweep]:
    """Measure the sweeps over steps, sequences and layers."""
    steps, batch, hidden = sizes.fixed
    cell = cells.lstm(hidden, dtype=dtype)
    yield _sweep(
        "T",
        f"B {batch}, H {hidden}",
        {t: (cell, Shape(t, batch, hidden)) for t in sizes.steps},
        repeats=repeats,
        remat=True,
    )
    yield _sweep(
        "B", f"T {steps}, H {hidden}", {b: (cell, Shape(steps, b, hidden)) for b in sizes.batches}, repeats=repeats
    )
    stacks = {n: (cells.stack(*[cell] * n), sizes.fixed) for n in sizes.layers}
    yield _sweep("layers", f"T {steps}, B {batch}, H {hidden}", stacks, repeats=repeats)


def _sweep(
    what: str, others: str, candidates: Mapping[int, tuple[Cell, Shape]], *, repeats: int, remat: bool = False
) -> Sweep:
    programs, calls = {}, {}
    for size, (cell, shape) in candidates.items():
        programs[size], arguments = _gradient(cell, shape)
        calls[str(size)] = lambda program=programs[size], arguments=arguments: program.call(*arguments)
    chunked = [_gradient(*candidate, remat_chunk="sqrt")[0] for candidate in candidates.values()] if remat else []
    timings = interleave(calls, repeats)
    return Sweep(
        what=what,
        others=others,
        sizes=tuple(candidates),
        seconds=tuple(timings[str(size)].median for size in candidates),
        compile_seconds=tuple(program.compile_seconds for program in programs.values()),
        temporary_bytes=tuple(program.temporary_bytes for program in programs.values()),
        temporary_bytes_sqrt=tuple(program.temporary_bytes for program in chunked) or (None,) * len(candidates),
    )


def _gradient(cell: Cell, shape: Shape, **options: Any) -> tuple[Program, tuple[Any, jax.Array]]:
    """Return the compiled gradient of ``Σ h²``, and its arguments."""
    if isinstance(cell, cells.Stack):
        params: Any = tuple(cell_weights(layer, shape.hidden, k) for k, layer in enumerate(cell.layers))
    else:
        params = cell_weights(cell, shape.hidden)
    xs = jnp.asarray(np.random.default_rng(7).standard_normal((*shape[:2], shape.hidden), np.float32))

    def loss(params: Any, xs: jax.Array) -> jax.Array:
        return jnp.square(unroll(cell, params, cell.initial_state((shape.batch,)), xs, **options)[1]).sum()

    arguments = (jax.tree.map(jnp.asarray, params), xs)
    return compile_program(jax.grad(loss, argnums=(0, 1)), *arguments), arguments

"""One layer over time, forward, and forward with backward: our executors, the floor, and every peer with the cell."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, unroll
from rnnlm_jax.benchmarking import matmul_floor, peers, torch_memory
from rnnlm_jax.benchmarking.measure.agreement import tolerance
from rnnlm_jax.benchmarking.measure.candidate import OURS, Candidate, Comparison, WriteLine
from rnnlm_jax.benchmarking.measure.jax_layer import BACKWARD, FORWARD, JaxLayer
from rnnlm_jax.benchmarking.random_weights import cell_weights
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll import EXECUTORS


class Shape(NamedTuple):
    """Steps, sequences, and hidden units; inputs are as wide as the hidden state."""

    steps: int
    batch: int
    hidden: int

    def __str__(self) -> str:
        """Return the shape as on the command line."""
        return f"{self.steps}x{self.batch}x{self.hidden}"


SHAPES = (Shape(35, 20, 200), Shape(35, 20, 650), Shape(64, 64, 256), Shape(128, 32, 512), Shape(256, 1, 256))
CELLS = ("lstm", "gru", "elman-tanh")
JOBS = (FORWARD, BACKWARD)

#: Shapes of the group ``zoo``, which times every cell of this library.
ZOO_SHAPES = (SHAPES[0], SHAPES[2])


class LayerCase(NamedTuple):
    """One layer to time: its cell by name, its sizes, the pass, and the dtype of its matrix products."""

    cell_name: str
    shape: Shape
    job: str
    dtype: str

    def cell(self) -> Cell:
        """Return the cell."""
        return cells.make(self.cell_name, self.shape.hidden, dtype=self.dtype)


def comparisons(
    group: str, cell_names: Iterable[str], shapes: Sequence[Shape], *, dtype: str, names: Sequence[str]
) -> Iterator[Comparison]:
    """Yield a comparison for each shape, cell and pass, with the peers of these names."""
    for shape in shapes:
        for cell_name in cell_names:
            for job in JOBS:
                yield _comparison(group, LayerCase(cell_name, shape, job, dtype), names)


def _comparison(group: str, case: LayerCase, names: Sequence[str]) -> Comparison:
    cell, shape = case.cell(), case.shape
    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), shape.hidden))
    return Comparison(
        group=group,
        cell=case.cell_name,
        job=case.job,
        sizes={"T": shape.steps, "B": shape.batch, "H": shape.hidden},
        tokens=shape.steps * shape.batch,
        flops=matmul_floor.layer_flops(cell, shapes, shape.steps * shape.batch, backward=case.job == BACKWARD),
        tolerance=tolerance(case.dtype, jax.default_backend()),
        build=functools.partial(_build, case, names),
        torch_memory=functools.partial(
            torch_memory.measure_torch, group, case.cell_name, case.job, str(shape), case.dtype
        )
        if "torch" in names and case.cell_name in peers.load("torch").layers.CELLS
        else None,
    )


def random_inputs(cell: Cell, shape: Shape) -> tuple[Any, np.ndarray]:
    """Return the parameters and inputs ``[T, B, H]`` that every library gets."""
    xs = np.random.default_rng(7).standard_normal(shape[:2] + (shape.hidden,), np.float32)
    return cell_weights(cell, shape.hidden), xs


def _build(case: LayerCase, names: Sequence[str], write_line: WriteLine) -> list[Candidate]:
    cell, name = case.cell(), case.cell_name
    params, xs = random_inputs(cell, case.shape)
    candidates = [_ours(OURS, cell, params, xs=xs).candidate(case.job)]
    for executor in EXECUTORS:
        try:
            candidates.append(_ours(f"{OURS}, {executor}", cell, params, xs=xs, executor=executor).candidate(case.job))
        except UserError as error:
            write_line(f"{OURS}, {executor} is left out for {name}: {error}")
    if hasattr(params, "w_h"):  # the floor is a chain of recurrent products
        matrices = matmul_floor.layer_matrices(params, case.dtype)
        products = matmul_floor.layer_pass if case.job == FORWARD else matmul_floor.layer_gradient
        candidates.append(matmul_floor.candidate(products, matrices, jnp.asarray(xs, case.dtype)))
    for peer in names:
        if name in peers.load(peer).layers.CELLS:
            layer = peers.load(peer).layers.layer(name, params._asdict(), xs, dtype=case.dtype)
            candidates.append(layer.candidate(case.job))
    return candidates


def _ours(name: str, cell: Cell, params: Any, *, xs: np.ndarray, **options: Any) -> JaxLayer:
    def apply(params: Any, xs: jax.Array) -> jax.Array:
        return unroll(cell, params, cell.initial_state(xs.shape[1:-1]), xs, **options)[1]

    def named(gradient: Any) -> dict[str, Any]:
        return {field: value for field, value in gradient._asdict().items() if value is not None}

    return JaxLayer(name, apply, jax.tree.map(jnp.asarray, params), jnp.asarray(xs), named)

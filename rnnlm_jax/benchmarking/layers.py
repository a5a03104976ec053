"""One layer over time, forward, and forward with backward: our executors, the floor, and every peer with the cell."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, unroll
from rnnlm_jax.benchmarking import floor, flops, memory, peers
from rnnlm_jax.benchmarking.measure.compare import tolerance
from rnnlm_jax.benchmarking.measure.jax_layer import BACKWARD, FORWARD, JaxLayer
from rnnlm_jax.benchmarking.measure.subject import OURS, Contest, Say, Subject
from rnnlm_jax.benchmarking.weights import cell_weights
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll import EXECUTORS


class Shape(NamedTuple):
    """Steps, sequences, and hidden units, which are also the inputs' width."""

    steps: int
    batch: int
    hidden: int

    def __str__(self) -> str:
        """As on the command line."""
        return f"{self.steps}x{self.batch}x{self.hidden}"


SHAPES = (Shape(35, 20, 200), Shape(35, 20, 650), Shape(64, 64, 256), Shape(128, 32, 512), Shape(256, 1, 256))
CELLS = ("lstm", "gru", "elman-tanh")
JOBS = (FORWARD, BACKWARD)

#: Of every cell of the zoo, ours alone.
ZOO_SHAPES = (SHAPES[0], SHAPES[2])


def contests(
    group: str, cells: Iterable[str], shapes: Sequence[Shape], dtype: str, names: Sequence[str]
) -> Iterator[Contest]:
    """A contest for each shape, cell and pass, with the peers of these names."""
    for shape in shapes:
        for cell in cells:
            for job in JOBS:
                yield _contest(group, cell, shape, job, dtype, names)


def _contest(group: str, name: str, shape: Shape, job: str, dtype: str, names: Sequence[str]) -> Contest:
    cell = cells.make(name, shape.hidden, dtype=dtype)
    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), shape.hidden))
    return Contest(
        group=group,
        cell=name,
        job=job,
        sizes={"T": shape.steps, "B": shape.batch, "H": shape.hidden},
        tokens=shape.steps * shape.batch,
        flops=flops.layer(cell, shapes, shape.steps * shape.batch, backward=job == BACKWARD),
        tolerance=tolerance(dtype, jax.default_backend()),
        build=functools.partial(_build, name, cell, shape, job, dtype, names),
        torch_memory=functools.partial(memory.of_torch, group, name, job, str(shape), dtype)
        if "torch" in names and name in peers.load("torch").layers.CELLS
        else None,
    )


def arrays(cell: Cell, shape: Shape) -> tuple[Any, np.ndarray]:
    """The parameters and inputs that everyone gets."""
    xs = np.random.default_rng(7).standard_normal(shape[:2] + (shape.hidden,), np.float32)
    return cell_weights(cell, shape.hidden), xs


def _build(name: str, cell: Cell, shape: Shape, job: str, dtype: str, names: Sequence[str], say: Say) -> list[Subject]:
    params, xs = arrays(cell, shape)
    subjects = [_ours(OURS, cell, params, xs).subject(job)]
    for executor in EXECUTORS:
        try:
            subjects.append(_ours(f"{OURS}, {executor}", cell, params, xs, executor=executor).subject(job))
        except UserError as error:
            say(f"{OURS}, {executor} is left out for {name}: {error}")
    if hasattr(params, "w_h"):  # the floor is a chain of recurrent products
        matrices = floor.layer_matrices(params, dtype)
        alone = floor.layer_pass if job == FORWARD else floor.layer_gradient
        subjects.append(floor.subject(alone, matrices, jnp.asarray(xs, dtype)))
    for peer in names:
        if name in peers.load(peer).layers.CELLS:
            subjects.append(peers.load(peer).layers.layer(name, params._asdict(), xs, dtype).subject(job))
    return subjects


def _ours(name: str, cell: Cell, params: Any, xs: np.ndarray, **options: Any) -> JaxLayer:
    def apply(params: Any, xs: jax.Array) -> jax.Array:
        return unroll(cell, params, cell.initial_state(xs.shape[1:-1]), xs, **options)[1]

    def named(gradient: Any) -> dict[str, Any]:
        return {field: value for field, value in gradient._asdict().items() if value is not None}

    return JaxLayer(name, apply, jax.tree.map(jnp.asarray, params), jnp.asarray(xs), named)

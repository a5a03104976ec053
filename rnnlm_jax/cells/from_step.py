"""A cell from a plain function of one step: a network of any library, or a map."""

from collections.abc import Hashable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.tree_util import keystr

from rnnlm_jax.array_types import Array, Float, Key, Tree
from rnnlm_jax.cells.cell import Cell, CellSpec, check_batch_shape
from rnnlm_jax.cells.cell_functions import InitFn
from rnnlm_jax.cells.state_vector import to_vector
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.registry.cached_factory import cached_factory


class PlainStepFn(Protocol):
    """One step of one sequence."""

    def __call__(self, params: Tree, state: Tree, x: Float[Array, " D"], /) -> Tree:
        """Return the state after the step, with the structure, shapes and dtype of ``state``.

        Args:
            params: any tree of arrays.
            state: the state before the step, without batch axes.
            x: the input of the step, without batch axes; of size 0 for a system without inputs.
        """
        ...


class PlainReadoutFn(Protocol):
    """The output of one step of one sequence."""

    def __call__(self, state: Tree, /) -> Float[Array, " K"]:
        """Return what a loss reads of the state after a step, one vector."""
        ...


def from_step(
    step: PlainStepFn, state: Tree, *, readout: PlainReadoutFn | None = None, init: InitFn | None = None
) -> Cell:
    """Return the cell ``s_t = step(params, s_{t-1}, x_t)`` of a plain function, which need not know batches or time.

        cell = from_step(step, state)
        spectrum(cell, params, state, xs)

    The state is any tree of floating-point arrays of one dtype: an array, a tuple, a dict, a module's own class. As a
    vector, it is its leaves in the order of ``jax.tree.leaves``. Further axes of states and inputs are mapped over by
    ``vmap``. Nothing is known of the step, so that its Jacobian is computed by automatic differentiation, n tangents
    through one step; declare a diagonal or block structure by ``cell.with_facts``.

    A system without inputs ignores ``x``; its inputs over T steps are ``jnp.zeros((T, 0))``, and ``jnp.zeros(0)`` where
    a function takes one input.

    Equal arguments give the same cell, so that programs are compiled once: define ``step`` once, not in a loop.

    Args:
        step: the function. It is traced, so that it may not depend on the values of its arguments by ``if``.
        state: the state from which the cell starts, and which resets return to.
        readout: what ``loss_of_output`` and the like are given as h; the whole state as one vector by default.
        init: function ``(key, input_size) -> params``. Only ``unroll`` needs it, to check parameters.

    Raises:
        ArgumentError: if the step is not a function or holds arrays, a leaf of the state is not an array of real
            floating-point numbers, leaves differ in dtype, or the readout does not return a vector; when the cell is
            used, if the step returns another structure, shape or dtype than its state has.
    """
    for name, function, call in (
        ("step", step, "(params, state, x) -> state"),
        ("readout", readout, "(state) -> h"),
        ("init", init, "(key, input_size) -> params"),
    ):
        _check_function(name, function, call, optional=name != "step")
    return _cell_of_step(step, _StartState(state), readout, init)


class _StartState:
    """A state as NumPy arrays; equal and hashable by its numbers."""

    def __init__(self, state: Tree) -> None:
        """Check the state and copy its numbers.

        Raises:
            ArgumentError: see ``from_step``.
        """
        leaves = [_checked_leaf(f"`state`{keystr(path)}", leaf) for path, leaf in jax.tree.leaves_with_path(state)]
        dtypes = sorted({str(leaf.dtype) for leaf in leaves})
        if not sum(leaf.size for leaf in leaves):
            raise ArgumentError("`state` has no numbers: give the arrays that a step reads and returns")
        if len(dtypes) > 1:
            raise ArgumentError(f"`state` has leaves of {' and '.join(dtypes)}: convert them to one dtype")
        self.leaves, self.structure = leaves, jax.tree.structure(state)
        self.dtype, self.x64 = leaves[0].dtype, jax.dtypes.canonicalize_dtype(np.float64) == np.float64
        self._numbers = tuple((leaf.shape, leaf.tobytes()) for leaf in leaves)

    def with_batch(self, batch_shape: tuple[int, ...]) -> Tree:
        """Return the state with batch axes before its own."""
        leaves = [jnp.broadcast_to(jnp.asarray(leaf), (*batch_shape, *leaf.shape)) for leaf in self.leaves]
        return jax.tree.unflatten(self.structure, leaves)

    def __eq__(self, other: object) -> bool:
        """Return whether structure, dtype, numbers and the width of jax's types are equal."""
        return isinstance(other, _StartState) and self._key() == other._key()

    def __hash__(self) -> int:
        """Return a hash of what is compared."""
        return hash(self._key())

    def _key(self) -> tuple[Hashable, ...]:
        return self.structure, self.dtype, self.x64, self._numbers

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the state: trees of one's own classes have structures that do not pickle."""
        return _unpickled, (jax.tree.unflatten(self.structure, self.leaves), self.x64)


def _unpickled(state: Tree, x64: bool) -> _StartState:
    with jax.enable_x64(x64):
        return _StartState(state)


@cached_factory
def _cell_of_step(
    step: PlainStepFn, start: _StartState, readout: PlainReadoutFn | None = None, init: InitFn | None = None
) -> Cell:
    read = to_vector if readout is None else readout
    ranks = [leaf.ndim for leaf in start.leaves]
    size = sum(leaf.size for leaf in start.leaves)
    output_size = _output_size(read, start)

    def no_params(key: Key, input_size: int) -> Tree:
        raise ArgumentError("a cell made by from_step has no initial parameters: give its `init`, or scan over `step`")

    def input_projection(params: Tree, x: Array) -> Array:
        del params
        return x.astype(start.dtype)

    def whole_step(params: Tree, state: Tree, z: Array) -> Tree:
        def one(state: Tree, x: Array) -> Tree:
            with jax.enable_x64(start.x64):  # parts of `jacobians` are traced with x64 on, where constants are wider
                after = step(params, state, x)
            return _checked_result(state, after)

        return _over_axes(one, z.ndim - 1)(state, z)

    def output(params: Tree, state: Tree) -> Array:
        del params
        return _over_axes(read, jax.tree.leaves(state)[0].ndim - ranks[0])(state)

    return Cell(
        spec=CellSpec("from_step", size, output_size, start.dtype, start.dtype),
        init=no_params if init is None else init,
        initial_state=lambda batch_shape: start.with_batch(check_batch_shape(batch_shape)),
        input_projection=input_projection,
        readout=output,
        whole_step=whole_step,
    )


def _over_axes(function: Any, count: int) -> Any:
    """Map a function of arrays over that many leading axes."""
    for _ in range(count):
        function = jax.vmap(function)
    return function


def _output_size(read: PlainReadoutFn, start: _StartState) -> int:
    """Return the size of the output.

    Raises:
        ArgumentError: if it is not one vector.
    """
    found = jax.eval_shape(lambda: read(start.with_batch(())))
    if not isinstance(found, jax.ShapeDtypeStruct) or len(found.shape) != 1:
        shape = getattr(found, "shape", type(found).__name__)
        raise ArgumentError(f"`readout` must return one vector [K], not {shape}: ravel or concatenate what it reads")
    return found.shape[0]


def _check_function(name: str, function: Any, call: str, *, optional: bool) -> None:
    if function is None and optional:
        return
    if not callable(function):
        raise ArgumentError(f"`{name}` must be a function {call}, not a {type(function).__name__}")
    try:
        hash(function)
    except TypeError:
        kind = type(function).__name__
        raise ArgumentError(
            f"`{name}` is a {kind} that holds arrays: give a function {call}, and the {kind} as `params`"
        ) from None


def _checked_leaf(name: str, leaf: Any) -> np.ndarray:
    """Return a leaf of a state as a NumPy array of the dtype that it has in jax.

    Raises:
        ArgumentError: if it is not an array of real floating-point numbers.
    """
    if isinstance(leaf, Tracer):
        raise ArgumentError(
            f"{name} is traced: call from_step outside of jit, vmap, grad and scan, and its cell inside"
        )
    dtype = getattr(leaf, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.extended):
        raise ArgumentError(f"{name} is of {dtype}: keep random keys among `params`, where nothing is differentiated")
    array = np.asarray(leaf)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise ArgumentError(f"{name} is {array.dtype}: keep its real and imaginary parts as two arrays of the state")
    if jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool:
        raise ArgumentError(
            f"{name} is {array.dtype}, which has no derivatives: convert it to floating-point numbers, or pass it as a "
            "part of `params` or `x`"
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ArgumentError(f"{name} must be an array of floating-point numbers, not a {type(leaf).__name__}")
    return np.array(array, jax.dtypes.canonicalize_dtype(array.dtype))


def _checked_result(before: Tree, after: Tree) -> Tree:
    """Return the state that a step returned.

    Raises:
        ArgumentError: if it differs in structure, shape or dtype from the state before the step.
    """
    wanted, found = jax.tree.structure(before), jax.tree.structure(after)
    if wanted != found:
        hint = ""
        if isinstance(after, tuple) and len(after) == 2 and wanted in map(jax.tree.structure, after):
            hint = "; of a pair (state, output), return the state alone"
        raise ArgumentError(f"`step` returns {_described(after)} for a state {_described(before)}{hint}")
    for (path, old), new in zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True):
        name = f"state{keystr(path)}"
        if jnp.shape(old) != jnp.shape(new):
            raise ArgumentError(
                f"`step` returns {name} of shape {jnp.shape(new)} for one of shape {jnp.shape(old)}: a step takes one "
                "state and one input without batch axes"
            )
        if jnp.result_type(old) != jnp.result_type(new):
            raise ArgumentError(
                f"`step` returns {name} of {jnp.result_type(new)} for one of {jnp.result_type(old)}: convert `params` "
                "and `state` to one dtype"
            )
    return after


def _described(tree: Tree) -> str:
    """Return a tree in one line, with ``*`` for arrays."""
    return " ".join(str(jax.tree.structure(tree)).removeprefix("PyTreeDef(").removesuffix(")").split())

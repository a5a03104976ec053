"""A cell over time: what masks, lengths, resets, direction and layers mean. Executors do the running."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.arrays.array_arguments import as_floats
from rnnlm_jax.arrays.mesh_axes import explicit_spec, vary_together, without_explicit_axes
from rnnlm_jax.cells.cell import Cell, Params, State, check_cell, check_size
from rnnlm_jax.cells.combinators import Bidirectional, Directions, Stack
from rnnlm_jax.compilation import warn_of_float64
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll.batch_axes import merge_batch_axes, split_batch_axis
from rnnlm_jax.unroll.control import Control, make_control, select
from rnnlm_jax.unroll.equal_layers import FEWEST, runs_of_layers, scan_layers, takes_traced_layer
from rnnlm_jax.unroll.executors import EXECUTORS, choose_executor
from rnnlm_jax.unroll.remat import chunk_length, scan_chunks

# (layer, its inputs over time) -> its inputs, as dropout makes them. The number of a layer among equal ones is traced
# if the function can do without knowing it; that of the lowest layer is always 0 itself.
LayerInput = Callable[[Any, Array], Array]


def unroll(
    cell: Cell[Params, State],
    params: Params,
    state: State,
    xs: Float[Array, "T *B D"],
    *,
    mask: Bool[Array, "T *B"] | None = None,
    lengths: Int[Array, "*B"] | None = None,
    resets: Bool[Array, "T *B"] | None = None,
    reverse: bool = False,
    unroll: int = 1,
    remat_chunk: int | str | None = None,
    layer_input: LayerInput | None = None,
    executor: str | None = None,
) -> tuple[State, Float[Array, "T *B H"]]:
    """Run a cell over time-major inputs and return its last state and all outputs.

        s_t = step(s_{t-1}, input_projection(x_t)),    h_t = readout(s_t),    t = 1 … T

    A step that is masked, or lies at or beyond its sequence's length, keeps the state and outputs zeros; its input is
    never read, so it may hold anything, NaN included. A reset puts the cell's initial state in place of ``s_{t-1}``
    before step t. Layers of a stack run one after the other, each over all of time.

    Arrays may be given as JAX or NumPy arrays, lists or numbers. Values are checked where they are known. Under ``jit``
    and jax's other transformations only shapes and dtypes can be: there a length beyond T counts as T, and a negative
    one as 0.

    Args:
        cell: the cell, a stack, or a bidirectional pair.
        params: its parameters, ``cell.init(key, D)``.
        state: the state before the first step, ``cell.initial_state((B,))`` or the one an earlier call returned.
        xs: the inputs, ``[T, *B, D]`` with any number of batch axes.
        mask: which steps count.
        lengths: the number of leading steps that count, zero included; with a mask, a step must pass both.
        resets: before which steps, in the order they are run, the state starts anew.
        reverse: run from the last step to the first; outputs stay in the order of the inputs.
        unroll: loop iterations compiled as one, see ``jax.lax.scan``.
        remat_chunk: steps in a chunk whose inside is computed again in the backward pass, or "sqrt" for ⌈√T⌉; None
            keeps everything.
        layer_input: applied to the inputs of each layer, ``(layer, xs) -> xs``: dropout between layers.
        executor: one of ``EXECUTORS``, which all compute the same; None: what ``choose_executor`` finds for each cell.

    Returns:
        the state after the last step of each sequence, and the outputs ``[T, *B, output_size]``.

    Raises:
        UserError: if the parameters are another cell's, shapes do not fit each other, inputs are not real numbers of a
            floating-point type, lengths are not whole numbers from 0 to T, ``unroll`` is not a positive number,
            ``remat_chunk`` is neither one nor "sqrt", or the executor is unknown or cannot run the cell.
    """
    check_cell("cell", cell)
    xs = as_floats("inputs", xs, cell.spec.param_dtype)
    if xs.ndim < 2:
        raise UserError(f"inputs are [T, *B, D], at least time and features, not of shape {xs.shape}")
    check_size("unroll", unroll)
    control = make_control(xs.shape[0], xs.shape[1:-1], mask, lengths, resets)
    if control.mask is not None:
        xs = select(control.mask, xs, 0)
    check_params(cell, params, xs.shape[-1])
    check_state(cell, state, xs.shape[1:-1])
    warn_of_float64(*map(jnp.result_type, jax.tree.leaves((xs, state))))
    runner = _Runner(control, unroll, remat_chunk, layer_input or (lambda layer, xs: xs), executor)
    return runner.run(cell, params, state, xs, reverse, 0)


@functools.lru_cache(maxsize=256)
def parameter_shapes(cell: Cell, input_size: int) -> Tree:
    """The parameters of a cell as a tree of shapes."""
    return jax.eval_shape(lambda: cell.init(jax.random.key(0), input_size))


def check_params(cell: Cell, params: Tree, input_size: int) -> None:
    """Check that parameters have the structure and the shapes that the cell and its inputs ask for.

    Raises:
        UserError: if they have not, naming what they have and what they should have.
    """
    wanted = parameter_shapes(cell, input_size)
    if jax.tree.structure(wanted) != jax.tree.structure(params):
        raise UserError(f"not the parameters of this {cell.spec.kind} cell: use those of cell.init(key, {input_size})")
    for (path, want), have in zip(jax.tree.leaves_with_path(wanted), jax.tree.leaves(params), strict=True):
        if want.shape != jnp.shape(have):
            name = jax.tree_util.keystr(path)
            raise UserError(
                f"parameters{name} of shape {jnp.shape(have)} do not fit this {cell.spec.kind} cell on inputs of "
                f"{input_size} features, which takes {want.shape}: check hidden_size and input_size"
            )
        if not jnp.issubdtype(jnp.result_type(have), jnp.floating):
            name = jax.tree_util.keystr(path)
            raise UserError(f"parameters{name} are {jnp.result_type(have)}: convert them to floating-point numbers")


def check_state(cell: Cell, state: Tree, batch_shape: tuple[int, ...]) -> None:
    """Check that a state has the structure, shapes and dtypes that the cell and the batch ask for.

    Raises:
        UserError: if it has not, naming what it has and what it should have.
    """
    wanted = jax.eval_shape(lambda: cell.initial_state(batch_shape))
    if jax.tree.structure(wanted) != jax.tree.structure(state):
        raise UserError(f"not a state of this {cell.spec.kind} cell: start from cell.initial_state({batch_shape})")
    for want, have in zip(jax.tree.leaves(wanted), jax.tree.leaves(state), strict=True):
        if want.shape != jnp.shape(have):
            raise UserError(f"a state of shape {jnp.shape(have)} does not fit these inputs: they ask for {want.shape}")
        if want.dtype != jnp.result_type(have):
            raise UserError(f"a state of {jnp.result_type(have)} does not fit a cell that keeps it in {want.dtype}")


def count_layers(cell: Cell) -> int:
    """The number of layers one above the other: stacks inside a stack count all of theirs."""
    if isinstance(cell, Stack):
        return sum(map(count_layers, cell.layers))
    if isinstance(cell, Bidirectional):
        return max(count_layers(cell.forward), count_layers(cell.backward))
    return 1


class _Runner:
    """One call of ``unroll``: what all its layers and directions share."""

    def __init__(
        self,
        control: Control,
        factor: int,
        remat_chunk: int | str | None,
        layer_input: LayerInput,
        executor: str | None,
    ):
        self.control = control
        self.factor = factor
        self.remat_chunk = remat_chunk
        self.layer_input = layer_input
        self.executor = executor

    def run(self, cell: Cell, params: Tree, state: Tree, xs: Array, reverse: bool, layer: int) -> tuple[Tree, Array]:
        """A cell of any make, its lowest layer being number ``layer``."""
        if isinstance(cell, Stack):
            return self.run_layers(cell, params, state, xs, reverse, layer)
        if isinstance(cell, Bidirectional):
            last_forward, ahead = self.run(cell.forward, params.forward, state.forward, xs, reverse, layer)
            last_backward, back = self.run(cell.backward, params.backward, state.backward, xs, not reverse, layer)
            return Directions(last_forward, last_backward), jnp.concatenate([ahead, back], axis=-1)
        return self.run_single(cell, params, state, self.layer_input(layer, xs), reverse)

    def run_layers(
        self, stack: Stack, params: Tree, state: Tree, xs: Array, reverse: bool, layer: int
    ) -> tuple[Tree, Array]:
        """The layers of a stack, one after the other."""
        last: list[Tree] = []
        for run in runs_of_layers(stack, params, state):
            if len(run) >= FEWEST and takes_traced_layer(self.layer_input, xs):
                finals, xs = self.run_equal(stack, params, state, xs, reverse, layer, run)
                last += finals
                layer += len(run)
                continue
            for k in run:
                final, hs = self.run(stack.layers[k], params[k], state[k], xs, reverse, layer)
                layer += count_layers(stack.layers[k])
                last.append(final)
                xs = hs + xs if stack.residual and k > 0 else hs
        return tuple(last), xs

    def run_equal(
        self, stack: Stack, params: Tree, state: Tree, xs: Array, reverse: bool, layer: int, run: list[int]
    ) -> tuple[list[Tree], Array]:
        """Equal layers of a stack, those of ``run``, the lowest of them being number ``layer``."""
        cell = stack.layers[run[0]]

        def run_one(params: Tree, state: Tree, xs: Array, layer: Array) -> tuple[Tree, Array]:
            last, hs = self.run_single(cell, params, state, self.layer_input(layer, xs), reverse)
            return last, hs + xs if stack.residual else hs

        params, state, xs = vary_together(([params[k] for k in run], [state[k] for k in run], xs))
        return scan_layers(run_one, params, state, xs, layer)

    def run_single(self, cell: Cell, params: Tree, state: Tree, xs: Array, reverse: bool) -> tuple[Tree, Array]:
        """A cell that steps, in one run or in chunks; masked outputs are zero."""
        params, state, xs, control = vary_together((params, state, xs, self.control))
        run = functools.partial(self.run_merged, cell, reverse=reverse)
        last, hs = without_explicit_axes(run, (params, state, xs, control), result_specs(state, xs))
        return last, hs if control.mask is None else select(control.mask, hs, 0)

    def run_merged(
        self, cell: Cell, params: Tree, state: Tree, xs: Array, control: Control, reverse: bool
    ) -> tuple[Tree, Array]:
        """A cell that steps, its batch axes merged into one for the executor."""
        batch_shape = xs.shape[1:-1]
        xs, control = merge_batch_axes((xs, control), batch_shape, before=1)
        state = merge_batch_axes(state, batch_shape, before=0)
        name = choose_executor(cell, params, xs, control, jax.default_backend(), self.executor)
        execute = EXECUTORS[name].run

        def run(state: Tree, inputs: tuple[Array, Control]) -> tuple[Tree, Array]:
            return execute(cell, params, state, inputs[0], inputs[1], reverse, self.factor)

        inputs = (xs, control)
        if self.remat_chunk is None:
            last, hs = run(state, inputs)
        else:
            last, hs = scan_chunks(run, state, inputs, chunk_length(xs.shape[0], self.remat_chunk), reverse)
        return split_batch_axis(last, batch_shape, before=0), split_batch_axis(hs, batch_shape, before=1)


def result_specs(state: Tree, xs: Array) -> tuple[Tree, PartitionSpec]:
    """How the last state and the outputs lie on a mesh of explicit axes.

    A state keeps its sharding; where a batch axis of it is whole, it takes that of the inputs. Outputs have the
    sharding of the inputs, their features whole.
    """
    steps, *batch, _ = explicit_spec(xs)

    def of_state(leaf: Array) -> PartitionSpec:
        spec = explicit_spec(leaf)
        used = mesh_axes(spec)
        for axis, other in enumerate(batch):
            if spec[axis] is None and not used & mesh_axes([other]):
                spec[axis] = other
        return PartitionSpec(*spec)

    return jax.tree.map(of_state, state), PartitionSpec(steps, *batch, None)


def mesh_axes(spec: list[Any]) -> set[str]:
    """The names in a list of mesh axes, some of which may be tuples or None."""
    return {name for entry in spec if entry for name in ((entry,) if isinstance(entry, str) else entry)}

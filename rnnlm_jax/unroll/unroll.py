"""A cell over time: masks, lengths, resets, direction and layers. Executors run the single cells."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.arrays.array_arguments import as_floats
from rnnlm_jax.arrays.mesh_axes import explicit_spec, vary_together, without_explicit_axes
from rnnlm_jax.cells.cell import Cell, Params, State, check_cell, check_size
from rnnlm_jax.cells.combinators import Bidirectional, Directions, Passed, Stack
from rnnlm_jax.compilation import warn_of_float64
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.unroll.batch_axes import merge_batch_axes, split_batch_axis
from rnnlm_jax.unroll.control import Control, make_control, select
from rnnlm_jax.unroll.equal_layers import FEWEST_LOOPED, runs_of_layers, scan_layers, takes_traced_layer
from rnnlm_jax.unroll.executor import Executor
from rnnlm_jax.unroll.executors import choose_executor, find_executor
from rnnlm_jax.unroll.newton import Newton
from rnnlm_jax.unroll.parallel_states import Certificate
from rnnlm_jax.unroll.remat import chunk_length, scan_chunks

#: (layer, xs ``[T, *B, D]``) -> xs: dropout of the inputs of a layer. The index of one of many equal layers is traced
#: if the function accepts that; the index of the lowest layer is always the int 0.
LayerInputFn = Callable[[Any, Array], Array]


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
    scan_unroll: int = 1,
    remat_chunk: int | str | None = None,
    layer_input: LayerInputFn | None = None,
    executor: str | Executor | None = None,
) -> tuple[State, Float[Array, "T *B H"]]:
    """Run a cell over time-major inputs; return the last state and all outputs.

        s_t = step(s_{t-1}, input_projection(x_t)),    h_t = output(s_t),    t = 1 … T

    A step that is masked, or at or beyond its sequence's length, keeps the state and outputs zeros; its input is not
    read and may hold anything, NaN included. A reset replaces ``s_{t-1}`` by the cell's initial state before step t.
    Layers of a stack run one after the other, each over all of time.

    Arrays may be JAX or NumPy arrays, lists or numbers. Values are checked where they are known. Under ``jit`` and
    other transformations of jax only shapes and dtypes are checked: there a length beyond T counts as T, and a negative
    one as 0.

    Args:
        cell: the cell, a stack, or a bidirectional pair.
        params: its parameters, ``cell.init(key, D)``.
        state: the state before the first step, ``cell.initial_state((B,))`` or the one an earlier call returned.
        xs: the inputs, ``[T, *B, D]`` with any number of batch axes.
        mask: which steps count.
        lengths: the number of leading steps that count, from 0 to T; with a mask, a step must pass both.
        resets: before which steps, in the order in which they run, the state is reset.
        reverse: run from the last step to the first; outputs stay in the order of the inputs.
        scan_unroll: loop iterations compiled as one, see ``jax.lax.scan``.
        remat_chunk: steps in a chunk that is rematerialised in the backward pass, or "sqrt" for ⌈√T⌉; None keeps all
            residuals.
        layer_input: function ``(layer, xs) -> xs`` applied to the inputs of each layer: dropout between layers.
        executor: one of ``EXECUTORS``, which all compute the same, or one with options, such as
            ``Newton(max_iterations=20)``; None: the choice of ``choose_executor`` for each cell.

    Returns:
        the state after the last step of each sequence, and the outputs ``[T, *B, output_size]``.

    Raises:
        ArgumentError: if parameters or state are another cell's, shapes do not fit each other, inputs are not real
            floating-point numbers, lengths are not whole numbers from 0 to T, ``scan_unroll`` is not a positive number,
            ``remat_chunk`` is neither one nor "sqrt", or the executor is unknown.
        DeviceError: if the requested executor cannot run the cell.
    """
    options = _Options(
        scan_unroll=scan_unroll,
        remat_chunk=remat_chunk,
        layer_input=layer_input or (lambda layer, xs: xs),
        executor=executor,
    )
    xs, control = check_arguments(cell, params, state, xs, mask, lengths=lengths, resets=resets, options=options)
    last, hs, _ = _Runner(control, options).run(cell, params, state, xs, reverse=reverse, layer=0)
    return last, hs


def certified_unroll(
    cell: Cell[Params, State],
    params: Params,
    state: State,
    xs: Float[Array, "T *B D"],
    *,
    mask: Bool[Array, "T *B"] | None = None,
    lengths: Int[Array, "*B"] | None = None,
    resets: Bool[Array, "T *B"] | None = None,
    reverse: bool = False,
    layer_input: LayerInputFn | None = None,
    executor: Newton | None = None,
) -> tuple[State, Float[Array, "T *B H"], tuple[Certificate, ...]]:
    """Return what ``unroll`` returns with the executor ``newton``, and how well it converged.

    Args:
        cell, params, state, xs, mask, lengths, resets, reverse, layer_input: see ``unroll``.
        executor: Newton's method with its options; None: the defaults.

    Returns:
        the state after the last step of each sequence; the outputs ``[T, *B, output_size]``; and a ``Certificate`` of
        each single cell, the lowest layer first, of a pair the forward cell first. Where ``converged`` is False, states
        and outputs are those of the sequential scan.

    Raises:
        ArgumentError: as ``unroll`` does, and if the executor is not a ``Newton``.
    """
    executor = Newton() if executor is None else executor
    if not isinstance(executor, Newton):
        raise ArgumentError(f"`executor` must be a Newton, such as Newton(max_iterations=20), not {executor!r:.60}")
    options = _Options(
        scan_unroll=1, remat_chunk=None, layer_input=layer_input or (lambda layer, xs: xs), executor=executor
    )
    xs, control = check_arguments(cell, params, state, xs, mask, lengths=lengths, resets=resets, options=options)
    return _Runner(control, options, certified=True).run(cell, params, state, xs, reverse=reverse, layer=0)


def check_arguments(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T *B D"],
    mask: Bool[Array, "T *B"] | None,
    *,
    lengths: Int[Array, "*B"] | None,
    resets: Bool[Array, "T *B"] | None,
    options: "_Options",
) -> tuple[Float[Array, "T *B D"], Control]:
    """Check the arguments of ``unroll``; return inputs with zeros in masked steps, and masks and resets.

    Raises:
        ArgumentError: if they are not as ``unroll`` says.
    """
    check_cell("cell", cell)
    xs = as_floats("xs", xs, cell.spec.param_dtype)
    if xs.ndim < 2:
        raise ArgumentError(f"`xs` must be [T, *B, D], at least time and features, not of shape {xs.shape}")
    check_size("scan_unroll", options.scan_unroll)
    control = make_control(xs.shape[0], xs.shape[1:-1], mask, lengths=lengths, resets=resets)
    if control.mask is not None:
        xs = select(control.mask, xs, 0)
    check_params(cell, params, xs.shape[-1])
    check_state(cell, state, xs.shape[1:-1])
    warn_of_float64(*map(jnp.result_type, jax.tree.leaves((xs, state))))
    return xs, control


@functools.lru_cache(maxsize=256)
def parameter_shapes(cell: Cell, input_size: int) -> Tree:
    """Return the parameters of a cell as a tree of shapes and dtypes."""
    return jax.eval_shape(lambda: cell.init(jax.random.key(0), input_size))


def check_params(cell: Cell, params: Tree, input_size: int) -> None:
    """Check that parameters have the structure and the shapes of a cell's.

    Raises:
        ArgumentError: if they do not; it names their shape and the right one.
    """
    wanted = parameter_shapes(cell, input_size)
    if jax.tree.structure(wanted) != jax.tree.structure(params):
        right = f"cell.init(key, {input_size})"
        raise ArgumentError(f"not the parameters of this {cell.spec.kind} cell: use those of {right}")
    for (path, want), have in zip(jax.tree.leaves_with_path(wanted), jax.tree.leaves(params), strict=True):
        if want.shape != jnp.shape(have):
            name = jax.tree_util.keystr(path)
            raise ArgumentError(
                f"parameters{name} of shape {jnp.shape(have)} do not fit this {cell.spec.kind} cell on inputs of "
                f"{input_size} features, which takes {want.shape}: check hidden_size and input_size"
            )
        if not jnp.issubdtype(jnp.result_type(have), jnp.floating):
            name = jax.tree_util.keystr(path)
            raise ArgumentError(f"parameters{name} are {jnp.result_type(have)}: convert them to floating-point numbers")


def check_state(cell: Cell, state: Tree, batch_shape: tuple[int, ...]) -> None:
    """Check that a state has the structure, shapes and dtypes of a cell's.

    Raises:
        ArgumentError: if it does not; it names its shape or dtype and the right one.
    """
    wanted = jax.eval_shape(lambda: cell.initial_state(batch_shape))
    if jax.tree.structure(wanted) != jax.tree.structure(state):
        raise ArgumentError(f"not a state of this {cell.spec.kind} cell: start from cell.initial_state({batch_shape})")
    for want, have in zip(jax.tree.leaves(wanted), jax.tree.leaves(state), strict=True):
        if want.shape != jnp.shape(have):
            raise ArgumentError(f"a state of shape {jnp.shape(have)} does not fit these inputs: they need {want.shape}")
        if want.dtype != jnp.result_type(have):
            raise ArgumentError(f"a state of {jnp.result_type(have)} does not fit a cell that keeps it in {want.dtype}")


def count_layers(cell: Cell) -> int:
    """Return the number of layers one above the other, those of stacks inside a stack included."""
    if isinstance(cell, Stack):
        return sum(map(count_layers, cell.layers))
    if isinstance(cell, Bidirectional):
        return max(count_layers(cell.forward), count_layers(cell.backward))
    return 1


@dataclass(frozen=True, kw_only=True)
class _Options:
    """Arguments of one call of ``unroll`` that all layers and directions share."""

    scan_unroll: int
    remat_chunk: int | str | None
    layer_input: LayerInputFn
    executor: str | Executor | None


#: A state after the last step, outputs, and a certificate of each single cell (none unless they are wanted).
_Found = tuple[Tree, Array, tuple[Certificate, ...]]


@dataclass(frozen=True)
class _Runner:
    """One call of ``unroll``."""

    control: Control
    options: _Options
    certified: bool = False
    """Whether certificates are wanted."""

    def run(self, cell: Cell, params: Tree, state: Tree, xs: Array, *, reverse: bool, layer: int) -> _Found:
        """Run a cell, a stack or a pair whose lowest layer has index ``layer``."""
        if isinstance(cell, Stack):
            return self.run_layers(cell, params, state, xs, reverse=reverse, layer=layer)
        if isinstance(cell, Bidirectional):
            last_forward, ahead, certificates = self.run(
                cell.forward, params.forward, state.forward, xs, reverse=reverse, layer=layer
            )
            last_backward, back, more = self.run(
                cell.backward, params.backward, state.backward, xs, reverse=not reverse, layer=layer
            )
            last = Directions(last_forward, last_backward)
            return last, jnp.concatenate([ahead, back], axis=-1), certificates + more
        return self.run_single(cell, params, state, self.options.layer_input(layer, xs), reverse=reverse)

    def run_layers(self, stack: Stack, params: Tree, state: Tree, xs: Array, *, reverse: bool, layer: int) -> _Found:
        """Run the layers of a stack, one after the other."""
        last: list[Tree] = []
        certificates: tuple[Certificate, ...] = ()
        passed: Passed | None = None
        for run in runs_of_layers(stack, params, state):
            looped = len(run) >= FEWEST_LOOPED and not self.certified
            if looped and passed is not None and takes_traced_layer(self.options.layer_input, passed.below):
                finals, passed = self.run_equal(stack, params, state, passed, reverse=reverse, layer=layer, run=run)
                last += finals
                layer += len(run)
                continue
            for k in run:
                below = xs if passed is None else passed.below
                final, hs, more = self.run(stack.layers[k], params[k], state[k], below, reverse=reverse, layer=layer)
                layer += count_layers(stack.layers[k])
                last.append(final)
                certificates += more
                passed = stack.passed(hs, passed)
        assert passed is not None
        return tuple(last), passed.output, certificates

    def run_equal(
        self, stack: Stack, params: Tree, state: Tree, passed: Passed, *, reverse: bool, layer: int, run: list[int]
    ) -> tuple[list[Tree], Passed]:
        """Run equal layers of a stack, those at the positions ``run``, the lowest of which has index ``layer``."""
        cell = stack.layers[run[0]]

        def run_one(params: Tree, state: Tree, passed: Passed, layer: Array) -> tuple[Tree, Passed]:
            xs = self.options.layer_input(layer, passed.below)
            last, hs, _ = self.run_single(cell, params, state, xs, reverse=reverse)
            return last, stack.passed(hs, passed)

        params, state, passed = vary_together(([params[k] for k in run], [state[k] for k in run], passed))
        return scan_layers(run_one, params, state, passed, lowest=layer)

    def run_single(self, cell: Cell, params: Tree, state: Tree, xs: Array, *, reverse: bool) -> _Found:
        """Run a single cell; masked outputs are zero."""
        params, state, xs, control = vary_together((cell.prepare(params), state, xs, self.control))
        run = functools.partial(self.run_merged, cell, reverse=reverse)
        specs = result_specs(state, xs, certified=self.certified)
        last, hs, certificates = without_explicit_axes(run, (params, state, xs, control), specs)
        return last, hs if control.mask is None else select(control.mask, hs, 0), certificates

    def run_merged(
        self, cell: Cell, params: Tree, state: Tree, xs: Array, control: Control, *, reverse: bool
    ) -> _Found:
        """Run a single cell by its executor, with its batch axes merged into one, at once or in chunks of time."""
        batch_shape = xs.shape[1:-1]
        xs, control = merge_batch_axes((xs, control), batch_shape, before=1)
        state = merge_batch_axes(state, batch_shape, before=0)
        requested, platform = self.options.executor, jax.default_backend()
        name = choose_executor(cell, params, xs, control, platform=platform, executor=requested)
        execute, scan_unroll = find_executor(requested or name), self.options.scan_unroll
        certificates: tuple[Certificate, ...] = ()

        def run(state: Tree, inputs: tuple[Array, Control]) -> tuple[Tree, Array]:
            return execute.run(cell, params, state, *inputs, reverse=reverse, scan_unroll=scan_unroll)

        inputs = (xs, control)
        if self.certified and isinstance(execute, Newton):
            last, hs, certificate = execute.run_certified(cell, params, state, xs, control, reverse=reverse)
            certificates = (split_batch_axis(certificate, batch_shape, before=0),)
        elif self.options.remat_chunk is None:
            last, hs = run(state, inputs)
        else:
            chunk = chunk_length(xs.shape[0], self.options.remat_chunk)
            last, hs = scan_chunks(run, state, inputs, chunk=chunk, reverse=reverse)
        last, hs = split_batch_axis(last, batch_shape, before=0), split_batch_axis(hs, batch_shape, before=1)
        return last, hs, certificates


def result_specs(state: Tree, xs: Array, *, certified: bool) -> tuple[Tree, PartitionSpec, Tree]:
    """Return the shardings of the last state, the outputs and the certificates on a mesh of explicit axes.

    A state keeps its sharding; a batch axis of it that is not sharded takes the sharding of the inputs. Outputs have
    the sharding of the inputs, their features not sharded.
    """
    steps, *batch, _ = explicit_spec(xs)

    def of_state(leaf: Array) -> PartitionSpec:
        spec = explicit_spec(leaf)
        used = mesh_axes(spec)
        for axis, other in enumerate(batch):
            if spec[axis] is None and not used & mesh_axes([other]):
                spec[axis] = other
        return PartitionSpec(*spec)

    of_sequences: Any = PartitionSpec(*batch)
    certificates = (Certificate(of_sequences, of_sequences, of_sequences),) if certified else ()
    return jax.tree.map(of_state, state), PartitionSpec(steps, *batch, None), certificates


def mesh_axes(spec: Iterable[Any]) -> set[str]:
    """Return the names in a list of mesh axes, some of which may be tuples or None."""
    return {name for entry in spec if entry for name in ((entry,) if isinstance(entry, str) else entry)}

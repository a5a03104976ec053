"""Products of step Jacobians through time, ``∂s_i / ∂s_j = J_i ⋯ J_{j+1}``, at any lag; rows are outputs.

A product's size is kept apart from its matrix, so that neither forgetting nor exploding leaves the range of the
floating-point numbers, and lags are streamed: nothing of size T × n × n is stored unless it is asked for. The matrix is
a plain product: its leading singular values are right, not the trailing ones (``spectrum`` gives those).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.combinators import Stack
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians.arguments import inputs_over_time
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.norms import norm
from rnnlm_jax.jacobians.power_of_two import PowerOfTwo, power_of_two
from rnnlm_jax.jacobians.state_vector import state_size
from rnnlm_jax.jacobians.step_jacobian import jacobian_of
from rnnlm_jax.jacobians.trajectory import trajectory


class ScaledMatrix(NamedTuple):
    """``exp(log_scale) · matrix`` with ``‖matrix‖_F = 1``; an exactly zero one has scale -inf (nats) and matrix 0."""

    log_scale: Float[Array, "*B"]
    matrix: Float[Array, "*B m n"]

    def plain(self) -> Float[Array, "*B m n"]:
        """The matrix multiplied out; it may be zero or infinite where the scale leaves the range of the dtype."""
        return jnp.exp(self.log_scale)[..., None, None] * self.matrix


Reduce = Callable[[ScaledMatrix], Tree]


def scaled(matrix: Float[Array, "*B m n"]) -> ScaledMatrix:
    """A matrix of any size as a ``ScaledMatrix``."""
    return _scaled(power_of_two(matrix))


def step_jacobians(cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T *B D"]) -> Float[Array, "T *B n n"]:
    """Every ``J_t = ∂s_t / ∂s_{t-1}`` along a sequence, stored: the state before step 1 is ``state``."""

    return _step_jacobians(cell, params, state, inputs_over_time(cell, state, xs, batched=True))


@compiled("cell")
def _step_jacobians(cell: Cell, params: Tree, state: Tree, xs: Array) -> Float[Array, "T *B n n"]:
    def one(state: Tree, xs: Array) -> Array:
        jacobian = jacobian_of(cell, params)

        def step(state: Tree, z: Array) -> tuple[Tree, Array]:
            return cell.step(params, state, z), jacobian(state, z)

        return jax.lax.scan(step, state, cell.input_projection(params, xs))[1]

    return _over_batch(one, state, xs, out_axes=1)


def state_product(cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T *B D"], i: int, j: int) -> ScaledMatrix:
    """``∂s_i / ∂s_j = J_i ⋯ J_{j+1}`` of the full state, where ``state`` is s_0 and s_t follows the inputs ``xs[:t]``.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: s_0, with the batch axes of the inputs (``cell.initial_state(batch_shape)``).
        xs: the inputs, ``[T, *B, D]`` with any number of batch axes.
        i: the later time.
        j: the earlier time; the identity where it equals i.

    Returns:
        scales ``[*B]`` (nats) and matrices ``[*B, n, n]``.

    Raises:
        UserError: unless ``0 <= j <= i <= T``.
    """
    xs = inputs_over_time(cell, state, xs, batched=True)
    if not 0 <= j <= i <= xs.shape[0]:
        raise UserError(f"times must satisfy 0 <= j <= i <= {xs.shape[0]}, not i = {i} and j = {j}")
    return _state_product(cell, params, state, xs, i, j)


@compiled("cell", "i", "j")
def _state_product(cell: Cell, params: Tree, state: Tree, xs: Array, i: int, j: int) -> ScaledMatrix:
    def one(state: Tree, xs: Array) -> ScaledMatrix:
        zs, jacobian = cell.input_projection(params, xs), jacobian_of(cell, params)
        state, _ = jax.lax.scan(lambda s, z: (cell.step(params, s, z), None), state, zs[:j])

        def step(carry: tuple[Tree, PowerOfTwo], z: Array) -> tuple[tuple[Tree, PowerOfTwo], None]:
            state, product = carry
            return (cell.step(params, state, z), _multiplied(power_of_two(jacobian(state, z)), product)), None

        (_, product), _ = jax.lax.scan(step, (state, _identity(cell)), zs[j:i])
        return _scaled(product)

    return _over_batch(one, state, xs, out_axes=0)


def products(cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T *B D"], reduce: Reduce | None = None) -> Tree:
    """``∂s_ℓ / ∂s_0`` for every lag ℓ = 1 … T: how far what is in the state at first reaches.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: s_0, with the batch axes of the inputs.
        xs: the inputs, ``[T, *B, D]`` with any number of batch axes.
        reduce: called on each product of one sequence inside the loop, a ``ScaledMatrix`` without batch axes, so that
            only what it returns is stored; None stores the products, T·n² numbers a sequence. It must be pure: called
            again with the same function and shapes, what was compiled is used again.

    Returns:
        what ``reduce`` returns with leading axes ``[T, *B]``, entry ℓ - 1 for lag ℓ.
    """
    return _products(cell, params, state, inputs_over_time(cell, state, xs, batched=True), reduce)


@compiled("cell", "reduce")
def _products(cell: Cell, params: Tree, state: Tree, xs: Array, reduce: Reduce | None) -> Tree:
    kept = reduce or (lambda product: product)

    def one(state: Tree, xs: Array) -> Tree:
        jacobian = jacobian_of(cell, params)

        def step(carry: tuple[Tree, PowerOfTwo], z: Array) -> tuple[tuple[Tree, PowerOfTwo], Tree]:
            state, product = carry
            product = _multiplied(power_of_two(jacobian(state, z)), product)
            return (cell.step(params, state, z), product), kept(_scaled(product))

        return jax.lax.scan(step, (state, _identity(cell)), cell.input_projection(params, xs))[1]

    return _over_batch(one, state, xs, out_axes=1)


def products_to_end(
    cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T *B D"], reduce: Reduce | None = None
) -> Tree:
    """``∂s_T / ∂s_{T-ℓ}`` for every lag ℓ = 1 … T: from how far back a gradient at the last step comes.

    The states are computed forwards and kept; then the products grow on the right, backwards in time, as in
    backpropagation: lag ℓ multiplies by ``J_{T-ℓ+1}``. Arguments and result as in ``products``.
    """
    return _products_to_end(cell, params, state, inputs_over_time(cell, state, xs, batched=True), reduce)


@compiled("cell", "reduce")
def _products_to_end(cell: Cell, params: Tree, state: Tree, xs: Array, reduce: Reduce | None) -> Tree:
    kept = reduce or (lambda product: product)

    def one(state: Tree, xs: Array) -> Tree:
        zs, jacobian = cell.input_projection(params, xs), jacobian_of(cell, params)
        states = trajectory(cell, params, state, zs).before

        def step(product: PowerOfTwo, at: tuple[Tree, Array]) -> tuple[PowerOfTwo, Tree]:
            product = _multiplied(product, power_of_two(jacobian(*at)))
            return product, kept(_scaled(product))

        backwards = jax.tree.map(lambda each: each[::-1], (states, zs))
        return jax.lax.scan(step, _identity(cell), backwards)[1]

    return _over_batch(one, state, xs, out_axes=1)


def part_of(cell: Cell, part: str, layer: int | None = None) -> slice:
    """Where a part of the state lies in the state's vector: ``∂h_i/∂h_j`` is a block of ``∂s_i/∂s_j``.

    Args:
        cell: a cell, or a stack of them.
        part: a field of its state: "hidden", or the "cell" of an LSTM.
        layer: which layer of a stack, from 0 for the lowest; stacks inside a stack count all their layers.

    Raises:
        UserError: if the state has no such part, or the layer is missing or does not exist.
    """
    states = _layer_states(cell, jax.eval_shape(lambda: cell.initial_state(())))
    if layer is None and isinstance(cell, Stack):
        raise UserError(f"say which layer of the stack, from 0 to {len(states) - 1}: part_of(cell, {part!r}, layer=0)")
    number = layer or 0
    if not 0 <= number < len(states):
        raise UserError(f"there is no layer {layer}: layers are numbered from 0 to {len(states) - 1}")
    fields = states[number]._fields
    if part not in fields:
        raise UserError(f"the state has no part {part!r}: it has {', '.join(fields)}")
    index = fields.index(part)
    start = _size((states[:number], states[number][:index]))
    return slice(start, start + _size(states[number][index]))


def select(product: ScaledMatrix, rows: slice, columns: slice) -> ScaledMatrix:
    """A block of a product, scaled anew: ``select(p, part_of(cell, "hidden"), part_of(cell, "cell"))`` is ∂h/∂c."""
    block = scaled(product.matrix[..., rows, columns])
    return ScaledMatrix(product.log_scale + block.log_scale, block.matrix)


def _over_batch(one: Callable[[Tree, Array], Tree], state: Tree, xs: Array, out_axes: int) -> Tree:
    """``one(state, xs[T, D])`` for each sequence of ``xs[T, *B, D]``."""
    for _ in range(xs.ndim - 2):
        one = jax.vmap(one, in_axes=(0, 1), out_axes=out_axes)
    with jax.default_matmul_precision("highest"):  # not the ten bits of a GPU's default for float32
        return one(state, xs)


def _layer_states(cell: Cell, state: Tree) -> list[Any]:
    """The states of all layers, lowest first: their order in the state's vector."""
    if not isinstance(cell, Stack):
        return [state]
    return [each for layer, s in zip(cell.layers, state, strict=True) for each in _layer_states(layer, s)]


def _size(state: Tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(state))


def _identity(cell: Cell) -> PowerOfTwo:
    return power_of_two(jnp.eye(state_size(cell), dtype=cell.spec.param_dtype))


def _multiplied(left: PowerOfTwo, right: PowerOfTwo) -> PowerOfTwo:
    product = power_of_two(left.matrix @ right.matrix)
    return product._replace(exponent=product.exponent + left.exponent + right.exponent)


def _scaled(product: PowerOfTwo) -> ScaledMatrix:
    *batch_shape, rows, columns = product.matrix.shape
    size = norm(product.matrix.reshape(*batch_shape, rows * columns))
    zero = size == 0
    divisor = jnp.where(zero, jnp.ones((), size.dtype), size)
    log_scale = product.exponent.astype(size.dtype) * jnp.log(jnp.full((), 2, size.dtype)) + jnp.log(divisor)
    log_scale = jnp.where(zero, -jnp.inf, log_scale)
    return ScaledMatrix(log_scale, product.matrix / divisor[..., None, None])

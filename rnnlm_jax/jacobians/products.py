"""Products of step Jacobians through time, ``∂s_i / ∂s_j = J_i ⋯ J_{j+1}``, at any lag i - j; rows are outputs.

The norm of a product is kept as a logarithm beside its matrix, so that it neither underflows nor overflows. Products at
successive lags are computed in a loop that stores only what a reduction returns. The matrix is a plain product, whose
leading singular values are accurate, but not the trailing ones (``spectrum`` computes those).
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.tree import leaves_with_path
from jax.tree_util import keystr
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.arrays.power_of_two import ScaledByPowerOfTwo, scale_by_power_of_two
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.combinators import Stack
from rnnlm_jax.cells.state_vector import state_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import inputs_over_time
from rnnlm_jax.jacobians.arithmetic.norms import norm
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.step_jacobian import jacobian_function
from rnnlm_jax.jacobians.trajectory import trajectory


class ScaledMatrix(NamedTuple):
    """``exp(log_scale) · matrix`` with ``‖matrix‖_F = 1`` and the scale in nats; zero has scale -inf and matrix 0."""

    log_scale: Float[Array, "*B"]
    matrix: Float[Array, "*B m n"]

    def plain(self) -> Float[Array, "*B m n"]:
        """Return the plain matrix; it may be zero or infinite where the scale is out of the range of the dtype."""
        return jnp.exp(self.log_scale)[..., None, None] * self.matrix


class Reduce(Protocol):
    """A pure function of one product. Repeated calls with the same function use the same compiled program."""

    def __call__(self, product: ScaledMatrix, /) -> Tree:
        """Return what is to be kept of a product of one sequence, a ``ScaledMatrix`` without batch axes."""
        ...


def keep_product(product: ScaledMatrix) -> ScaledMatrix:
    """Return the product itself: the reduction that keeps everything."""
    return product


def scaled(matrix: Float[Array, "*B m n"]) -> ScaledMatrix:
    """Return a matrix with entries of any magnitude as a ``ScaledMatrix``."""
    return as_scaled_matrix(scale_by_power_of_two(matrix))


def step_jacobians(
    cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T *B D"] | ArrayLike
) -> Float[Array, "T *B n n"]:
    """Return every ``J_t = ∂s_t / ∂s_{t-1}``, t = 1 … T, with ``s_0 = state``: T·n² numbers a sequence."""
    return _step_jacobians(cell, params, state, inputs_over_time(cell, state, xs, batched=True))


@compiled("cell")
def _step_jacobians(cell: Cell, params: Tree, state: Tree, xs: Array) -> Float[Array, "T *B n n"]:
    def one(state: Tree, xs: Array) -> Array:
        jacobian = jacobian_function(cell, params)

        def step(state: Tree, z: Array) -> tuple[Tree, Array]:
            return cell.step(params, state, z), jacobian(state, z)

        return jax.lax.scan(step, state, cell.input_projection(params, xs))[1]

    return over_batch(one, state, xs, out_axes=1)


def state_product(
    cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T *B D"] | ArrayLike, *, i: int, j: int
) -> ScaledMatrix:
    """Return ``∂s_i / ∂s_j = J_i ⋯ J_{j+1}`` of the full state, where s_t is the state after the inputs ``xs[:t]``.

    It costs O(n³) a step.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: s_0, with the batch axes of the inputs (``cell.initial_state(batch_shape)``).
        xs: the inputs, ``[T, *B, D]`` with any number of batch axes.
        i: the later time in steps.
        j: the earlier time in steps; if it equals i, the product is the identity.

    Returns:
        scales ``[*B]`` (nats) and matrices ``[*B, n, n]``.

    Raises:
        ArgumentError: unless ``0 <= j <= i <= T``.
    """
    xs = inputs_over_time(cell, state, xs, batched=True)
    if not 0 <= j <= i <= xs.shape[0]:
        raise ArgumentError(f"`i` and `j` must satisfy 0 <= j <= i <= {xs.shape[0]}, not i = {i} and j = {j}")
    return _state_product(cell, params, state, xs, i=i, j=j)


@compiled("cell", "i", "j")
def _state_product(cell: Cell, params: Tree, state: Tree, xs: Array, *, i: int, j: int) -> ScaledMatrix:
    def one(state: Tree, xs: Array) -> ScaledMatrix:
        return as_scaled_matrix(product_of_steps(cell, params, state, cell.input_projection(params, xs[:i]), j=j)[1])

    return over_batch(one, state, xs, out_axes=0)


def product_of_steps(
    cell: Cell, params: Tree, state: Tree, zs: Float[Array, "i GH"], *, j: int
) -> tuple[Tree, ScaledByPowerOfTwo]:
    """Return ``s_i`` and ``∂s_i / ∂s_j`` of one sequence, for the projected inputs of i steps."""
    jacobian = jacobian_function(cell, params)
    state, _ = jax.lax.scan(lambda s, z: (cell.step(params, s, z), None), state, zs[:j])

    def step(carry: tuple[Tree, ScaledByPowerOfTwo], z: Array) -> tuple[tuple[Tree, ScaledByPowerOfTwo], None]:
        state, product = carry
        return (cell.step(params, state, z), multiply(scale_by_power_of_two(jacobian(state, z)), product)), None

    return jax.lax.scan(step, (state, _identity(cell)), zs[j:])[0]


def products(
    cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T *B D"] | ArrayLike, *, reduce: Reduce = keep_product
) -> Tree:
    """Return ``∂s_ℓ / ∂s_0`` for every lag ℓ = 1 … T: how far information in the first state is carried.

    It costs O(n³) a step.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: s_0, with the batch axes of the inputs.
        xs: the inputs, ``[T, *B, D]`` with any number of batch axes.
        reduce: applied to each product inside the loop, so that only what it returns is stored. The default keeps the
            product, T·n² numbers a sequence.

    Returns:
        what ``reduce`` returns, a ``ScaledMatrix`` by default, with leading axes ``[T, *B]``; entry ℓ - 1 is lag ℓ.
    """
    return _products(cell, params, state, inputs_over_time(cell, state, xs, batched=True), reduce=reduce)


@compiled("cell", "reduce")
def _products(cell: Cell, params: Tree, state: Tree, xs: Array, *, reduce: Reduce) -> Tree:
    def one(state: Tree, xs: Array) -> Tree:
        jacobian = jacobian_function(cell, params)

        def step(carry: tuple[Tree, ScaledByPowerOfTwo], z: Array) -> tuple[tuple[Tree, ScaledByPowerOfTwo], Tree]:
            state, product = carry
            product = multiply(scale_by_power_of_two(jacobian(state, z)), product)
            return (cell.step(params, state, z), product), reduce(as_scaled_matrix(product))

        return jax.lax.scan(step, (state, _identity(cell)), cell.input_projection(params, xs))[1]

    return over_batch(one, state, xs, out_axes=1)


def products_to_end(
    cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T *B D"] | ArrayLike, *, reduce: Reduce = keep_product
) -> Tree:
    """Return ``∂s_T / ∂s_{T-ℓ}`` for every lag ℓ = 1 … T: how far back a gradient at the last step reaches.

    The states are computed forwards and stored. Then the products are multiplied from the right, backwards in time, as
    in backpropagation: lag ℓ adds the factor ``J_{T-ℓ+1}``. Arguments, result and cost are those of ``products``.
    """
    return _products_to_end(cell, params, state, inputs_over_time(cell, state, xs, batched=True), reduce=reduce)


@compiled("cell", "reduce")
def _products_to_end(cell: Cell, params: Tree, state: Tree, xs: Array, *, reduce: Reduce) -> Tree:
    def one(state: Tree, xs: Array) -> Tree:
        zs, jacobian = cell.input_projection(params, xs), jacobian_function(cell, params)
        states = trajectory(cell, params, state, zs).before

        def step(product: ScaledByPowerOfTwo, at: tuple[Tree, Array]) -> tuple[ScaledByPowerOfTwo, Tree]:
            product = multiply(product, scale_by_power_of_two(jacobian(*at)))
            return product, reduce(as_scaled_matrix(product))

        backwards = jax.tree.map(lambda each: each[::-1], (states, zs))
        return jax.lax.scan(step, _identity(cell), backwards)[1]

    return over_batch(one, state, xs, out_axes=1)


def part_of(cell: Cell, part: str, layer: int | None = None) -> slice:
    """Return the indices of a part of the state in the state's vector: ``∂h_i/∂h_j`` is a block of ``∂s_i/∂s_j``.

    Args:
        cell: a cell, or a stack of them.
        part: a field or key of its state: "hidden", or "cell" for an LSTM; "rnn.h" inside another.
        layer: number of a stack's layer, from 0 for the lowest; the layers of stacks inside a stack count singly.

    Raises:
        ArgumentError: if the state has no such part, or the layer is missing or does not exist.
    """
    states = _layer_states(cell, jax.eval_shape(lambda: cell.initial_state(())))
    if layer is None and isinstance(cell, Stack):
        raise ArgumentError(f"`layer` must name a layer of the stack, from 0 to {len(states) - 1}")
    number = layer or 0
    if not 0 <= number < len(states):
        raise ArgumentError(f"`layer` must be from 0 to {len(states) - 1}, not {layer}")
    leaves = [(keystr(path, simple=True, separator="."), leaf.size) for path, leaf in leaves_with_path(states[number])]
    within = [k for k, (name, _) in enumerate(leaves) if f"{name}.".startswith(f"{part}.")]
    if not within:
        names = ", ".join(name for name, _ in leaves)
        raise ArgumentError(f"`part` must be a part of the state ({names or 'which is one array'}), not {part!r}")
    start = _size(states[:number]) + sum(size for _, size in leaves[: within[0]])
    return slice(start, start + sum(leaves[k][1] for k in within))


def select(product: ScaledMatrix, rows: slice, columns: slice) -> ScaledMatrix:
    """Return a block of a product, scaled to norm 1.

    ``select(product, part_of(cell, "hidden"), part_of(cell, "cell"))`` is ``∂h_i/∂c_j``.
    """
    block = scaled(product.matrix[..., rows, columns])
    return ScaledMatrix(product.log_scale + block.log_scale, block.matrix)


def over_batch(one: Callable[[Tree, Array], Tree], state: Tree, xs: Array, *, out_axes: int) -> Tree:
    """Map ``one(state, xs[T, D])`` over the sequences of ``xs[T, *B, D]``."""
    for _ in range(xs.ndim - 2):
        one = jax.vmap(one, in_axes=(0, 1), out_axes=out_axes)
    with jax.default_matmul_precision("highest"):  # by default a GPU multiplies float32 with ten bits
        return one(state, xs)


def _layer_states(cell: Cell, state: Tree) -> list[Any]:
    """Return the states of all layers, the lowest first, as they are ordered in the state's vector."""
    if not isinstance(cell, Stack):
        return [state]
    return [each for layer, s in zip(cell.layers, state, strict=True) for each in _layer_states(layer, s)]


def _size(state: Tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(state))


def _identity(cell: Cell) -> ScaledByPowerOfTwo:
    return scale_by_power_of_two(jnp.eye(state_size(cell), dtype=cell.spec.param_dtype))


def multiply(left: ScaledByPowerOfTwo, right: ScaledByPowerOfTwo) -> ScaledByPowerOfTwo:
    """Return the product of two matrices, scaled again."""
    product = scale_by_power_of_two(left.matrix @ right.matrix)
    return product._replace(exponent=product.exponent + left.exponent + right.exponent)


def as_scaled_matrix(product: ScaledByPowerOfTwo) -> ScaledMatrix:
    """Return a matrix with a power of two for a scale as one of norm 1 with a scale in nats."""
    *batch_shape, rows, columns = product.matrix.shape
    size = norm(product.matrix.reshape(*batch_shape, rows * columns))
    zero = size == 0
    divisor = jnp.where(zero, jnp.ones((), size.dtype), size)
    log_scale = product.exponent.astype(size.dtype) * jnp.log(jnp.full((), 2, size.dtype)) + jnp.log(divisor)
    log_scale = jnp.where(zero, -jnp.inf, log_scale)
    return ScaledMatrix(log_scale, product.matrix / divisor[..., None, None])

"""Derivatives with respect to inputs and of outputs: ``∂s_t/∂x_t``, ``∂h_t/∂s_t``, and their products through time.

``x_t`` is the input of step t, ``xs[t - 1]``, and ``s_t`` the state after it; rows are outputs. ``h_t`` are the outputs
of the cell, or what a function makes of them, such as logits.
"""

from collections.abc import Callable

import jax
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.arrays.power_of_two import ScaledByPowerOfTwo, scale_by_power_of_two
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_vector import from_vector, to_vector
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import inputs_over_time, one_input
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.products import ScaledMatrix, as_scaled_matrix, multiply, over_batch, product_of_steps
from rnnlm_jax.unroll.unroll import check_state

OutputFunction = Callable[[Float[Array, " H"]], Float[Array, " K"]]
"""A function of the cell's output at one step, such as ``lambda h: h @ w + b`` for logits. Repeated calls with the same
function use the same compiled program."""


def identity(h: Float[Array, " H"]) -> Float[Array, " H"]:
    """Return the output of the cell itself."""
    return h


def input_jacobian(cell: Cell, params: Tree, state: Tree, x: Float[Array, " D"] | ArrayLike) -> Float[Array, "n D"]:
    """Return ``∂s_t/∂x_t`` of the full state at ``s_{t-1}`` and ``x_t``: D tangents through the projection and a step.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: ``s_{t-1}``, unbatched.
        x: ``x_t``.

    Raises:
        ArgumentError: if the state or the input has batch axes (``vmap`` over them), or does not fit the cell.
    """
    x = one_input(cell, x)
    check_state(cell, state, ())
    return _input_jacobian(cell, params, state, x)


@compiled("cell")
def _input_jacobian(cell: Cell, params: Tree, state: Tree, x: Array) -> Array:
    return jax.jacfwd(lambda x: to_vector(cell.step(params, state, cell.input_projection(params, x))))(x)


def output_jacobian(
    cell: Cell,
    params: Tree,
    state: Tree,
    x: Float[Array, " D"] | ArrayLike,
    *,
    output: OutputFunction = identity,
) -> Float[Array, "K n"]:
    """Return ``∂h_t/∂s_t``, the derivative of the output at ``s_t`` with respect to the full state.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: ``s_t``, unbatched: the state after the step.
        x: ``x_t``, which is read by a cell with a ``gated_readout`` only.
        output: a function of the cell's output; the output itself by default.

    Raises:
        ArgumentError: if the state or the input has batch axes (``vmap`` over them), or does not fit the cell.
    """
    x = one_input(cell, x)
    check_state(cell, state, ())
    return _output_jacobian(cell, params, state, x, output=output)


@compiled("cell", "output")
def _output_jacobian(cell: Cell, params: Tree, state: Tree, x: Array, *, output: OutputFunction) -> Array:
    return _output_of_state(cell, params, state, cell.input_projection(params, x), output)


def input_to_state(
    cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T *B D"] | ArrayLike, *, i: int, j: int
) -> ScaledMatrix:
    """Return ``∂s_i/∂x_j = J_i ⋯ J_{j+1} ∂s_j/∂x_j``: what the input of step j changes in the state after step i.

    It costs O(n² D) a step.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: s_0, with the batch axes of the inputs.
        xs: the inputs, ``[T, *B, D]`` with any number of batch axes.
        i: the later time in steps.
        j: the step of the input, from 1 for ``xs[0]``.

    Returns:
        scales ``[*B]`` (nats) and matrices ``[*B, n, D]``; rows are those of ``part_of``, for ``select``.

    Raises:
        ArgumentError: unless ``1 <= j <= i <= T``.
    """
    xs = _inputs(cell, state, xs, i=i, j=j, least=1)
    return _input_to_state(cell, params, state, xs, i=i, j=j)


@compiled("cell", "i", "j")
def _input_to_state(cell: Cell, params: Tree, state: Tree, xs: Array, *, i: int, j: int) -> ScaledMatrix:
    def one(state: Tree, xs: Array) -> ScaledMatrix:
        return as_scaled_matrix(_states_from_input(cell, params, state, xs, i=i, j=j)[1])

    return over_batch(one, state, xs, out_axes=0)


def state_to_output(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T *B D"] | ArrayLike,
    *,
    i: int,
    j: int,
    output: OutputFunction = identity,
) -> ScaledMatrix:
    """Return ``∂h_i/∂s_j = ∂h_i/∂s_i J_i ⋯ J_{j+1}``: what the state after step j changes in the output of step i.

    It costs O(n³) a step.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: s_0, with the batch axes of the inputs.
        xs: the inputs, ``[T, *B, D]`` with any number of batch axes.
        i: the step of the output, from 1.
        j: the earlier time in steps, from 0.
        output: a function of the cell's output; the output itself by default.

    Returns:
        scales ``[*B]`` (nats) and matrices ``[*B, K, n]``; columns are those of ``part_of``, for ``select``.

    Raises:
        ArgumentError: unless ``0 <= j <= i <= T`` and ``1 <= i``.
    """
    xs = _inputs(cell, state, xs, i=i, j=j, least=0)
    return _state_to_output(cell, params, state, xs, i=i, j=j, output=output)


@compiled("cell", "i", "j", "output")
def _state_to_output(
    cell: Cell, params: Tree, state: Tree, xs: Array, *, i: int, j: int, output: OutputFunction
) -> ScaledMatrix:
    def one(state: Tree, xs: Array) -> ScaledMatrix:
        zs = cell.input_projection(params, xs[:i])
        last, product = product_of_steps(cell, params, state, zs, j=j)
        readout = _output_of_state(cell, params, last, zs[-1], output)
        return as_scaled_matrix(multiply(scale_by_power_of_two(readout), product))

    return over_batch(one, state, xs, out_axes=0)


def input_to_output(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T *B D"] | ArrayLike,
    *,
    i: int,
    j: int,
    output: OutputFunction = identity,
) -> ScaledMatrix:
    """Return ``∂h_i/∂x_j``: what the input of step j changes in the output of step i, by all ways.

    For i > j it is ``∂h_i/∂s_i J_i ⋯ J_{j+1} ∂s_j/∂x_j``. For i = j the direct way of a cell with a ``gated_readout``,
    from the input to the output of the same step, is added. It costs O(n² D) a step.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: s_0, with the batch axes of the inputs.
        xs: the inputs, ``[T, *B, D]`` with any number of batch axes.
        i: the step of the output.
        j: the step of the input, from 1 for ``xs[0]``.
        output: a function of the cell's output; the output itself by default.

    Returns:
        scales ``[*B]`` (nats) and matrices ``[*B, K, D]``.

    Raises:
        ArgumentError: unless ``1 <= j <= i <= T``.
    """
    xs = _inputs(cell, state, xs, i=i, j=j, least=1)
    return _input_to_output(cell, params, state, xs, i=i, j=j, output=output)


@compiled("cell", "i", "j", "output")
def _input_to_output(
    cell: Cell, params: Tree, state: Tree, xs: Array, *, i: int, j: int, output: OutputFunction
) -> ScaledMatrix:
    def one(state: Tree, xs: Array) -> ScaledMatrix:
        last, of_state = _states_from_input(cell, params, state, xs, i=i, j=j)
        z = cell.input_projection(params, xs[i - 1])
        readout = _output_of_state(cell, params, last, z, output)
        product = multiply(scale_by_power_of_two(readout), of_state)
        if i > j or cell.gated_readout is None:
            return as_scaled_matrix(product)
        # One step does not leave the range of the dtype.
        direct = jax.jacfwd(lambda x: output(cell.output(params, last, cell.input_projection(params, x))))(xs[i - 1])
        return as_scaled_matrix(scale_by_power_of_two(as_scaled_matrix(product).plain() + direct))

    return over_batch(one, state, xs, out_axes=0)


def _inputs(cell: Cell, state: Tree, xs: ArrayLike, *, i: int, j: int, least: int) -> Array:
    """Return the inputs after checking them, and the steps i and j, of which j is at least ``least``."""
    xs = inputs_over_time(cell, state, xs, batched=True)
    if not (least <= j <= i <= xs.shape[0] and i >= 1):
        raise ArgumentError(
            f"`i` and `j` must satisfy {least} <= j <= i <= {xs.shape[0]} and i >= 1, not i = {i} and j = {j}"
        )
    return xs


def _states_from_input(
    cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T D"], *, i: int, j: int
) -> tuple[Tree, ScaledByPowerOfTwo]:
    """Return ``s_i`` and ``∂s_i/∂x_j`` of one sequence, by D tangents through the steps."""
    zs, unravel = cell.input_projection(params, xs[:i]), from_vector(cell)
    before, _ = jax.lax.scan(lambda s, z: (cell.step(params, s, z), None), state, zs[: j - 1])
    first = scale_by_power_of_two(_input_jacobian(cell, params, before, xs[j - 1]))

    def step(carry: tuple[Tree, ScaledByPowerOfTwo], z: Array) -> tuple[tuple[Tree, ScaledByPowerOfTwo], None]:
        state, product = carry
        after, jvp = jax.linearize(lambda s: to_vector(cell.step(params, unravel(s), z)), to_vector(state))
        pushed = scale_by_power_of_two(jax.vmap(jvp, in_axes=1, out_axes=1)(product.matrix))
        return (unravel(after), pushed._replace(exponent=pushed.exponent + product.exponent)), None

    return jax.lax.scan(step, (cell.step(params, before, zs[j - 1]), first), zs[j:])[0]


def _output_of_state(cell: Cell, params: Tree, state: Tree, z: Array, output: OutputFunction) -> Float[Array, "K n"]:
    unravel = from_vector(cell)
    return jax.jacrev(lambda s: output(cell.output(params, unravel(s), z)))(to_vector(state))

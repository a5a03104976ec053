"""Singular spectra of the Jacobians ``∂s_ℓ / ∂s_0`` of a cell, at many lags ℓ, without storing T matrices."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_jacobian import jacobian_blocks
from rnnlm_jax.cells.state_vector import state_size
from rnnlm_jax.jacobians.arguments import ascending_lags, inputs_over_time, result_dtype
from rnnlm_jax.jacobians.arithmetic.float64_context import arithmetic_dtype, computing_in
from rnnlm_jax.jacobians.arithmetic.float64_program import float64_program
from rnnlm_jax.jacobians.certificate.certified_spectrum import (
    MULTIPRECISION,
    Accuracy,
    ProductSpectrum,
    spectra_in_multiprecision,
    spectra_of_products,
    spectrum_of_short_product,
)
from rnnlm_jax.jacobians.certificate.error_bound import StepRecord
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.declared_blocks import declared_blocks
from rnnlm_jax.jacobians.graded.products_at_lags import products_at_lags
from rnnlm_jax.jacobians.graded.running_product import RunningProduct, empty_product, multiply_factor
from rnnlm_jax.jacobians.graded.short_products import MOST_FACTORS
from rnnlm_jax.jacobians.graded.spectrum_jvp import constant_where_infinite, with_derivative
from rnnlm_jax.jacobians.log_determinant import StepDeterminant, log_slopes, step_determinant
from rnnlm_jax.jacobians.products import step_jacobians
from rnnlm_jax.jacobians.step_jacobian import jacobian_function
from rnnlm_jax.jacobians.structured_spectra import spectra_of_blocks, spectra_of_diagonals
from rnnlm_jax.jacobians.trajectory import trajectory


def spectrum(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T D"] | ArrayLike,
    *,
    lags: Sequence[int] | None = None,
    tolerance: float | None = None,
    arithmetic: DTypeLike | None = None,
    certify: bool = True,
) -> ProductSpectrum:
    """Return the log singular values of ``∂s_ℓ / ∂s_0 = J_ℓ ⋯ J_1`` in nats, at each lag ℓ, for the full state.

    The cell runs once over the inputs. Each step's Jacobian is formed, multiplied into a graded product and discarded:
    O(T n³) in time. The log-determinant is the cell's closed form where it has one.

    A cell may declare the structure of its Jacobian (``facts.jacobian``). For a diagonal one the values are sums of
    logarithms, O(n) a step without matrices, also of gates that are closed so far that their slopes underflow, if the
    cell has a closed form of its log-determinant. N blocks of m numbers are multiplied apart, O(N m³) a step, and
    N m² numbers are stored for every step.

    It can be transformed by ``vmap``, ``jit`` and both modes of differentiation in any order, also where x64 is off.
    Derivatives of the values are accurate at any length and spread (see ``graded.singular_value_derivatives``) and
    store 8 n² numbers a step. For equal values they belong to one choice of singular vectors; for values of -inf and
    for the error bounds they are 0.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, unbatched (``cell.initial_state(())``); ``vmap`` for more.
        xs: the inputs of one sequence.
        lags: lags in steps, each from 1 to T; by default T alone.
        tolerance: see ``product_spectrum``.
        arithmetic: see ``product_spectrum``. The cell and each Jacobian are computed in the cell's own dtype.
        certify: see ``product_spectrum``. The bound at each lag covers the rounding errors made after the Jacobians,
            and takes about as long as the product up to this lag.

    Returns:
        a ``ProductSpectrum`` whose fields have a leading axis, one entry per lag in ascending order, in the cell's
        dtype, or float32 for narrower dtypes.

    Raises:
        ArgumentError: if a lag is not between 1 and T, or inputs or state have batch axes or do not fit the cell.
    """
    xs = inputs_over_time(cell, state, xs, batched=False)
    sorted_lags = ascending_lags([xs.shape[0]] if lags is None else lags, xs.shape[0], "steps of the inputs")
    xs = xs[: sorted_lags[-1]]
    params, state = jax.tree.map(jnp.asarray, (params, state))  # before x64 is on, which would change their dtypes
    if arithmetic == MULTIPRECISION:
        results = result_dtype(cell.spec.param_dtype)
        accuracy = Accuracy(np.dtype("float64"), results, results, tolerance, certify)
        return spectra_in_multiprecision(step_jacobians(cell, params, state, xs), sorted_lags, accuracy)
    dtype = arithmetic_dtype(arithmetic, MULTIPRECISION)
    with computing_in(dtype):
        return _spectrum(cell, params, state, xs, lags=sorted_lags, tolerance=tolerance, dtype=dtype, certify=certify)


@compiled("cell", "lags", "dtype", "certify")
@constant_where_infinite
@float64_program("cell", "lags", "dtype", "certify")
def _spectrum(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Array,
    *,
    lags: tuple[int, ...],
    tolerance: float | None,
    dtype: np.dtype,
    certify: bool,
) -> ProductSpectrum:
    zs = cell.input_projection(params, xs)
    before = trajectory(cell, params, state, zs).before
    cell_dtype = jnp.dtype(cell.spec.param_dtype)
    accuracy = Accuracy(dtype, cell_dtype, result_dtype(cell_dtype), tolerance, certify)
    blocks = declared_blocks(cell)
    if blocks is None:
        return _of_whole_state(cell, params, before, zs, lags=lags, accuracy=accuracy)
    if blocks.size == 1:
        return spectra_of_diagonals(log_slopes(cell, params, before, zs), lags, accuracy)
    log_abs_dets = step_determinant(cell, params, before, zs).log_abs_det
    return spectra_of_blocks(jacobian_blocks(cell, params, before, zs), log_abs_dets, lags, accuracy)


def _of_whole_state(
    cell: Cell, params: Tree, before: Tree, zs: Array, *, lags: tuple[int, ...], accuracy: Accuracy
) -> ProductSpectrum:
    """Return the spectra of a cell with any Jacobian, given the states before the steps and the projected inputs."""
    dtype, certify = accuracy.arithmetic, accuracy.certify
    inputs = _Inputs(params, before, zs, step_determinant(cell, params, before, zs), accuracy.tolerance)

    def compute(inputs: _Inputs) -> ProductSpectrum:
        with_tolerance = accuracy._replace(tolerance=inputs.tolerance)
        jacobian = jacobian_function(cell, inputs.params)

        def step(running: RunningProduct, at: tuple[Tree, Array, StepDeterminant]) -> tuple[RunningProduct, StepRecord]:
            state, z, (log_abs_det, null) = at
            return multiply_factor(running, jacobian(state, z), dtype, log_abs_det=log_abs_det, null=null)

        def by_graded_product() -> ProductSpectrum:
            steps = (inputs.before, inputs.zs, inputs.determinants)
            empty = empty_product(state_size(cell), dtype)
            return spectra_of_products(
                *products_at_lags(step, empty, steps, lags=lags, certify=certify), accuracy=with_tolerance
            )

        if lags[0] != lags[-1] or lags[-1] > MOST_FACTORS:
            return by_graded_product()
        matrices, total = factors(inputs), log_abs_dets(inputs).sum()
        return spectrum_of_short_product(matrices, total, by_graded_product, accuracy=with_tolerance)

    def factors(inputs: _Inputs) -> Array:
        return jax.vmap(jacobian_function(cell, inputs.params))(inputs.before, inputs.zs)

    def log_abs_dets(inputs: _Inputs) -> Array:
        return inputs.determinants.log_abs_det

    return with_derivative(compute, factors=factors, log_abs_dets=log_abs_dets, lags=lags, dtype=dtype, inputs=inputs)


class _Inputs(NamedTuple):
    """What the spectra of a cell are computed from."""

    params: Tree
    before: Tree
    zs: Array
    determinants: StepDeterminant
    tolerance: Float[Array, ""] | float | None

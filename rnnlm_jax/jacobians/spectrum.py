"""Singular spectra of the Jacobians of a cell through time, at many lags, nothing of size T × n × n ever stored."""

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians.arguments import inputs_over_time, result_dtype
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.differentiable import infinite_are_constant, with_derivative
from rnnlm_jax.jacobians.error_bound import Step
from rnnlm_jax.jacobians.log_determinant import StepDeterminant, step_determinant
from rnnlm_jax.jacobians.product_spectrum import (
    MULTIPRECISION,
    ProductSpectrum,
    finished,
    in_multiprecision,
    short_product,
)
from rnnlm_jax.jacobians.products import step_jacobians
from rnnlm_jax.jacobians.recorded_steps import along
from rnnlm_jax.jacobians.running_product import Running, extend, start
from rnnlm_jax.jacobians.short_products import MOST_FACTORS
from rnnlm_jax.jacobians.state_vector import state_size
from rnnlm_jax.jacobians.step_jacobian import jacobian_of
from rnnlm_jax.jacobians.trajectory import trajectory
from rnnlm_jax.jacobians.wide import arithmetic_dtype, wide
from rnnlm_jax.jacobians.wide_program import wide_program


def spectrum(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T D"],
    lags: Sequence[int] | None = None,
    tolerance: float | None = None,
    arithmetic: Any = None,
    certify: bool = True,
) -> ProductSpectrum:
    """Log singular spectra of ``∂s_ℓ / ∂s_0 = J_ℓ ⋯ J_1`` at each lag ℓ, for the full state (h, and c of an LSTM).

    The cell runs once over the inputs; then each step's Jacobian is multiplied into a graded product and forgotten. The
    log-determinant is the cell's closed form where it has one.

    It can be transformed by ``vmap``, ``jit`` and both modes of differentiation in any order, also where x64 is off.
    Derivatives of the values are right at any length and spread (see ``sensitivities``); those of equal values belong
    to one choice of vectors, those of -inf are 0, and so are those of the certificate. They store 8 n² numbers a step.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, unbatched (``cell.initial_state(())``); ``vmap`` for more.
        xs: the inputs, one sequence.
        lags: the lags to report, each from 1 to T; all of T unless given.
        tolerance: see ``product_spectrum``.
        arithmetic: see ``product_spectrum``; the cell itself, and each Jacobian, are computed in the cell's own type.
        certify: see ``product_spectrum``; the bounds of each lag are of rounding errors from the Jacobians on, and take
            about as long as the product up to this lag.

    Returns:
        a ``ProductSpectrum`` whose fields have a leading axis, one entry a lag in ascending order; floats of the cell's
        type, float32 for narrower ones.

    Raises:
        UserError: if a lag is not between 1 and T, inputs or state have batch axes, or they do not fit the cell.
    """
    xs = inputs_over_time(cell, state, xs, batched=False)
    wanted = check_lags([xs.shape[0]] if lags is None else lags, xs.shape[0])
    xs = xs[: wanted[-1]]
    params, state = jax.tree.map(jnp.asarray, (params, state))  # in types of the caller's, before x64 is on
    if arithmetic == MULTIPRECISION:
        precision = result_dtype(cell.spec.param_dtype)
        factors = step_jacobians(cell, params, state, xs)
        return in_multiprecision(factors, tuple(wanted), tolerance, precision, certify)
    dtype = arithmetic_dtype(arithmetic, MULTIPRECISION)
    with wide(dtype):
        return _spectrum(cell, params, state, xs, tuple(wanted), tolerance, dtype, certify)


@compiled("cell", "wanted", "dtype", "certify")
@infinite_are_constant
@wide_program("cell", "wanted", "dtype", "certify")
def _spectrum(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Array,
    wanted: tuple[int, ...],
    tolerance: float | None,
    dtype: np.dtype,
    certify: bool,
) -> ProductSpectrum:
    zs = cell.input_projection(params, xs)
    before = trajectory(cell, params, state, zs).before
    inputs = _Inputs(params, before, zs, step_determinant(cell, params, before, zs), tolerance)
    precision = cell.spec.param_dtype
    results = result_dtype(precision)

    def compute(inputs: _Inputs) -> ProductSpectrum:
        jacobian = jacobian_of(cell, inputs.params)

        def step(running: Running, at: tuple[Tree, Array, StepDeterminant]) -> tuple[Running, Step]:
            state, z, (log_abs_det, null) = at
            return extend(running, jacobian(state, z), dtype, log_abs_det, null)

        def by_graded_product() -> ProductSpectrum:
            steps = (inputs.before, inputs.zs, inputs.determinants)
            found = along(step, start(state_size(cell), dtype), steps, wanted, certify)
            return finished(found, precision, results, inputs.tolerance)

        first, last = wanted[0], wanted[-1]
        if first != last or last > MOST_FACTORS:
            return by_graded_product()
        matrices, total = factors(inputs), log_abs_dets(inputs).sum()
        return short_product(matrices, total, by_graded_product, dtype, precision, results, inputs.tolerance, certify)

    def factors(inputs: _Inputs) -> Array:
        return jax.vmap(jacobian_of(cell, inputs.params))(inputs.before, inputs.zs)

    def log_abs_dets(inputs: _Inputs) -> Array:
        return inputs.determinants.log_abs_det

    return with_derivative(compute, factors, log_abs_dets, wanted, dtype, inputs)


class _Inputs(NamedTuple):
    """What the spectra of a cell are functions of."""

    params: Tree
    before: Tree
    zs: Array
    determinants: StepDeterminant
    tolerance: float | None


def check_lags(lags: Sequence[int], steps: int) -> list[int]:
    """The lags in ascending order, each once.

    Raises:
        UserError: if one is not between 1 and the number of steps.
    """
    try:
        wanted = sorted({operator.index(lag) for lag in lags})
    except TypeError:
        raise UserError(f"lags must be whole numbers, not {lags!r}") from None
    if not wanted or wanted[0] < 1 or wanted[-1] > steps:
        raise UserError(f"lags must lie between 1 and the {steps} steps of the inputs, not {list(lags)}")
    return wanted

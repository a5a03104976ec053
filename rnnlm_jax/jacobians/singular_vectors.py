"""Leading singular vectors of products of Jacobians at several lags, and how far they point the same way.

The right vectors of ``∂s_ℓ/∂s_0`` are directions of ``s_0``, beginning with that which is amplified most over ℓ steps.
They converge as ℓ grows, so that their alignment over lags says from which lag on the same directions dominate. The
left vectors of ``∂s_T/∂s_{T-ℓ}``, directions of ``s_T``, do so too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.arrays.power_of_two import times_power_of_two
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_vector import state_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import ascending_lags, inputs_over_time, result_dtype
from rnnlm_jax.jacobians.arithmetic import extended_range
from rnnlm_jax.jacobians.arithmetic.float64_context import arithmetic_dtype, computing_in
from rnnlm_jax.jacobians.arithmetic.float64_program import float64_program
from rnnlm_jax.jacobians.certificate.error_bound import StepRecord
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.graded.graded_product import GradedProduct
from rnnlm_jax.jacobians.graded.graded_svd import right_vectors
from rnnlm_jax.jacobians.graded.products_at_lags import products_at_lags
from rnnlm_jax.jacobians.graded.running_product import RunningProduct, empty_product, multiply_factor
from rnnlm_jax.jacobians.graded.singular_value_derivatives import left_vectors
from rnnlm_jax.jacobians.step_jacobian import jacobian_function
from rnnlm_jax.jacobians.trajectory import trajectory


class SingularVectors(NamedTuple):
    """Singular values and k leading singular vectors ``P_ℓ v = σ u`` of products of Jacobians at L lags ℓ.

    Signs are arbitrary; vectors of a singular value of zero are NaN.
    """

    log_singular_values: Float[Array, "L n"]
    """All ``ln σ`` in nats, descending; -inf for a zero. The k vectors span a space that is well defined if value k + 1
    is far below value k."""
    left: Float[Array, "L n k"]
    """Columns u: directions of the later state."""
    right: Float[Array, "L n k"]
    """Columns v: directions of the earlier state."""

    def left_alignment(self) -> Float[Array, "L L"]:
        """Return the alignment of the spaces of left vectors between all pairs of lags, see ``alignment``."""
        return alignment(self.left)

    def right_alignment(self) -> Float[Array, "L L"]:
        """Return the alignment of the spaces of right vectors between all pairs of lags, see ``alignment``."""
        return alignment(self.right)


def alignment(vectors: Float[Array, "L n k"]) -> Float[Array, "L L"]:
    """Return ``‖V_aᵀ V_b‖_F² / k`` for all pairs of L sets of k orthonormal vectors: the mean squared cosine.

    The cosines are those of the principal angles between the two spaces. It is 1 if they are the same, and k/n on
    average if they are independent and random; for one vector it is the squared cosine between two lines.
    """
    return jnp.square(jnp.einsum("ank,bnl->abkl", vectors, vectors)).sum(axis=(2, 3)) / vectors.shape[2]


def singular_vectors(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T D"] | ArrayLike,
    *,
    lags: Sequence[int],
    k: int = 1,
    to_end: bool = False,
    arithmetic: DTypeLike | None = None,
) -> SingularVectors:
    """Return the leading singular vectors of ``∂s_ℓ/∂s_0``, or of ``∂s_T/∂s_{T-ℓ}``, at each lag ℓ.

    They come from the graded product of ``spectrum``, in which every value keeps its relative accuracy: the error of a
    vector depends on the relative gaps ``σ_k / σ_{k+1}`` between values alone, not on their ratio to the largest. (A
    plain product loses the vectors of values below ε σ_1; ``top_singular`` gives vectors at one lag for thousands of
    units.) One pass costs O(T n³). The result is constant under differentiation.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: s_0, unbatched (``cell.initial_state(())``); ``vmap`` for more.
        xs: the inputs of one sequence.
        lags: lags in steps, each from 1 to T.
        k: number of vectors.
        to_end: whether the products lead to the last state, ``∂s_T/∂s_{T-ℓ}``, in place of from the first one.
        arithmetic: see ``product_spectrum``: "float64" (the default) or "float32".

    Returns:
        a leading axis with one entry per lag in ascending order, in the cell's dtype, or float32 for narrower dtypes.

    Raises:
        ArgumentError: if a lag is not between 1 and T, k not between 1 and n, or inputs or state have batch axes or do
            not fit the cell.
    """
    xs = inputs_over_time(cell, state, xs, batched=False)
    chosen = ascending_lags(lags, xs.shape[0], "steps of the inputs")
    n = state_size(cell)
    if not 1 <= k <= n:
        raise ArgumentError(f"`k` must be between 1 and the {n} dimensions of the state, not {k}")
    params, state = jax.tree.map(jnp.asarray, (params, state))  # before x64 is on, which would change their dtypes
    dtype = arithmetic_dtype(arithmetic)
    with computing_in(dtype):
        return _singular_vectors(cell, params, state, xs, lags=chosen, k=k, to_end=to_end, dtype=dtype)


@compiled("cell", "lags", "k", "to_end", "dtype")
@float64_program("cell", "lags", "k", "to_end", "dtype")
def _singular_vectors(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Array,
    *,
    lags: tuple[int, ...],
    k: int,
    to_end: bool,
    dtype: np.dtype,
) -> SingularVectors:
    params, state, xs = jax.lax.stop_gradient((params, state, xs))
    zs = cell.input_projection(params, xs)
    jacobian = jacobian_function(cell, params)
    steps = (trajectory(cell, params, state, zs).before, zs)
    if to_end:  # the transposed product begins with the transpose of the last factor
        steps = jax.tree.map(lambda part: part[::-1], steps)

    def step(running: RunningProduct, at: tuple[Tree, Array]) -> tuple[RunningProduct, StepRecord]:
        j = jacobian(*at)
        return multiply_factor(running, j.T if to_end else j, dtype, log_abs_det=jnp.zeros((), dtype))

    kept, _ = products_at_lags(step, empty_product(state_size(cell), dtype), steps, lags=lags, certify=False)

    def vectors(product: GradedProduct) -> SingularVectors:
        v, sigma = right_vectors(product)
        u, exponents = left_vectors(product, v, sigma)
        logs = extended_range.log(sigma)
        undefined = (logs[:k] == -jnp.inf)[None, :]
        u, v = (
            jnp.where(undefined, jnp.full((), jnp.nan, dtype), each[:, :k])
            for each in (product.q @ times_power_of_two(u, exponents), v)
        )
        return SingularVectors(logs, v, u) if to_end else SingularVectors(logs, u, v)

    results = result_dtype(cell.spec.param_dtype)
    return jax.tree.map(lambda part: part.astype(results), jax.lax.map(vectors, kept.product))

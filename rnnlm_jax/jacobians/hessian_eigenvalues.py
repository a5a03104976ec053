"""Extreme eigenvalues of the Hessian of a loss with respect to parameters, by Lanczos iteration without a matrix.

The largest eigenvalue λ is the sharpness of the loss: gradient descent with a learning rate above 2/λ is unstable along
its eigenvector.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from rnnlm_jax.array_types import Array, Float, Key, Tree
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import on_host
from rnnlm_jax.jacobians.compiled import compiled

#: Names of ARPACK for the ends of the spectrum.
ENDS = {"largest": "LA", "smallest": "SA", "magnitude": "LM"}


class HessianEigenvalues(NamedTuple):
    """k eigenvalues of a Hessian, with unit eigenvectors."""

    values: Float[np.ndarray, " k"]
    """Descending."""
    vectors: Float[np.ndarray, "P k"]
    """In columns, over the numbers of the parameters in the order of ``jax.flatten_util.ravel_pytree``."""
    residual: Float[np.ndarray, " k"]
    """``‖H v - λ v‖``: an eigenvalue lies within this distance of each value."""


def hessian_eigenvalues(
    loss: Callable[[Tree], Float[Array, ""]],
    params: Tree,
    k: int,
    *,
    key: Key,
    which: Literal["largest", "smallest", "magnitude"] = "largest",
    max_steps: int | None = None,
    tolerance: float = 0.0,
) -> HessianEigenvalues:
    """Return k eigenvalues of ``H = ∂²loss/∂params²`` from an end of its spectrum.

    The products ``H v`` are jvps of the gradient, each at about the cost of two gradients, in a program that is
    compiled once for a loss. The iteration is that of ARPACK (``scipy.sparse.linalg.eigsh``: Lanczos with implicit
    restarts), on the host in the dtype of the parameters; it keeps about ``max(2 k + 1, 20)`` vectors. A multiple
    eigenvalue may be found fewer times than it occurs.

    Args:
        loss: a function of the parameters alone, twice differentiable in forward over reverse mode: fixed data, no
            dropout.
        params: parameters, all floating-point arrays of one dtype, float32 or float64.
        k: number of eigenvalues, below the number P of parameters.
        key: random key of the first vector.
        which: the end of the spectrum: the largest eigenvalues, the smallest, or those of largest modulus.
        max_steps: largest number of restarts; 10 P by default.
        tolerance: relative accuracy of eigenvalues at which to stop; 0 for that of the dtype.

    Raises:
        ArgumentError: if k is out of range, ``which`` is unknown, the parameters are not of one dtype, the loss has no
            finite Hessian there or is not a scalar, or the iteration does not converge; under a jax transformation.
    """
    on_host(params, "eigenvalues of a Hessian are computed")
    if which not in ENDS:
        raise ArgumentError(f"`which` must be one of {', '.join(ENDS)}, not {which!r}")
    dtypes = {np.dtype(leaf.dtype) for leaf in map(jnp.asarray, jax.tree.leaves(params))}
    if len(dtypes) != 1 or next(iter(dtypes)) not in (np.dtype("float32"), np.dtype("float64")):
        raise ArgumentError("`params` must be arrays of one dtype, float32 or float64")
    params = jax.tree.map(jnp.asarray, params)
    (dtype,) = dtypes
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    if not 1 <= k < size:
        raise ArgumentError(f"`k` must be at least 1 and below the {size} parameters, not {k}")
    shape = getattr(jax.eval_shape(loss, params), "shape", None)
    if shape != ():
        raise ArgumentError(f"`loss` must return a scalar, not an array of shape {shape}")

    def product(v: np.ndarray) -> np.ndarray:
        result = np.asarray(_hessian_product(loss, params, jnp.asarray(v.ravel(), dtype)))
        if not np.isfinite(result).all():
            raise ArgumentError("the Hessian of `loss` is not finite at `params`: it has no eigenvalues")
        return result

    from scipy.sparse import linalg

    start = np.asarray(jax.random.normal(key, (size,), dtype))
    try:
        values, vectors = linalg.eigsh(
            linalg.LinearOperator((size, size), matvec=product, dtype=dtype),  # pyright: ignore
            k,
            which=ENDS[which],
            v0=start,
            maxiter=max_steps,
            tol=tolerance,  # pyright: ignore
        )
    except linalg.ArpackNoConvergence as error:
        raise ArgumentError(
            f"{len(error.eigenvalues)} of {k} eigenvalues have converged: give a larger `max_steps` or `tolerance`"
        ) from None
    order = np.argsort(-values, kind="stable")
    values, vectors = values[order], vectors[:, order]
    images = np.stack([product(vector) for vector in vectors.T], axis=1)
    return HessianEigenvalues(values, vectors, np.linalg.norm(images - values[None] * vectors, axis=0))


@compiled("loss")
def _hessian_product(loss: Callable[[Tree], Array], params: Tree, v: Float[Array, " P"]) -> Float[Array, " P"]:
    flat, unravel = ravel_pytree(params)
    return jax.jvp(jax.grad(lambda flat: loss(unravel(flat))), (flat,), (v,))[1]

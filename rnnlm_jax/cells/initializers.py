"""Initial values of recurrent matrices: ``(key, shape, dtype) -> array``, as in ``jax.nn.initializers``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Key
from rnnlm_jax.cells.cell import check_choice, check_number
from rnnlm_jax.errors import UserError

Initializer = Callable[[Key, tuple[int, ...], Any], Array]


# Functions and objects of this module, which pickle, where jax has closures, which do not.
def glorot(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Uniform on ±√(6/(fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return jax.nn.initializers.glorot_uniform()(key, shape, dtype)


def orthogonal(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """A random orthogonal matrix: every singular value is 1 (Saxe et al. 2014)."""
    wide = dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32  # there is no QR in half precision
    return jax.nn.initializers.orthogonal()(key, shape, wide).astype(dtype)


def identity(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """The identity matrix, ``W_h = I`` (Le, Jaitly & Hinton 2015, section 2: the IRNN)."""
    del key
    return jnp.eye(*shape, dtype=dtype)


@dataclass(frozen=True)
class SpectralRadius:
    """A Gaussian matrix scaled to a given spectral radius, ``W = ρ G / max|λ(G)|`` (Jaeger 2001).

    Equal radii are equal initialisers, so that cells made with them are the same too.

    Raises:
        UserError: if the radius is negative or not finite; on use, if the matrix is not square.
    """

    radius: float

    def __post_init__(self) -> None:
        """Check the radius."""
        check_number("a spectral radius", self.radius)
        if self.radius < 0:
            raise UserError(f"a spectral radius is not negative, unlike {self.radius}; 1.0 is the edge of stability")

    def __call__(self, key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """Draw a matrix."""
        if len(shape) != 2 or shape[0] != shape[1]:
            raise UserError(
                f"only a square matrix has a spectral radius, not one of shape {shape}: choose another init"
            )
        gaussian = jax.random.normal(key, shape, dtype)
        # Eigenvalues of a general matrix are a host computation: most accelerators have none.
        largest = jax.pure_callback(
            _largest_modulus, jax.ShapeDtypeStruct((), dtype), gaussian, vmap_method="expand_dims"
        )
        return gaussian * (self.radius / largest)


def _largest_modulus(matrix: Array) -> np.ndarray:
    moduli = np.abs(np.linalg.eigvals(np.asarray(matrix, np.float64)))
    return moduli.max(axis=-1).astype(matrix.dtype)


def spectral_radius(radius: float) -> Initializer:
    """Return the initialiser ``SpectralRadius(radius)``."""
    return SpectralRadius(radius)


#: The recurrent initialisers by name.
RECURRENT: dict[str, Initializer] = {
    "glorot": glorot,
    "orthogonal": orthogonal,
    "identity": identity,
    "spectral_radius": spectral_radius(1.0),
}


def recurrent_initializer(init: str | Initializer) -> Initializer:
    """The initialiser of that name, or the function itself.

    Raises:
        UserError: if no initialiser has the name.
    """
    return RECURRENT[check_choice("recurrent_init", init, RECURRENT)] if isinstance(init, str) else init

"""Initialisers of recurrent matrices: ``(key, shape, dtype) -> array``, as in ``jax.nn.initializers``."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Key, Tree
from rnnlm_jax.cells.cell import check_choice, check_number
from rnnlm_jax.cells.cell_functions import Initializer
from rnnlm_jax.errors import ArgumentError


# Functions and objects of this module, which pickle; those of jax are closures, which do not.
def glorot(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Draw uniformly from ±√(6/(fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return jax.nn.initializers.glorot_uniform()(key, shape, dtype)


def uniform(key: Key, shape: tuple[int, ...], dtype: Any, limit: float) -> Array:
    """Draw uniformly from ±limit."""
    return jax.random.uniform(key, shape, dtype, -limit, limit)


def orthogonal(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Draw a random orthogonal matrix, whose singular values are all 1 (Saxe et al. 2014)."""
    wide = dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32  # QR has no half precision
    return jax.nn.initializers.orthogonal()(key, shape, wide).astype(dtype)


def identity(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Return the identity matrix, ``W_h = I`` (Le, Jaitly & Hinton 2015, section 2: the IRNN)."""
    del key
    return jnp.eye(*shape, dtype=dtype)


def zeros(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Return zeros: a cell that starts without recurrent products (the sLSTM's authors' default)."""
    del key
    return jnp.zeros(shape, dtype)


def small(key: Key, shape: tuple[int, int], dtype: Any = jnp.float32) -> Array:
    """Draw from a normal distribution of variance ``2 / (5 fan_in)`` (Nguyen & Salazar 2019: SmallInit)."""
    return jax.random.normal(key, shape, dtype) * float(np.sqrt(2 / (5 * shape[0])))


@dataclass(frozen=True)
class SpectralRadius:
    """A Gaussian matrix scaled to a given spectral radius, ``W = ρ G / max|λ(G)|`` (Jaeger 2001).

    Equal radii give equal initialisers, so that cells made with them are the same object.

    Raises:
        ArgumentError: if the radius is negative or not finite; on use, if the matrix is not square.
    """

    radius: float

    def __post_init__(self) -> None:
        """Check the radius."""
        check_number("radius", self.radius)
        if self.radius < 0:
            raise ArgumentError(f"`radius` of a spectral radius must be at least 0, not {self.radius}: 1.0 is critical")

    def __call__(self, key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """Draw a matrix."""
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ArgumentError(
                f"only a square matrix has a spectral radius, not shape {shape}: choose another `recurrent_init`"
            )
        gaussian = jax.random.normal(key, shape, dtype)
        # Most accelerators have no eigenvalues of general matrices: they are computed on the host.
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


@dataclass(frozen=True)
class _Scaled:
    """A random matrix times a gain. Equal gains give equal initialisers, so that cells made with them are the same.

    Raises:
        ArgumentError: if the gain is negative or not finite.
    """

    gain: float

    def __post_init__(self) -> None:
        """Check the gain."""
        check_number("gain", self.gain)
        if self.gain < 0:
            raise ArgumentError(f"`gain` of a matrix must be at least 0, not {self.gain}")


@dataclass(frozen=True)
class ScaledOrthogonal(_Scaled):
    """A random orthogonal matrix times a gain: all its singular values are the gain."""

    def __call__(self, key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """Draw a matrix."""
        return orthogonal(key, shape, dtype) * float(self.gain)


def scaled_orthogonal(gain: float) -> Initializer:
    """Return the initialiser ``ScaledOrthogonal(gain)``."""
    return ScaledOrthogonal(gain)


@dataclass(frozen=True)
class ScaledGaussian(_Scaled):
    """Independent entries ``N(0, g²/fan_in)``: wide square matrices have the spectral radius g and the norm 2g."""

    def __call__(self, key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """Draw a matrix."""
        return jax.random.normal(key, shape, dtype) * float(self.gain / np.sqrt(shape[0]))


def scaled_gaussian(gain: float) -> Initializer:
    """Return the initialiser ``ScaledGaussian(gain)``."""
    return ScaledGaussian(gain)


#: The recurrent initialisers by name.
RECURRENT: dict[str, Initializer] = {
    "glorot": glorot,
    "orthogonal": orthogonal,
    "identity": identity,
    "zeros": zeros,
    "spectral_radius": spectral_radius(1.0),
}


def recurrent_initializer(init: str | Initializer) -> Initializer:
    """Return the initialiser of a name, or the function itself.

    Raises:
        ArgumentError: if no initialiser has the name.
    """
    return RECURRENT[check_choice("recurrent_init", init, RECURRENT)] if isinstance(init, str) else init


def uniform_params(key: Key, params: Tree, scale: float) -> Tree:
    """Draw every leaf from U(-scale, scale), with the shapes and dtypes of ``params``."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.uniform(k, p.shape, p.dtype, -scale, scale) for k, p in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)

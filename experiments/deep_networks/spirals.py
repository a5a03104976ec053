"""Points on interleaved spirals, lifted from the plane into as many dimensions as a layer has units."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.compilation import jit

ARMS = 3
#: Standard deviation of a coordinate around its spiral; the spirals end at the radius 1.
NOISE = 0.05
#: The least squared radius; the squared radius is uniform from here to 1, so that points have the same density.
LEAST = 0.05


class Points(NamedTuple):
    """Points, and the spirals that they are from."""

    x: Float[Array, "B N"]
    label: Int[Array, " B"]


@functools.partial(jit, static_argnums=(1, 2))
def sample(key: Key, count: int, width: int) -> Points:
    """Draw points in float32: ``u A`` for u near one of three spirals that turn once around the origin.

    A is a fixed 2 x N matrix of normal numbers; coordinates have mean square 1.
    """
    k_arm, k_radius, k_noise = jax.random.split(key, 3)
    label = jax.random.randint(k_arm, (count,), 0, ARMS, jnp.int32)
    radius = jnp.sqrt(jax.random.uniform(k_radius, (count,), jnp.float32, minval=LEAST))
    angle = 2 * jnp.pi * (radius + label.astype(jnp.float32) / ARMS)
    plane = radius[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
    plane = plane + NOISE * jax.random.normal(k_noise, (count, 2), jnp.float32)
    return Points(plane @ lift(width), label)


def lift(width: int) -> Float[Array, "2 N"]:
    """Return the fixed map from the plane, scaled so that a coordinate's mean square is 1."""
    rows = np.random.default_rng(0).normal(size=(2, width))
    rows /= np.sqrt((rows**2).mean(axis=1, keepdims=True))
    mean_square = (1 + LEAST) / 2 + 2 * NOISE**2
    return jnp.asarray(rows / np.sqrt(mean_square), jnp.float32)

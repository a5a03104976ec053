"""tanh, the sigmoid and their slopes against 400 digits, as far out as their types go."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnnlm_jax.arrays import activations

DTYPES = ("float32", "float64")
POINTS = np.array([0, 2.0**-20, 0.125, 0.5, 1, 2, 3.5, 5, 7, 8, 9, 12, 17, 19.5, 20, 30, 43, 80, 100, 300, 400])
POINTS = np.concatenate([-POINTS[::-1], POINTS])


def sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


#: Name: value, first, second and third derivative.
EXACT = {
    "tanh": (
        mpmath.tanh,
        lambda x: mpmath.sech(x) ** 2,
        lambda x: -2 * mpmath.tanh(x) * mpmath.sech(x) ** 2,
        lambda x: (4 * mpmath.tanh(x) ** 2 - 2 * mpmath.sech(x) ** 2) * mpmath.sech(x) ** 2,
    ),
    "sigmoid": (
        sigmoid,
        lambda x: sigmoid(x) * sigmoid(-x),
        lambda x: -sigmoid(x) * sigmoid(-x) * mpmath.tanh(x / 2),
        lambda x: sigmoid(x) * sigmoid(-x) * (1 - 6 * sigmoid(x) * sigmoid(-x)),
    ),
}


def forward(f):
    return lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]


def reverse(f):
    return lambda x: jax.vjp(f, x)[1](jnp.ones_like(x))[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_slopes_are_exact_to_rounding(name, dtype):
    """Slopes to a few units in the last place, from 0 to 400. 1 - tanh² is 5 % off at 7 in float32."""
    f, x = getattr(activations, name), jnp.asarray(POINTS, dtype)
    about = jnp.finfo(dtype)

    @jax.jit
    def all_orders(x):
        first = {"forward": forward(f)(x), "reverse": reverse(f)(x)}
        second = [outer(inner(f))(x) for outer in (forward, reverse) for inner in (forward, reverse)]
        third = [forward(reverse(forward(f)))(x), reverse(forward(reverse(f)))(x)]
        return [f(x)], list(first.values()), second, third

    found = all_orders(x)
    with mpmath.workdps(400):
        for order, ways in enumerate(found):
            wanted = np.array([float(EXACT[name][order](mpmath.mpf(float(p)))) for p in POINTS])
            least = 0.0 if order < 2 else (np.abs(POINTS) < 4).astype(float)  # differences of larger numbers near 0
            room = 16 * float(about.eps) * np.maximum(np.abs(wanted), least)
            for way in ways:
                assert way.dtype == dtype
                wrong = np.abs(np.asarray(way, np.float64) - wanted) > room + 8 * float(about.tiny)
                assert not wrong.any(), (order, POINTS[wrong], np.asarray(way)[wrong], wanted[wrong])


@pytest.mark.parametrize("dtype", DTYPES)
def test_infinite_and_nan_arguments(dtype):
    x = jnp.asarray([-np.inf, np.inf, np.nan], dtype)
    for name, (low, high) in {"tanh": (-1, 1), "sigmoid": (0, 1)}.items():
        f = getattr(activations, name)
        np.testing.assert_array_equal(f(x), [low, high, np.nan])
        for slope in (forward(f), reverse(f)):
            np.testing.assert_array_equal(slope(x), [0, 0, np.nan])


def test_interpolate_and_its_derivatives():
    """A gate that is shut hands on all that there is, and the little that it lets in has all its digits."""
    x = jnp.asarray([-90.0, -30.0, -8.0, 0.0, 8.0, 30.0, 80.0], jnp.float32)

    def mixed(x, a, b):
        return activations.interpolate(activations.sigmoid(x), activations.sigmoid(-x), a, b)

    a, b = jnp.full_like(x, 0.75), jnp.full_like(x, -0.5)
    e = np.exp(-np.abs(np.asarray(x, np.float64)))
    large, small, slope = 1 / (1 + e), e / (1 + e), e / (1 + e) ** 2
    share, rest = np.where(x > 0, large, small), np.where(x > 0, small, large)
    np.testing.assert_allclose(mixed(x, a, b), 0.75 * share - 0.5 * rest, rtol=0, atol=1e-7)
    gradient = [jax.grad(lambda *z: mixed(*z).sum(), k) for k in range(3)]
    twice = [[jax.grad(lambda *z, g=g: g(*z).sum(), k) for k in range(3)] for g in gradient]
    first, second = jax.jit(lambda *z: ([f(*z) for f in gradient], [[f(*z) for f in row] for row in twice]))(x, a, b)
    for found, wanted in zip(first, (1.25 * slope, share, rest), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=2e-38)
    zero, curve = np.zeros_like(slope), 1.25 * slope * (rest - share)
    for found, wanted in zip(second, ((curve, slope, -slope), (slope, zero, zero), (-slope, zero, zero)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-38)

"""The optimisers against their papers' formulas, and learning rates against Zaremba et al. (2014)."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.presets import preset
from rnnlm_jax.training.optimizer import learning_rate_at, make_optimizer

P = np.array([1.0, -2.0, 0.5])
GRADIENTS = (np.array([0.3, -0.1, 0.4]), np.array([-0.2, 0.5, 0.1]))
RATE = 0.1


def sgd(g1, g2):
    return P - RATE * g1 - RATE * g2


def momentum(g1, g2):
    return P - RATE * g1 - RATE * (0.8 * g1 + g2)


def adagrad(g1, g2):
    one = 0.1 + g1**2  # optax's initial sum
    return P - RATE * g1 / np.sqrt(one + 1e-7) - RATE * g2 / np.sqrt(one + g2**2 + 1e-7)


def adam(g1, g2, decay=0.0):
    p, m, v = P, 0.0, 0.0
    for t, g in ((1, g1), (2, g2)):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        p = p - RATE * (m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + decay * p)
    return p


def adamw(g1, g2):
    return adam(g1, g2, decay=0.05)


@pytest.mark.parametrize("formula", [sgd, momentum, adagrad, adam, adamw], ids=lambda formula: formula.__name__)
@pytest.mark.parametrize("clip", [None, 0.25])
def test_two_updates_are_those_of_the_formula(formula, clip):
    config = OptimizerConfig(formula.__name__, momentum=0.8, weight_decay=0.05, clip_norm=clip)
    rule = make_optimizer(config, RATE)
    p = jnp.asarray(P)
    state = rule.init(p)
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam computes a power of float and int
        for g in GRADIENTS:
            updates, state = rule.update(jnp.asarray(g), state, p)
            p = optax.apply_updates(p, updates)
    norms = [np.linalg.norm(g) for g in GRADIENTS]
    assert all(norm > 0.25 for norm in norms)
    clipped = GRADIENTS if clip is None else [clip * g / norm for g, norm in zip(GRADIENTS, norms, strict=True)]
    np.testing.assert_allclose(p, formula(*clipped), rtol=1e-6)


def test_small_gradients_are_not_clipped():
    rule = make_optimizer(OptimizerConfig("sgd", clip_norm=0.6), 1.0)
    g = {"a": jnp.asarray([0.3]), "b": jnp.asarray([0.4])}  # global norm 0.5
    updates, _ = rule.update(g, rule.init(g), g)
    for name in g:
        np.testing.assert_allclose(updates[name], -g[name], rtol=1e-15)
    doubled, _ = rule.update(jax.tree.map(lambda x: 2 * x, g), rule.init(g), g)
    np.testing.assert_allclose(doubled["b"], -0.8 * 0.6, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("zaremba/small", [1, 1, 1, 1, 1 / 2, 1 / 4, 1 / 8]),
        ("zaremba/medium", [1, 1, 1, 1, 1, 1, 1 / 1.2, 1 / 1.2**2]),
        ("zaremba/large", [1] * 14 + [1 / 1.15, 1 / 1.15**2]),
    ],
)
def test_learning_rates_are_those_of_the_paper(name, expected):
    config = preset(name).optimizer
    rates = [learning_rate_at(config, epoch) for epoch in range(len(expected))]
    np.testing.assert_allclose(rates, expected, rtol=1e-14)


def test_without_decay_the_learning_rate_stays():
    assert {learning_rate_at(OptimizerConfig(learning_rate=0.3), epoch) for epoch in range(9)} == {0.3}

"""The loss with its own derivative rule against the plain formula, in float64: value and every order of derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.outputs import cross_entropy as subject

cross_entropy = jax.jit(subject.cross_entropy)


@jax.jit
def plain(logits, targets):
    return jax.nn.logsumexp(logits, axis=1) - logits[jnp.arange(len(targets)), targets]


@pytest.fixture(params=[1.0, 300.0], ids=["ordinary logits", "logits that overflow exp"])
def case(request):
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(6, 9)) * request.param)
    return logits, jnp.asarray(rng.integers(0, 9, 6), jnp.int32), jnp.asarray(rng.normal(size=6))


def test_the_value_is_that_of_the_plain_formula(case):
    logits, targets, _ = case
    np.testing.assert_allclose(cross_entropy(logits, targets), plain(logits, targets), rtol=1e-13, atol=1e-13)


def test_forward_and_reverse_gradients_are_those_of_the_plain_formula(case):
    logits, targets, weights = case
    reverse = jax.grad(lambda a: weights @ cross_entropy(a, targets))(logits)
    forward = jax.jacfwd(lambda a: weights @ cross_entropy(a, targets))(logits)
    wanted = jax.grad(lambda a: weights @ plain(a, targets))(logits)
    np.testing.assert_allclose(reverse, wanted, rtol=0, atol=1e-13)
    np.testing.assert_allclose(forward, wanted, rtol=0, atol=1e-13)


def test_the_hessian_is_that_of_the_plain_formula(case):
    logits, targets, weights = case
    ours = jax.hessian(lambda a: weights @ cross_entropy(a, targets))(logits)
    wanted = jax.hessian(lambda a: weights @ plain(a, targets))(logits)
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-13)

"""The full softmax: exact, normalised, and steady where exponentials overflow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.outputs import SoftmaxParams, softmax

RNG = np.random.default_rng(0)
HIDDEN, VOCABULARY = 5, 9
LAYER = softmax(param_dtype=jnp.float64, dtype=jnp.float64)
PARAMS = SoftmaxParams(jnp.asarray(RNG.normal(size=(HIDDEN, VOCABULARY))), jnp.asarray(RNG.normal(size=VOCABULARY)))
HS = jnp.asarray(RNG.normal(size=(4, 3, HIDDEN)))
TARGETS = jnp.asarray(RNG.integers(0, VOCABULARY, (4, 3)))


def test_nats_and_log_probs_are_the_definition():
    a = np.asarray(HS) @ np.asarray(PARAMS.w) + np.asarray(PARAMS.b)
    p = np.exp(a) / np.exp(a).sum(-1, keepdims=True)
    log_probs = LAYER.log_probs(PARAMS, HS)
    np.testing.assert_allclose(np.exp(log_probs), p, rtol=1e-13)
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1.0, rtol=1e-14)
    expected = -np.log(np.take_along_axis(p, np.asarray(TARGETS)[..., None], -1)[..., 0])
    np.testing.assert_allclose(LAYER.nats(PARAMS, HS, TARGETS), expected, rtol=1e-12)


def test_the_gradient_is_probability_minus_target():
    slope = jax.grad(lambda b: LAYER.nats(PARAMS._replace(b=b), HS, TARGETS).sum())(PARAMS.b)
    counts = np.bincount(np.asarray(TARGETS).ravel(), minlength=VOCABULARY)
    expected = np.exp(LAYER.log_probs(PARAMS, HS)).sum((0, 1)) - counts
    np.testing.assert_allclose(slope, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_large_logits_do_not_overflow(scale):
    narrow = softmax()
    params = SoftmaxParams(jnp.eye(3, dtype=jnp.float32), jnp.zeros(3, jnp.float32))
    h = jnp.asarray([[scale, 0.0, -scale]], jnp.float32)
    np.testing.assert_array_equal(
        narrow.nats(params, jnp.repeat(h, 2, 0), jnp.asarray([0, 1])), [0.0, np.float32(scale)]
    )
    np.testing.assert_array_equal(narrow.log_probs(params, h)[0, 0], 0.0)


def test_narrow_products_give_wide_logits():
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), PARAMS)
    hs = HS.astype(jnp.float32)
    narrow = softmax(dtype=jnp.bfloat16).nats(params, hs, TARGETS)
    wide = softmax().nats(params, hs, TARGETS)
    assert narrow.dtype == jnp.float32
    assert 0 < np.abs(np.asarray(narrow - wide)).max() < 0.1


def test_tied_parameters_have_no_matrix():
    params = softmax(tied=True).init(jax.random.key(0), HIDDEN, VOCABULARY)
    assert params.w is None
    assert params.b.shape == (VOCABULARY,)
    assert softmax(tied=True) is softmax(tied=True)


@pytest.mark.parametrize("tied", [False, True])
def test_smoothed_labels_are_a_mixture_with_the_uniform_distribution(tied):
    """Value and gradients of ``nats + ε excess`` are those of the cross-entropy with the mixture."""
    layer, eps = softmax(tied, param_dtype=jnp.float64, dtype=jnp.float64), 0.3
    params = PARAMS._replace(w=PARAMS.w.T) if tied else PARAMS
    weights = jnp.asarray(RNG.random(TARGETS.shape))

    def smoothed(params, hs):
        excess = (weights * layer.logit_excess(params, hs, TARGETS)).sum()
        return layer.total_nats(params, hs, TARGETS, weights) + eps * excess

    value, (of_params, of_hs) = jax.value_and_grad(smoothed, argnums=(0, 1))(params, HS)
    w, hs, scale = np.asarray(PARAMS.w), np.asarray(HS).reshape(-1, HIDDEN), np.asarray(weights).reshape(-1, 1)
    a = hs @ w + np.asarray(PARAMS.b)
    log_p = a - np.log(np.exp(a).sum(-1, keepdims=True))
    mixture = (1 - eps) * np.eye(VOCABULARY)[np.asarray(TARGETS).reshape(-1)] + eps / VOCABULARY
    errors = scale * (np.exp(log_p) - mixture)
    np.testing.assert_allclose(value, -(scale * mixture * log_p).sum(), rtol=1e-12)
    np.testing.assert_allclose(of_hs.reshape(-1, HIDDEN), errors @ w.T, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(of_params.w.T if tied else of_params.w, hs.T @ errors, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(of_params.b, errors.sum(0), rtol=1e-10, atol=1e-13)

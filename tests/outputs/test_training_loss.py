"""The loss that training differentiates: every derivative of it, and what is not computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.kernels import unavailable
from rnnlm_jax.outputs import SoftmaxParams, softmax
from rnnlm_jax.outputs.training_loss import weighted_nats
from tests.outputs.reference import problem, solution


@pytest.fixture(params=[False, True], ids=["own matrix", "tied"])
def tied(request):
    return request.param


def loss_of(tied, given):
    layer = softmax(tied, jnp.float64, jnp.float64)
    return lambda h, w, b: layer.total_nats(SoftmaxParams(w, b), h, given.targets, given.weights)


def plain_of(tied, given):
    def plain(h, w, b):
        log_probs = jax.nn.log_softmax(h @ (w.T if tied else w) + b[None])
        return -given.weights @ log_probs[jnp.arange(len(h)), given.targets]

    return plain


def test_value_and_gradients_are_those_of_the_definition(tied):
    given = problem(by_word=tied)
    nats, *gradients = solution(given, tied)
    value, found = jax.jit(jax.value_and_grad(loss_of(tied, given), (0, 1, 2)))(*given[:3])
    np.testing.assert_allclose(value, given.weights @ nats, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(loss_of(tied, given))(*given[:3]), value, rtol=1e-13)
    for ours, wanted in zip(found, gradients, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-12)


def test_other_derivatives_are_those_of_the_plain_formula(tied):
    """A cotangent that is not 1, forward mode, a Hessian's product, and weights that are learnt."""
    given = problem(by_word=tied)
    moved = tuple(np.cos(a) for a in given[:3])

    def derivatives(f):
        squared = jax.grad(lambda *args: jnp.square(f(*args)), (0, 1, 2))(*given[:3])
        forward = jax.jvp(f, given[:3], moved)
        second = jax.jvp(jax.grad(f, (0, 1, 2)), given[:3], moved)[1]
        return squared, forward, second

    ours, plain = (jax.jit(derivatives, static_argnums=0)(f(tied, given)) for f in (loss_of, plain_of))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-12)
    nats, *_ = solution(given, tied)
    by_weight = jax.grad(lambda weights: weighted_nats(*given[:4], weights, by_word=tied))(given.weights)
    np.testing.assert_allclose(by_weight, nats, rtol=1e-12)


def test_no_gradient_is_computed_unless_asked_for(tied):
    given = problem(by_word=tied)
    loss = loss_of(tied, given)
    program, differentiated = (str(jax.make_jaxpr(f)(*given[:3])) for f in (loss, jax.grad(loss)))
    assert "cross_entropy_nats" in program and "cross_entropy_gradients" not in program
    assert "cross_entropy_gradients" in differentiated


@pytest.mark.skipif(unavailable() is not None, reason="no native kernels")
def test_a_loss_that_is_the_last_word_costs_no_pass_over_the_gradient(tied):
    """The compiled program multiplies nothing of the matrix's size, nor transposes it."""
    given = problem(by_word=tied)
    shape = "f64[{},{}]".format(*given.w.shape)

    def sized(f):
        program = jax.jit(jax.grad(f, (0, 1, 2))).lower(*given[:3]).compile().as_text()
        return [line for line in program.splitlines() if f"= {shape}" in line and "parameter(" not in line]

    loss = loss_of(tied, given)
    assert all("custom-call" in line or "get-tuple-element" in line for line in sized(loss))
    assert any("multiply" in line for line in sized(lambda *args: loss(*args) * jnp.square(args[2]).sum()))


def test_narrow_products_of_tied_weights():
    """In bfloat16 the products are narrow and the rest is not; the gradients have the parameters' type."""
    given = problem(by_word=True, dtype="float32")
    layer = softmax(True, jnp.bfloat16, jnp.float32)

    def loss(h, w, b):
        return layer.total_nats(SoftmaxParams(w, b), h, given.targets, given.weights)

    nats, *gradients = solution(given, True)
    value, found = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(*given[:3])
    assert value.dtype == jnp.float32 and all(g.dtype == jnp.float32 for g in found)
    assert 0 < abs(float(value) - given.weights @ nats) < 0.1
    for ours, wanted in zip(found, gradients, strict=True):
        assert 0 < np.abs(np.asarray(ours, np.float64) - wanted).max() < 0.1

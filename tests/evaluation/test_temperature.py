"""Temperatures: the minimum of a convex curve, the fit on a text against NumPy, and layers with a temperature."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from rnnlm_jax import UserError, cells
from rnnlm_jax.evaluation import evaluate, fit_temperature, with_temperature
from rnnlm_jax.evaluation.convex_minimum import SMALLEST, Curve, convex_minimum
from rnnlm_jax.evaluation.temperature import tempered_moments
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs import make
from rnnlm_jax.outputs.output_layer import WithContext
from rnnlm_jax.outputs.tempered import tempered
from rnnlm_jax.outputs.word_counts import WordCounts
from tests.training.tiny import LINES, random_params, vocabulary

WORDS = vocabulary()
MODEL = language_model(cells.elman(8, param_dtype=jnp.float64), WORDS.size)
PARAMS = random_params(MODEL)
TEXT = WORDS.encode([*LINES, "a unicorn sat on the mat", *LINES])

#: Convex functions with their first two derivatives and the place of their minimum.
CURVES = {
    "logarithm": (lambda x: x - 3 * np.log(x), lambda x: 1 - 3 / x, lambda x: 3 / x**2, 3),
    "far": (lambda x: np.cosh((x - 900) / 300), lambda x: np.sinh((x - 900) / 300) / 300,
            lambda x: np.cosh((x - 900) / 300) / 9e4, 900),
    "near zero": (lambda x: x + 1e-8 / x, lambda x: 1 - 1e-8 / x**2, lambda x: 2e-8 / x**3, 1e-4),
    "quartic": (lambda x: (x - 1.1) ** 4, lambda x: 4 * (x - 1.1) ** 3, lambda x: 12 * (x - 1.1) ** 2, 1.1),
    "at one": (lambda x: (x - 1) ** 2, lambda x: 2 * (x - 1), lambda x: 2 + 0 * x, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CURVES)
def test_the_minimum_of_a_convex_curve_and_its_certificate(name):
    *functions, place = CURVES[name]
    found = convex_minimum(lambda x: Curve(*(f(x) for f in functions)), tolerance=1e-9)
    true_excess = found.value - functions[0](place)
    assert -1e-15 <= true_excess <= found.excess <= 1e-9
    assert found.passes <= 12
    if name != "quartic":  # flat at its minimum
        np.testing.assert_allclose(found.x, place, rtol=1e-3)


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        (lambda x: Curve(-x, -1 + 0 * x, 0 * x), "each target is the likeliest token"),
        (lambda x: Curve(x, 1 + 0 * x, 0 * x), "a uniform distribution predicts the text better"),
        (lambda x: Curve(x * np.nan, x, x), "a token of the text has probability 0"),
        (lambda x: Curve(x, np.where(x < 1.01, -1, 1), 0 * x), "use float64"),
    ],
)
def test_a_curve_without_a_minimum_is_refused(curve, said):
    with pytest.raises(UserError, match=said):
        convex_minimum(curve, tolerance=1e-30)
    assert SMALLEST > 0


@pytest.fixture(scope="module")
def log_probs():
    """Log-probabilities of every word after each prefix of the text, one step after the other."""
    step = jax.jit(MODEL.log_probs)
    state, before, rows = MODEL.initial_state(()), WORDS.start_id, []
    for token in TEXT.tokens.tolist():
        state, row = step(PARAMS, state, jnp.asarray(before))
        rows.append(np.asarray(row))
        before = token
    return np.array(rows)


def nll(log_probs, power):
    """Nats of the text with ``p^power``, normalised: by the definition."""
    p = np.exp(log_probs) ** power
    p /= p.sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(TEXT)), TEXT.tokens]).sum()


@pytest.mark.parametrize("streams", [1, 3])
def test_the_fit_is_the_minimum_over_the_text(log_probs, streams):
    told = []
    fit = fit_temperature(MODEL, PARAMS, TEXT, WORDS, streams=streams, progress=told.append)
    assert sum(told) == fit.passes * fit.tokens == fit.passes * len(TEXT)
    assert 0 <= fit.excess <= 1e-6 and fit.nll < fit.nll_without
    tempered_model = with_temperature(MODEL, fit.temperature)
    np.testing.assert_allclose(evaluate(MODEL, PARAMS, TEXT, WORDS, streams=streams).nll, fit.nll_without, rtol=1e-12)
    np.testing.assert_allclose(evaluate(tempered_model, PARAMS, TEXT, WORDS, streams=streams).nll, fit.nll, rtol=1e-12)
    assert fit.summary()["perplexity"] == math.exp(fit.nll / len(TEXT)) == fit.perplexity
    if streams == 1:
        least = minimize_scalar(lambda power: nll(log_probs, power), bounds=(1e-3, 3), options={"xatol": 1e-9})
        np.testing.assert_allclose(fit.temperature, 1 / least.x, rtol=1e-3)
        np.testing.assert_allclose(fit.nll, nll(log_probs, 1 / fit.temperature), rtol=1e-12)
        assert fit.nll - least.fun <= fit.excess * len(TEXT) + 1e-9


POWERS = jnp.array([0.5, 1.0, 2.0])


def test_moments_are_derivatives_of_the_nats():
    rng = np.random.default_rng(0)
    rows, targets = jax.nn.log_softmax(rng.normal(size=(3, 2, 5))), rng.integers(0, 5, (3, 2))
    values, slopes, curvatures = np.asarray(jax.jit(tempered_moments)(rows, targets, POWERS))
    np.testing.assert_allclose(values[1], -np.take_along_axis(np.asarray(rows), targets[..., None], 2)[..., 0], 1e-12)

    def nats(power):
        at_target = jnp.take_along_axis(rows, targets[..., None], 2)[..., 0]
        return jax.nn.logsumexp(power * rows, axis=-1) - power * at_target

    first = jax.jacfwd(nats)
    wanted = jax.jit(lambda powers: [jax.lax.map(f, powers) for f in (first, jax.jacfwd(first))])(POWERS)
    np.testing.assert_allclose((slopes, curvatures), wanted, rtol=1e-10, atol=1e-12)


def test_a_word_of_probability_zero_adds_nothing():
    rows = jnp.log(jnp.array([[[0.5, 0.3, 0.2, 0.0]]]))
    with_it, without = (tempered_moments(r, np.zeros((1, 1), int), jnp.array([2.0])) for r in (rows, rows[..., :3]))
    np.testing.assert_array_equal(with_it, without)


V, H = 6, 4
COUNTS = WordCounts([f"w{k}" for k in range(V)], range(V, 0, -1))
OPTIONS = {"mixture-of-softmaxes": {"components": 2}, "nce": {"num_samples": 3}, "maxent": {"table_size": 64}}


@pytest.mark.parametrize("name", ["softmax", "mixture-of-softmaxes", "nce", "maxent"])
def test_layers_with_a_temperature(name):
    """Their distribution is a normalised power, and their losses are its nats."""
    base = make(name, COUNTS, dtype="float64", param_dtype="float64", **OPTIONS.get(name, {}))
    layer, rng = tempered(base, 0.7), np.random.default_rng(0)
    assert tempered(base, 0.7) is layer and not layer.sampled and layer.by_row is None
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), base.init(jax.random.key(0), H, V))
    hs = jnp.asarray(rng.normal(size=(3, 2, H)))
    hs = WithContext(hs, jnp.asarray(rng.integers(0, V, (3, 2, base.context_size)))) if base.context_size else hs
    targets, weights = rng.integers(0, V, (3, 2)), np.array([[1.0, 0.0], [0.5, -1.0], [0.0, 2.0]])
    p = np.exp(jax.jit(base.log_probs)(params, hs)) ** (1 / 0.7)
    p /= p.sum(axis=-1, keepdims=True)
    nats = -np.log(np.take_along_axis(p, targets[..., None], 2)[..., 0])

    @jax.jit
    def found(params, hs):
        total = layer.total_nats(params, hs, np.where(weights == 0, V, targets), weights)
        return layer.log_probs(params, hs), layer.nats(params, hs, targets), total

    for ours, wanted in zip(found(params, hs), (np.log(p), nats, (weights * nats).sum()), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-10)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), "hot", True])
def test_impossible_temperatures_are_refused(temperature):
    with pytest.raises(UserError, match="`temperature` must be a positive number"):
        with_temperature(MODEL, temperature)


def test_a_text_without_streams_is_refused():
    with pytest.raises(UserError, match="`streams` must be positive"):
        fit_temperature(MODEL, PARAMS, TEXT, WORDS, streams=0)

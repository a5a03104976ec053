"""Dynamic evaluation against a tanh network by hand that learns from each segment after scoring it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, outputs
from rnnlm_jax.data import EncodedText
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.evaluation import text_nll
from rnnlm_jax.evaluation.comparison import dynamic_nll, dynamic_rule, gradient_scale
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.outputs.word_counts import WordCounts
from tests.evaluation.horizons.by_hand import ElmanByHand
from tests.training.tiny import LINES, random_params, vocabulary

WORDS = vocabulary()
MODEL = language_model(cells.elman(5, dtype=jnp.float64, param_dtype=jnp.float64), WORDS.size, executor="scan")
PARAMS = random_params(MODEL)
TEXT = WORDS.encode(LINES)


def first_tokens(text, size):
    """A text of the first tokens of another."""
    return EncodedText(text.tokens[:size], np.array([size]), 0, size)


def by_hand(params, before, inputs, targets):
    """Nats of a segment, the last state, and the gradient of the mean, by textbook back-propagation."""
    network, h, hs = ElmanByHand(params), before, []
    for token in inputs:
        h = np.tanh(network.embedding[token] @ network.w_x + h @ network.w_h + network.b)
        hs.append(h)
    rows = np.array([network.probabilities(h) for h in hs])
    nats = -np.log(rows[np.arange(len(targets)), targets])
    errors = rows.copy()
    errors[np.arange(len(targets)), targets] -= 1
    errors /= len(targets)
    d_embedding, d_x, d_h = (np.zeros_like(part) for part in (network.embedding, network.w_x, network.w_h))
    d_b, delta = np.zeros_like(network.b), np.zeros_like(before)
    for t in range(len(inputs))[::-1]:
        slope = (errors[t] @ network.w.T + delta) * (1 - hs[t] ** 2)
        d_x += np.outer(network.embedding[inputs[t]], slope)
        d_h += np.outer(hs[t - 1] if t else before, slope)
        d_b += slope
        d_embedding[inputs[t]] += network.w_x @ slope
        delta = network.w_h @ slope
    gradient = LanguageModelParams(
        d_embedding, type(params.cell)(d_x, d_h, d_b), type(params.output)(np.array(hs).T @ errors, errors.sum(axis=0))
    )
    return nats, h, gradient


def learn_by_hand(text, rule, scale=None):
    """Nats of a text by parameters that follow a rule."""
    trained = params = jax.tree.map(np.asarray, PARAMS)
    divisor, back = jax.tree.map(lambda p: 1.0, params), jax.tree.map(lambda p: rule.decay, params)
    if scale is not None:
        mean = np.mean([np.mean(s) for s in jax.tree.leaves(scale)])
        divisor = jax.tree.map(lambda s: s + rule.epsilon, scale)
        back = jax.tree.map(lambda s: np.minimum(rule.decay * s / mean, 1), scale)
    state, found = np.zeros(5), []
    tokens = np.concatenate([[WORDS.start_id], text.tokens])
    for start in range(0, len(text), rule.segment):
        stop = min(start + rule.segment, len(text))
        nats, state, g = by_hand(params, state, tokens[start:stop], tokens[start + 1 : stop + 1])
        found.append(nats)
        params = jax.tree.map(
            lambda p, d, s, b, o: p - rule.rate * d / s + b * (o - p), params, g, divisor, back, trained
        )
    return np.concatenate(found)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_the_rule_sgd(decay):
    rule = dynamic_rule("sgd", rate=0.7, decay=decay, segment=3)
    found = dynamic_nll(MODEL, PARAMS, TEXT, WORDS, rule=rule)
    np.testing.assert_allclose(found, learn_by_hand(TEXT, rule), rtol=1e-11)
    assert np.abs(found - text_nll(MODEL, PARAMS, TEXT, WORDS)).max() > 0.05  # it does learn
    assert found.dtype == np.float64


@pytest.mark.parametrize(("output", "options"), [("hierarchical", {}), ("nce", {"num_samples": 4})])
def test_every_output_layer_learns_from_its_exact_nats(output, options):
    """Two segments: the second is scored by parameters that went down the gradient of the first."""
    types = {"dtype": jnp.float64, "param_dtype": jnp.float64}
    layer = outputs.make(output, WordCounts.counted(WORDS.tokens, TEXT.tokens), **types, **options)
    model = language_model(cells.elman(5, **types), WORDS.size, output=layer, executor="scan")
    tokens = jnp.asarray([WORDS.start_id, *TEXT.tokens[:6]])

    def nats_of(params, state, segment):
        state, hs = model.hidden(params, state, tokens[segment][:, None], None)
        log_probs = layer.log_probs(params.output, hs[:, 0])
        nats = -jnp.take_along_axis(log_probs, tokens[segment + 1][:, None], axis=1)[:, 0]
        return nats.mean(), (nats, state)

    @jax.jit
    def both(params):
        gradient, (first, state) = jax.grad(nats_of, has_aux=True)(params, model.initial_state((1,)), jnp.arange(3))
        moved = jax.tree.map(lambda p, g: p - 0.7 * g, params, gradient)
        return jnp.concatenate([first, nats_of(moved, state, jnp.arange(3, 6))[1][0]])

    params = random_params(model, 2)
    found = dynamic_nll(model, params, first_tokens(TEXT, 6), WORDS, rule=dynamic_rule("sgd", rate=0.7, segment=3))
    np.testing.assert_allclose(found, both(params), rtol=1e-10)


def test_the_rule_rms():
    rule = dynamic_rule("rms", rate=0.02, decay=0.9, epsilon=1e-3, segment=3)
    scale = jax.tree.map(lambda p: np.abs(np.asarray(p)) * 0.1, random_params(MODEL, 1))
    mean = np.mean([np.mean(s) for s in jax.tree.leaves(scale)])
    back = np.concatenate([np.ravel(0.9 * s / mean) for s in jax.tree.leaves(scale)])
    assert (back > 1).any()  # both sides of the bound
    assert (back < 1).any()
    found = dynamic_nll(MODEL, PARAMS, TEXT, WORDS, rule=rule, scale=scale)
    np.testing.assert_allclose(found, learn_by_hand(TEXT, rule, scale), rtol=1e-11)


def test_the_scale_is_the_root_mean_square_over_batches():
    """Two streams, segments of four: each gradient is that of the mean over the tokens that are there."""
    text = first_tokens(TEXT, 11)
    found = gradient_scale(MODEL, PARAMS, text, WORDS, segment=4)  # as many streams as there are whole segments
    tokens = np.concatenate([[WORDS.start_id], text.tokens])
    states, squares = [np.zeros(5), np.zeros(5)], None
    for start, stop in ((0, 4), (4, 6)):
        pieces = [(start, stop), (6 + start, min(6 + stop, 11))]
        total = None
        for k, (first, last) in enumerate(pieces):
            nats, states[k], g = by_hand(PARAMS, states[k], tokens[first:last], tokens[first + 1 : last + 1])
            g = jax.tree.map(lambda x: x * (last - first), g)  # noqa: B023
            total = g if total is None else jax.tree.map(np.add, total, g)
        count = sum(last - first for first, last in pieces)
        square = jax.tree.map(lambda x: (x / count) ** 2, total)  # noqa: B023
        squares = square if squares is None else jax.tree.map(np.add, squares, square)
    expected = jax.tree.map(lambda s: np.sqrt(s / 2), squares)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14), found, expected)
    one = gradient_scale(MODEL, PARAMS, text, WORDS, segment=4, max_batches=1)
    assert not np.allclose(one.output.b, found.output.b)


def test_nats_do_not_depend_on_later_tokens():
    rule = dynamic_rule("sgd", rate=0.7, segment=3)
    whole = dynamic_nll(MODEL, PARAMS, TEXT, WORDS, rule=rule)
    for size in (1, 10, 12):
        assert dynamic_nll(MODEL, PARAMS, first_tokens(TEXT, size), WORDS, rule=rule).tolist() == whole[:size].tolist()


@pytest.mark.parametrize("rule", ["sgd", "rms"])
def test_a_rate_of_zero_leaves_the_model_unchanged(rule):
    scale = None if rule == "sgd" else jax.tree.map(lambda p: np.abs(np.asarray(p)), PARAMS)
    found = dynamic_nll(
        MODEL, PARAMS, TEXT, WORDS, rule=dynamic_rule(rule, rate=0.0, decay=0.5, segment=3), scale=scale
    )
    np.testing.assert_allclose(found, text_nll(MODEL, PARAMS, TEXT, WORDS), rtol=1e-14)


def test_the_trained_parameters_do_not_change_and_progress_counts_every_token():
    before, reports = jax.tree.map(np.array, PARAMS), []
    dynamic_nll(MODEL, PARAMS, TEXT, WORDS, rule=dynamic_rule("sgd", segment=3), progress=reports.append)
    jax.tree.map(np.testing.assert_array_equal, PARAMS, before)
    assert sum(reports) == len(TEXT)


def test_a_rate_that_explodes_is_an_error_with_its_token():
    with pytest.raises(ArgumentError, match=r"no finite nats at token \d+ \(dynamic sgd, rate 1e\+300.*lower its rate"):
        dynamic_nll(MODEL, PARAMS, TEXT, WORDS, rule=dynamic_rule("sgd", rate=1e300, segment=3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "adam"}, "unknown rule 'adam'"),
        ({"rule": "sgd", "rate": -1.0}, "rate of dynamic evaluation must be 0 or more"),
        ({"rule": "sgd", "rate": float("nan")}, "rate"),
        ({"rule": "sgd", "rate": float("inf")}, "rate"),
        ({"rule": "rms", "decay": 1.5}, "decay of dynamic evaluation must be between 0 and 1"),
        ({"rule": "rms", "epsilon": 0.0}, "epsilon of dynamic evaluation must be positive"),
        ({"rule": "sgd", "segment": 0}, "1 token or more"),
    ],
)
def test_errors_of_rules(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        dynamic_rule(**arguments)

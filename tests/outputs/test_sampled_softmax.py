"""Sampled losses: the papers' formulas, gradients of the rows drawn and no others, and exact evaluation beside them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.arrays.sparse_rows import UNUSED, dense_gradient
from rnnlm_jax.outputs import OUTPUTS, SoftmaxParams, make
from rnnlm_jax.outputs.proposals import proposal
from rnnlm_jax.outputs.sampled_rules import blackout_rule, importance_rule, noise_contrastive_rule
from rnnlm_jax.outputs.samplers import make_sampler
from rnnlm_jax.outputs.word_counts import WordCounts
from tests.outputs import sampled_reference as reference
from tests.unroll.programs import jit

V, H, T, B = 9, 3, 4, 2
COUNTS = [30, 4, 0, 12, 7, 1, 2, 2, 5]
WORDS = WordCounts([f"w{v}" for v in range(V)], COUNTS)
WIDE = {"dtype": "float64", "param_dtype": "float64"}
RNG = np.random.default_rng(0)
W, BIAS, HS = RNG.normal(size=(V, H)), RNG.normal(size=V), RNG.normal(size=(T, B, H))
TARGETS = RNG.integers(0, V, (T, B)).astype(np.int32)
WEIGHTS = RNG.normal(size=(T, B)) * np.array([[1, 0], [1, 1], [1, 1], [0, 1]])
PARAMS = SoftmaxParams(jnp.asarray(W), jnp.asarray(BIAS))

#: name -> (kind, options, formula)
CASES = {
    "importance": ("importance", {"num_samples": 4}, reference.importance),
    "nce": ("nce", {"num_samples": 6}, reference.nce),
    "nce, constant": ("nce", {"num_samples": 4, "unique": True, "log_normalizer": 1.5}, reference.nce),
    "blackout": ("blackout", {"num_samples": 7, "power": 0.4}, reference.blackout),
    "blackout, hits": (
        "blackout",
        {"num_samples": 7, "power": 0.4, "remove_accidental_hits": False},
        reference.blackout_with_hits,
    ),
}


@functools.cache
def drawn(case):
    """The loss, its gradients by rows and by hidden states, and what was drawn."""
    kind, options, _ = CASES[case]
    layer = make(kind, WORDS, **WIDE, **options)

    @jax.jit
    def run(params, hs, targets, weights, key):
        gathered, ids = layer.by_row.gather(params, targets, key)
        value, (rows, dh) = jax.value_and_grad(layer.by_row.loss, (0, 2))(gathered, ids, hs, targets, weights)
        return value, layer.by_row.scatter(rows, ids), dh, ids

    return run(PARAMS, HS, TARGETS, WEIGHTS, jax.random.key(2))


def expected_offsets(case, slots):
    """What the formula takes for each word: ln E[v], or ln Q(v)."""
    kind, options, _ = CASES[case]
    if kind == "importance":
        ranks = np.empty(V)
        ranks[np.argsort(-np.array(COUNTS), kind="stable")] = np.arange(V)
        q = np.log((ranks + 2) / (ranks + 1)) / np.log(V + 1)
    else:
        q = np.maximum(COUNTS, 1.0) ** options.get("power", 1.0)
        q /= q.sum()
    if kind == "blackout":
        return np.log(q)
    if not options.get("unique", kind != "nce"):
        return np.log(options["num_samples"] * q)
    tries = next(m for m in range(1, 999) if (1 - (1 - q) ** m).sum() >= options["num_samples"])
    return np.log(1 - (1 - q) ** tries)


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_are_those_of_the_formula(case):
    value, gradient, dh, ids = drawn(case)
    samples = [int(v) for v in ids.samples if v != UNUSED]
    if "constant" not in case:  # at 4 distinct ones of 9 a draw may miss all targets
        assert set(samples) & set(TARGETS.ravel().tolist())
    _, options, formula = CASES[case]
    offsets, c = expected_offsets(case, len(samples)), options.get("log_normalizer", np.log(V))
    flat = HS.reshape(-1, H), TARGETS.ravel(), WEIGHTS.ravel()

    def total(w=W, b=BIAS, h=flat[0]):
        return reference.total(formula, w, b, h, *flat[1:], samples, offsets, c)

    np.testing.assert_allclose(value, total(), rtol=1e-11)
    dense = dense_gradient(gradient, PARAMS)
    np.testing.assert_allclose(dense.w, reference.gradient(lambda w: total(w=w), W), atol=1e-8)
    np.testing.assert_allclose(dense.b, reference.gradient(lambda b: total(b=b), BIAS), atol=1e-8)
    by_h = reference.gradient(lambda h: total(h=h), flat[0])
    np.testing.assert_allclose(dh.reshape(-1, H), by_h, atol=1e-8)
    # Only those rows, each once.
    for leaf in gradient:
        named = [int(v) for v in leaf.ids if v != UNUSED]
        assert sorted(set(samples) | set(flat[1].tolist())) == named


@pytest.mark.parametrize("kind", ["importance", "nce", "blackout"])
def test_evaluation_is_the_full_softmax(kind):
    layer = make(kind, WORDS, **WIDE, num_samples=3)
    a = HS @ W.T + BIAS
    p = np.exp(a) / np.exp(a).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.exp(layer.log_probs(PARAMS, HS)), p, rtol=1e-12)
    nats = -np.log(np.take_along_axis(p, TARGETS[..., None], -1)[..., 0])
    np.testing.assert_allclose(layer.nats(PARAMS, HS, TARGETS), nats, rtol=1e-12)
    np.testing.assert_allclose(layer.total_nats(PARAMS, HS, TARGETS, WEIGHTS), (WEIGHTS * nats).sum(), rtol=1e-12)
    assert layer.sampled
    assert make(kind, WordCounts(WORDS.tokens, COUNTS), **WIDE, num_samples=3) is layer  # no second compilation


def test_all_words_as_samples_are_the_full_softmax():
    layer = make("importance", WORDS, **WIDE, num_samples=V)
    gathered, ids = layer.by_row.gather(PARAMS, TARGETS, jax.random.key(0))
    found = layer.by_row.loss(gathered, ids, HS, TARGETS, WEIGHTS)
    np.testing.assert_allclose(found, layer.total_nats(PARAMS, HS, TARGETS, WEIGHTS), rtol=1e-12)


def test_blackout_with_accidental_hits_has_its_optimum_at_the_true_distribution():
    """Where the model is the distribution of the targets, slopes vanish as samples grow; without hits they do not."""
    p, q = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.1, 0.2, 0.3, 0.4])

    def pull(count, hits):
        """The expected slope by each word's logit, over targets from p and exactly ``count Q(v)`` samples of v."""
        samples = np.repeat(np.arange(4), np.rint(count * q).astype(int))
        a = np.tile((np.log(p) - np.log(q))[samples, None], 4)
        if not hits:
            a[samples[:, None] == np.arange(4)] = -np.inf
        rows = blackout_rule(jnp.asarray(a), jnp.asarray(np.log(p) - np.log(q)))
        by_sample = np.bincount(samples, rows.of_samples @ p, 4)
        return np.abs(by_sample + p * rows.of_target).max()

    assert pull(100, True) < 0.02
    assert pull(10_000, True) < 0.0002
    assert pull(10_000, False) > 0.1


@pytest.mark.parametrize("unique", [False, True])
def test_nce_has_its_optimum_at_the_true_distribution(unique):
    """Its slopes vanish in expectation where the model is the distribution of targets, words drawn once or often."""
    p = np.random.default_rng(3).dirichlet(np.ones(V))
    log_expected = make_sampler(proposal(WORDS, "unigram"), 5, unique).log_expected
    a = jnp.asarray(np.log(p) - log_expected)
    rows = noise_contrastive_rule(jnp.tile(a[:, None], V), a)  # sample, target
    by_sample = np.exp(log_expected) * (rows.of_samples @ p)
    assert np.abs(by_sample).max() > 0.05
    np.testing.assert_allclose(by_sample, -p * rows.of_target, rtol=1e-12)


@pytest.mark.parametrize("rule", [importance_rule, noise_contrastive_rule, blackout_rule])
def test_rules_do_not_overflow_for_large_logits(rule):
    """No NaN in float32 where exponentials overflow, and slopes that are those of the float64 rule."""
    a = np.array([[30.0, -500.0, 88.0, -np.inf], [-20.0, 500.0, 87.0, -np.inf], [0.0, 3.0, -1e30, -np.inf]])
    a_t = np.array([25.0, 499.0, 89.0, -200.0])
    rule = jit(rule)
    narrow = rule(jnp.asarray(a, jnp.float32), jnp.asarray(a_t, jnp.float32))
    wide = rule(jnp.asarray(a), jnp.asarray(a_t))
    for one, two in zip(narrow, wide, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, two, rtol=2e-5, atol=1e-6)
    assert not narrow.of_samples[:, 3].any()


def test_blackout_of_a_sample_with_probability_one():
    """BlackOut where one sample has all the probability that a float32 can tell from 1."""
    a, a_t = jnp.asarray([[60.0], [-60.0]], jnp.float32), jnp.asarray([0.0], jnp.float32)
    losses, of_samples, of_target = blackout_rule(a, a_t)
    np.testing.assert_allclose(losses, [60 + 60], rtol=1e-6)  # -log p_t and -log(1 - p_top) are 60 each
    np.testing.assert_allclose(of_samples[0], [2.0], rtol=1e-6)
    np.testing.assert_allclose(of_target, [-2.0], rtol=1e-6)
    assert np.isfinite(blackout_rule(a * 1000, a_t)[0]).all()


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("importance", {"num_samples": V + 1}, "more than the 9 words"),
        ("blackout", {"num_samples": 0}, "positive whole number"),
        ("blackout", {"num_samples": 3, "remove_accidental_hits": "some"}, "must be true or false, not some"),
        ("blackout", {"num_samples": 3, "proposal": "log-uniform"}, "no option 'proposal'"),
        ("nce", {"num_samples": 3, "log_normalizer": float("inf")}, "finite number of nats"),
        ("nce", {"num_samples": 3, "log_normalizer": "two"}, "finite number of nats"),
        ("nce", {}, "`num_samples` 1024 is more than the 9 words"),
        ("hinge", {}, "unknown output 'hinge': choose one of softmax"),
        ("softmax", {"num_samples": 3}, "no option 'num_samples'"),
    ],
)
def test_impossible_options_are_refused(kind, options, said):
    with pytest.raises(UserError, match=said):
        make(kind, WORDS, **options)


def test_missing_counts_and_tied_weights_are_refused():
    with pytest.raises(UserError, match="made from word counts"):
        make("nce", None, num_samples=3)
    with pytest.raises(UserError, match="cannot be tied"):
        make("nce", WORDS, tied=True, num_samples=3)
    with pytest.raises(UserError, match="counts of 9 words, and the vocabulary has 8"):
        make("nce", WORDS, num_samples=3).init(jax.random.key(0), H, 8)


def test_every_registered_layer_names_its_paper():
    assert all(entry.paper and callable(entry.factory) for entry in OUTPUTS.values())

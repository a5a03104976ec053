"""Sampling: which tokens may be drawn and how often, and continuation of prompts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rnnlm_jax import UserError, cells
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.language_model.generation import Sampling, _generate, sample
from rnnlm_jax.language_model.model import language_model
from tests.training.tiny import LINES, random_params, vocabulary

WORDS = vocabulary()
MODEL = language_model(cells.elman(8, param_dtype=jnp.float64), WORDS.size)
PARAMS = random_params(MODEL, scale=1.0)


def greedy(ids, steps):
    """The likeliest path after some ids, one step at a time."""
    step, state = jax.jit(MODEL.log_probs), MODEL.initial_state(())
    for token in [WORDS.eos_id, *ids]:
        state, log_probs = step(PARAMS, state, jnp.asarray(token))
    path = []
    for _ in range(steps):
        path.append(int(np.argmax(log_probs)))
        state, log_probs = step(PARAMS, state, jnp.asarray(path[-1]))
    return path


def nucleus(probabilities, temperature, top_k, top_p):
    """Which tokens may be drawn, and how likely each: one token at a time, in plain Python.

    With them goes by how little a sum missed ``top_p``: by next to nothing, and rounding decides.
    """
    weights = {token: p ** (1 / temperature) for token, p in enumerate(probabilities)}
    ranked = sorted(weights, key=lambda token: (-weights[token], token))[:top_k]
    total = sum(weights[token] for token in ranked)
    kept, sum_so_far, margin = [], 0.0, 1.0
    for token in ranked:
        if top_p is not None:
            margin = min(margin, abs(sum_so_far - top_p))
            if sum_so_far > top_p:
                break
        kept.append(token)
        sum_so_far += weights[token] / total
    total = sum(weights[token] for token in kept)
    return {token: weights[token] / total for token in kept}, margin


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.integers(1, 6), min_size=1, max_size=8).map(lambda w: (w + [1] * 8)[:8]),  # ties abound
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    top_k=st.none() | st.integers(1, 9),
    top_p=st.none() | st.floats(0.01, 1.0),
)
def test_filtering_keeps_the_right_tokens_in_proportion(weights, temperature, top_k, top_p):
    probabilities = np.array(weights) / sum(weights)
    expected, margin = nucleus(probabilities.tolist(), temperature, top_k, top_p)
    assume(margin > 1e-9)
    filtered = np.asarray(Sampling(temperature, top_k, top_p).filtered(jnp.log(jnp.asarray(probabilities))))
    assert set(np.flatnonzero(np.isfinite(filtered)).tolist()) == set(expected)
    found = np.exp(filtered) / np.exp(filtered).sum()
    np.testing.assert_allclose(found[list(expected)], list(expected.values()), rtol=1e-9)


def test_ties_go_to_the_lower_id():
    even = jnp.log(jnp.full((3, 4), 0.25))
    for sampling, kept in ((Sampling(top_k=1), [0]), (Sampling(top_k=3), [0, 1, 2]), (Sampling(top_p=0.4), [0, 1])):
        for row in np.asarray(sampling.filtered(even)):
            assert np.flatnonzero(np.isfinite(row)).tolist() == kept


def test_a_nucleus_of_one_keeps_all_tokens():
    # In float32 the sum of what stands above a rare token may round to one.
    rare = jnp.log(jnp.asarray([1 - 3e-8, 1e-8, 1e-8, 1e-8], jnp.float32))
    assert np.isfinite(np.asarray(Sampling(top_p=1.0).filtered(rare))).all()


EXTREME = [5e-324, 1e-46, 1e-40, 1e-38, 1.2e-38, 1e-30]
FILTERS = [{}, {"top_p": 0.9}, {"top_p": 1e-46}, {"top_k": 3}, {"top_k": 3, "top_p": 0.9}]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("options", FILTERS, ids=str)
@pytest.mark.parametrize("temperature", EXTREME)
def test_a_very_low_temperature_takes_the_likeliest(temperature, options, dtype):
    log_probs = jnp.log(jnp.asarray([0.1, 0.2, 0.6, 0.1, 0.0], dtype))
    sampling = Sampling(temperature, **options)
    assert [int(sampling.draw(jax.random.key(k), log_probs)) for k in range(3)] == [2] * 3
    assert not np.isnan(np.asarray(sampling.filtered(log_probs))).any()


@pytest.mark.parametrize("temperature", [1e-40, 1e-38])
def test_a_very_low_temperature_takes_the_likeliest_once_compiled(temperature):
    log_probs = jnp.log(jnp.asarray([0.1, 0.2, 0.6, 0.1], jnp.float32))
    for sampling in (Sampling(temperature, top_p=0.9), Sampling(temperature, top_k=3), Sampling(temperature)):
        draw = jax.jit(sampling.draw)
        assert [int(draw(jax.random.key(k), log_probs)) for k in range(3)] == [2] * 3


@pytest.mark.parametrize("options", [{}, {"top_p": 0.9}, {"top_k": 2}], ids=str)
@pytest.mark.parametrize("temperature", [1e-40, 1e-38])
def test_a_very_low_temperature_draws_among_the_likeliest(temperature, options):
    log_probs = jnp.log(jnp.asarray([0.1, 0.4, 0.1, 0.4], jnp.float32))
    draw = jax.jit(jax.vmap(lambda key: Sampling(temperature, **options).draw(key, log_probs)))
    counts = np.bincount(draw(jax.random.split(jax.random.key(0), 400)), minlength=4)
    assert counts[[0, 2]].tolist() == [0, 0]
    assert counts[[1, 3]].min() > 140  # six standard deviations


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("temperature", [1e30, 1e38, 3.4e38, 1e308, float("inf")])
def test_a_very_high_temperature_draws_evenly_from_the_right_tokens(temperature, dtype):
    log_probs = jnp.log(jnp.asarray([0.1, 0.0, 0.2, 0.5, 0.2], dtype))
    cases = {None: [0, 2, 3, 4], 1: [3], 2: [2, 3], 3: [2, 3, 4]}
    for top_k, expected in cases.items():
        filtered = np.asarray(Sampling(temperature, top_k).filtered(log_probs))
        assert np.flatnonzero(np.isfinite(filtered)).tolist() == expected
        assert not np.isnan(filtered).any()
        np.testing.assert_allclose(filtered[expected], 0.0, atol=1e-25)
    nucleus_of_two = np.asarray(Sampling(temperature, top_p=0.4).filtered(log_probs))
    assert np.flatnonzero(np.isfinite(nucleus_of_two)).tolist() == [2, 3]


def test_draws_are_as_frequent_as_the_model_says():
    _, log_probs = MODEL.log_probs(PARAMS, MODEL.initial_state(()), jnp.asarray(WORDS.eos_id))
    draws, keys = 20_000, jax.random.split(jax.random.key(0), 20_000)
    for sampling in (Sampling(), Sampling(temperature=1.7, top_k=6, top_p=0.9)):
        drawn = jax.jit(jax.vmap(lambda key, sampling=sampling: sampling.draw(key, log_probs)))(keys)
        expected, _ = nucleus(np.exp(log_probs).tolist(), sampling.temperature, sampling.top_k, sampling.top_p)
        counts = np.bincount(drawn, minlength=WORDS.size)
        assert counts[[token for token in range(WORDS.size) if token not in expected]].sum() == 0
        wanted = np.array([draws * p for p in expected.values()])
        statistic = ((counts[list(expected)] - wanted) ** 2 / wanted).sum()
        freedom = len(expected) - 1
        assert statistic < freedom + 6 * np.sqrt(2 * freedom)  # six standard deviations


@pytest.mark.parametrize("prompt", ["", "the cat", "the cat\na dog", "a unicorn\n"])
def test_temperature_zero_takes_the_likeliest_path(prompt):
    ids = []
    for number, line in enumerate(prompt.split("\n")):
        ids += [WORDS.eos_id] * (number > 0) + WORDS.encode_line(line)
    path = greedy(ids, 12)
    found = sample(MODEL, PARAMS, WORDS, prompt, sampling=Sampling(0.0), max_tokens=12, lines=99)
    assert found == WORDS.decode(ids + path)
    assert found == sample(MODEL, PARAMS, WORDS, prompt, sampling=Sampling(top_k=1), max_tokens=12, lines=99, seed=3)
    assert "unicorn" not in found


def test_the_same_seed_gives_the_same_text():
    texts = [sample(MODEL, PARAMS, WORDS, "the", max_tokens=20, lines=9, seed=seed) for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3
    assert all(text.startswith("the ") for text in texts)


def circle():
    """Words in a ring, each followed by the next for certain: a b c <eos> a b c <eos>."""
    words = Vocabulary("word", ("a", "b", "c", "<eos>", "<unk>"), "<unk>", "<eos>")
    model = language_model(cells.linear(5, param_dtype=jnp.float64), words.size)
    params = random_params(model, scale=0.0)
    ring = np.zeros((5, 5))
    ring[[0, 1, 2, 3, 4], [1, 2, 3, 0, 0]] = 100.0
    cell = params.cell._replace(w_x=jnp.eye(5, dtype=jnp.float64))
    return (
        words,
        model,
        params._replace(
            embedding=jnp.eye(5, dtype=jnp.float64), cell=cell, output=params.output._replace(w=jnp.asarray(ring))
        ),
    )


@pytest.mark.parametrize(
    ("prompt", "options", "expected"),
    [
        ("", {}, "a b c"),
        ("b", {}, "b c"),
        ("", {"lines": 2}, "a b c\na b c"),
        ("", {"lines": 2, "max_tokens": 5}, "a b c\na"),
        ("a b c\na", {}, "a b c\na b c"),
        ("zebra", {}, "<unk> a b c"),
        ("c", {}, "c"),
        ("c\n", {"max_tokens": 2}, "c\na b"),
    ],
)
def test_lines_end_and_prompts_are_continued(prompt, options, expected):
    words, model, params = circle()
    assert sample(model, params, words, prompt, **{"max_tokens": 10} | options) == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": -1.0}, "`temperature` must be 0 or more"),
        ({"temperature": float("nan")}, "`temperature` must be 0 or more"),
        ({"top_k": 0}, "`top_k` must be 1 or more"),
        ({"top_p": 0.0}, "`top_p` must be above 0"),
        ({"top_p": 1.5}, "`top_p` must be above 0"),
        ({"top_p": float("nan")}, "`top_p` must be above 0"),
    ],
)
def test_impossible_sampling_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        Sampling(**options)


@pytest.mark.parametrize("options", [{"max_tokens": 0}, {"lines": 0}, {"seed": -1}, {"seed": 2**32}])
def test_impossible_requests_are_refused(options):
    with pytest.raises(UserError, match=str(next(iter(options.values())))):
        sample(MODEL, PARAMS, WORDS, LINES[0], **options)


def test_what_all_steps_share_is_computed_once():
    """The matrix exponential of an orthogonal cell is outside of the loop over tokens."""
    model = language_model(cells.exprnn(4), 7, 3)
    params = model.init(jax.random.key(0))
    start = (model.initial_state((1,)), jnp.zeros(1, jnp.int32))
    draw = functools.partial(_generate.__wrapped__, model, sampling=Sampling(), steps=5)
    program = jax.make_jaxpr(draw)(params, start, jax.random.key(1))
    (over_tokens,) = [e for e in program.eqns if e.primitive.name == "scan" and e.params["length"] == 5]
    assert "expm" in str(program)
    assert "expm" not in str(over_tokens.params["jaxpr"])

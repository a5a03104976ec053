"""The table: order, figures, what it shows where nothing is known, Markdown that shows what it says."""

import contextlib
import json
import math

import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.evaluation.comparison import compare
from rnnlm_jax.evaluation.comparison.comparison_table import Row, duration
from rnnlm_jax.evaluation.comparison.scorer import About
from rnnlm_jax.evaluation.comparison.timed_scoring import measure
from rnnlm_jax.system import json_text
from tests.evaluation.comparison.given_scores import WORDS, Given, text_of

TEXT, TUNE = text_of(np.arange(8) % WORDS.size), text_of(np.arange(6)[::-1] % WORDS.size)
NATS = np.random.default_rng(0).gamma(2.0, 1.0, (3, 8))
MODELS = [
    Given("worst", NATS[0] + 1, about=About("n-grams", horizon="4"), parameter_count=1_234_567),
    Given("best", NATS[1] * 0.5, about=About("lstm 200", 3730.8, 3239.17, "97")),
]


@contextlib.contextmanager
def bar(what, tokens):
    class Bar:
        def update(self, n):
            pass

    yield Bar()


def test_rows_come_by_perplexity_with_the_figures_of_their_nats():
    table = compare(MODELS, "some:test", TEXT, bar)
    assert [row.name for row in table.rows] == ["best", "worst"]
    np.testing.assert_allclose(table.rows[1].perplexity, np.exp(np.mean(NATS[0] + 1)), rtol=1e-14)
    lines = table.text().splitlines()
    assert lines[0] == f"some:test: 8 tokens scored, 0 OOV; {WORDS.describe()}"
    assert lines[2].split()[:3] == ["model", "kind", "perplexity"]
    assert f"{table.rows[0].perplexity:.2f}" in lines[3]
    assert all(word in lines[3] for word in ("best", "lstm 200", "62.2 min", "3,239", "97"))
    assert all(word in lines[4] for word in ("worst", "1,234,567"))
    assert len(lines) == 5


def test_mixtures_have_rows_and_their_weights_below():
    cache = Given("cache", np.where(np.arange(8) % 2, np.inf, 0.1))
    table = compare(
        MODELS, "some:test", TEXT, bar, [("best", "worst"), ("best", "cache")], "some:valid", TUNE, unlisted=[cache]
    )
    assert {row.name for row in table.rows} == {"best", "worst", "best + worst", "best + cache"}  # no row of the cache
    assert [each.text for each in table.mixtures] == ["some:valid"] * 2
    for each in table.mixtures:
        assert str(each) in table.text()
        assert f"{each.fitted.weights[0]:.4f} best" in str(each)
    found = json.loads(json_text.dumps(table.summary()))
    mixed = {row["name"]: row["perplexity"] for row in found["rows"]}["best + cache"]
    weights = found["mixtures"][1]["weights"]
    nats = -np.log(weights["best"] * np.exp(-MODELS[1].nats) + weights["cache"] * np.exp(-cache.nats))
    np.testing.assert_allclose(mixed, np.exp(nats.mean()), rtol=1e-13)
    assert found["mixtures"][1]["converged"] is True


def test_markdown_shows_every_letter():
    table = compare([Given("a_b|c", NATS[0])], "x", TEXT, bar)
    lines = table.markdown().splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 3
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "a\\_b\\|c" in rows[2]
    assert "\\<unk\\>" in lines[0]


def test_what_is_not_finite_is_no_number_in_json():
    table = compare([Given("cache", np.full(8, np.inf)), Given("one", NATS[0])], "x", TEXT, bar)
    assert [row.name for row in table.rows] == ["one", "cache"]
    assert "inf" in table.text()
    assert json.loads(json_text.dumps(table.summary()))["rows"][1]["perplexity"] is None


@pytest.mark.parametrize("wrong", [np.nan, -np.inf, -0.1])
def test_nats_that_are_no_probability_are_refused(wrong):
    nats = NATS[0].copy()
    nats[3] = wrong
    with pytest.raises(UserError, match=r"bad gives .* nats to token 4"):
        measure(Given("bad", nats), TEXT, "bad", bar)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mixes": [("best", "nobody")]}, "no model 'nobody' to mix: there are worst, best"),
        ({"mixes": [("best",)]}, "two models or more, not best alone"),
        ({"mixes": [("best", "best")]}, "best is twice in one mixture"),
        ({"mixes": [("best", "worst")]}, "needs a text"),
        ({"mixes": [("best", "worst")], "tune": "x", "tune_text": TEXT}, "would be tested on the same text"),
        ({"unlisted": [Given("best", NATS[0])]}, "same name"),
    ],
)
def test_mixtures_that_cannot_be(options, said):
    with pytest.raises(UserError, match=said):
        compare(MODELS, "some:test", TEXT, bar, **options)


def test_times():
    assert [duration(s) for s in (41.2, 740, 5990, 18_400)] == ["41 s", "12.3 min", "99.8 min", "5.1 h"]
    row = Row("a", "b", math.log(7) * 2, 2, 0, None, None, 10.0)
    assert row.perplexity == pytest.approx(7)
    assert row.cells()[4:6] == ("", "")

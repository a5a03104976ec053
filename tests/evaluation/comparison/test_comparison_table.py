"""Comparison tables: order, figures, unknown values, mixtures, Markdown and JSON."""

import contextlib
import json
import math

import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.evaluation.comparison import ModelInfo, NamedText, compare
from rnnlm_jax.evaluation.comparison.comparison_table import ComparisonRow, duration
from rnnlm_jax.evaluation.comparison.timed_scoring import timed_scores
from rnnlm_jax.system import json_text
from tests.evaluation.comparison.given_scores import WORDS, GivenScores, text_of

TEXT = text_of(np.arange(8) % WORDS.size)
TEST = NamedText("some:test", TEXT)
TUNING = NamedText("some:valid", text_of(np.arange(6)[::-1] % WORDS.size))
NATS = np.random.default_rng(0).gamma(2.0, 1.0, (3, 8))
MODELS = [
    GivenScores("worst", NATS[0] + 1, info=ModelInfo("n-grams", horizon="4"), parameter_count=1_234_567),
    GivenScores("best", NATS[1] * 0.5, info=ModelInfo("lstm 200", 3730.8, 3239.17, "97")),
]


@contextlib.contextmanager
def make_bar(description, total):
    class Bar:
        def update(self, n):
            pass

    yield Bar()


def test_rows_are_sorted_by_perplexity_and_show_all_figures():
    table = compare(MODELS, TEST, make_bar=make_bar)
    assert [row.name for row in table.rows] == ["best", "worst"]
    np.testing.assert_allclose(table.rows[1].perplexity, np.exp(np.mean(NATS[0] + 1)), rtol=1e-14)
    lines = table.text().splitlines()
    assert lines[0] == f"some:test: 8 tokens scored, 0 OOV; {WORDS.describe()}"
    assert lines[2].split()[:3] == ["model", "kind", "perplexity"]
    assert f"{table.rows[0].perplexity:.2f}" in lines[3]
    assert all(word in lines[3] for word in ("best", "lstm 200", "62.2 min", "3,239", "97"))
    assert all(word in lines[4] for word in ("worst", "1,234,567"))
    assert len(lines) == 5


def test_mixtures_have_rows_and_their_weights_are_listed_below():
    cache = GivenScores("cache", np.where(np.arange(8) % 2, np.inf, 0.1))
    table = compare(
        MODELS,
        TEST,
        make_bar=make_bar,
        mixtures=[("best", "worst"), ("best", "cache")],
        tuning=TUNING,
        mixture_only=[cache],
    )
    assert {row.name for row in table.rows} == {"best", "worst", "best + worst", "best + cache"}  # the cache has no row
    assert [each.tuning_text for each in table.mixtures] == ["some:valid"] * 2
    for each in table.mixtures:
        assert str(each) in table.text()
        assert f"{each.fitted.weights[0]:.4f} best" in str(each)
    found = json.loads(json_text.dumps(table.summary()))
    mixed = {row["name"]: row["perplexity"] for row in found["rows"]}["best + cache"]
    weights = found["mixtures"][1]["weights"]
    nats = -np.log(weights["best"] * np.exp(-MODELS[1].nll) + weights["cache"] * np.exp(-cache.nll))
    np.testing.assert_allclose(mixed, np.exp(nats.mean()), rtol=1e-13)
    assert found["mixtures"][1]["converged"] is True


def test_markdown_is_escaped():
    table = compare([GivenScores("a_b|c", NATS[0])], NamedText("x", TEXT), make_bar=make_bar)
    lines = table.markdown().splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 3
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "a\\_b\\|c" in rows[2]
    assert "\\<unk\\>" in lines[0]


def test_infinite_perplexities_are_null_in_json():
    scorers = [GivenScores("cache", np.full(8, np.inf)), GivenScores("one", NATS[0])]
    table = compare(scorers, TEST, make_bar=make_bar)
    assert [row.name for row in table.rows] == ["one", "cache"]
    assert "inf" in table.text()
    assert json.loads(json_text.dumps(table.summary()))["rows"][1]["perplexity"] is None


@pytest.mark.parametrize("wrong", [np.nan, -np.inf, -0.1])
def test_nats_that_are_not_log_probabilities_are_an_error(wrong):
    nll = NATS[0].copy()
    nll[3] = wrong
    with pytest.raises(UserError, match=r"bad gives .* nats to token 4"):
        timed_scores(GivenScores("bad", nll), TEXT, "bad", make_bar)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixtures": [("best", "nobody")]}, "no model 'nobody' to mix: choose from worst, best"),
        ({"mixtures": [("best",)]}, "two models or more, not best alone"),
        ({"mixtures": [("best", "best")]}, "best is twice in one mixture"),
        ({"mixtures": [("best", "worst")]}, "needs a text"),
        ({"mixtures": [("best", "worst")], "tuning": NamedText("x", TEXT)}, "would be tested on the same text"),
        ({"mixture_only": [GivenScores("best", NATS[0])]}, "same name"),
    ],
)
def test_errors_of_mixtures(options, message):
    with pytest.raises(UserError, match=message):
        compare(MODELS, TEST, make_bar=make_bar, **options)


def test_durations_are_formatted_and_unknown_times_are_empty():
    assert [duration(s) for s in (41.2, 740, 5990, 18_400)] == ["41 s", "12.3 min", "99.8 min", "5.1 h"]
    row = ComparisonRow("a", "b", math.log(7) * 2, 2, 0, None, None, 10.0)
    assert row.perplexity == pytest.approx(7)
    assert row.cells()[4:6] == ("", "")

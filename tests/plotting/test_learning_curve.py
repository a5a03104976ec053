"""Learning curve: drawn from the metrics, without missing values."""

import json

import pytest

from rnnlm_jax.errors import DataError
from rnnlm_jax.plotting import draw_learning_curve, learning_curve, read_metrics

RECORDS = [
    {"kind": "step", "step": 1, "perplexity": 90.0},
    {"kind": "step", "step": 2, "perplexity": None},  # was infinite
    {"kind": "step", "step": 3, "perplexity": 40.0},
    {"kind": "validation", "step": 3, "valid_perplexity": 45.0},
    {"kind": "validation", "step": 6, "valid_perplexity": None},
    {"kind": "validation", "step": 9, "valid_perplexity": 30.5},
    {"kind": "stop", "step": 10},
]


@pytest.fixture
def metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS) + '{"kind": "step", "st')
    return path


def test_finite_perplexities_are_drawn_and_the_best_is_labelled():
    (axes,) = draw_learning_curve([RECORDS, RECORDS], ["one", "two"]).axes
    curves = [list(zip(*line.get_data(), strict=True)) for line in axes.lines]
    assert curves == [[(1, 90.0), (3, 40.0)], [(3, 45.0), (9, 30.5)]] * 2
    assert [text.get_text() for text in axes.texts] == ["30.5", "30.5"]  # the best
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("step", "perplexity", "log")


def test_a_png_is_written(metrics, tmp_path):
    path = tmp_path / "curve.png"
    learning_curve([metrics, metrics], ["one", "two"], path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert path.stat().st_size > 5_000
    assert sorted(tmp_path.iterdir()) == [path, metrics]


def test_a_run_without_records_gives_an_empty_figure(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    learning_curve([tmp_path / "metrics.jsonl"], ["new"], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_records_are_read_back_without_an_incomplete_last_line(metrics):
    assert read_metrics(metrics) == RECORDS


def test_missing_metrics_are_an_error(tmp_path):
    with pytest.raises(DataError, match="train a model first"):
        read_metrics(tmp_path / "metrics.jsonl")

"""The learning curve: drawn from the metrics alone, without what is no number."""

import json

import pytest
from matplotlib.figure import Figure

from rnnlm_jax import UserError, plotting
from rnnlm_jax.plotting import learning_curve, read_metrics

RECORDS = [
    {"kind": "step", "step": 1, "perplexity": 90.0},
    {"kind": "step", "step": 2, "perplexity": None},  # was infinite
    {"kind": "step", "step": 3, "perplexity": 40.0},
    {"kind": "epoch", "step": 3, "valid_perplexity": 45.0},
    {"kind": "epoch", "step": 6, "valid_perplexity": None},
    {"kind": "epoch", "step": 9, "valid_perplexity": 30.5},
    {"kind": "stop", "step": 10},
]


@pytest.fixture
def metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS) + '{"kind": "step", "st')
    return path


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures, save = [], plotting.save
    monkeypatch.setattr(plotting, "save", lambda figure, path: (figures.append(figure), save(figure, path)))
    return figures


def test_it_draws_what_is_finite(metrics, tmp_path, drawn):
    path = tmp_path / "curve.png"
    learning_curve([metrics, metrics], ["one", "two"], path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert path.stat().st_size > 5_000
    assert [p.name for p in tmp_path.iterdir() if "new" in p.name] == []
    (figure,) = drawn
    (axes,) = figure.axes
    curves = [list(zip(*line.get_data(), strict=True)) for line in axes.lines]
    assert curves == [[(1, 90.0), (3, 40.0)], [(3, 45.0), (9, 30.5)]] * 2
    assert [text.get_text() for text in axes.texts] == ["30.5", "30.5"]  # the best
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("step", "perplexity", "log")


@pytest.mark.parametrize("suffix", ["pdf", "svg"])
def test_other_formats(tmp_path, suffix):
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    plotting.save(figure, tmp_path / f"curve.{suffix}")
    assert (b"%PDF" if suffix == "pdf" else b"<svg") in (tmp_path / f"curve.{suffix}").read_bytes()


def test_a_run_that_wrote_nothing_yet_is_an_empty_figure(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    learning_curve([tmp_path / "metrics.jsonl"], ["new"], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_failed_save_leaves_the_old_figure(tmp_path, monkeypatch):
    path = tmp_path / "curve.png"
    path.write_bytes(b"old")

    def fail(figure, file, **options):
        file.write_bytes(b"half")
        raise OSError("no room")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="no room"):
        plotting.save(Figure(), path)
    assert path.read_bytes() == b"old"


def test_records_are_read_back_and_pieces_left_out(metrics):
    assert read_metrics(metrics) == RECORDS


def test_missing_metrics_are_told(tmp_path):
    with pytest.raises(UserError, match="train a model first"):
        read_metrics(tmp_path / "metrics.jsonl")

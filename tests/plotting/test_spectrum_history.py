"""Spectra through training: what is drawn from the metrics, and that nothing is drawn without them."""

import json

import numpy as np

from rnnlm_jax.plotting import draw_spectrum_history, spectrum_history
from tests.plotting.layout import assert_tidy


def spectrum(step, exponents, condition, share):
    figures = {"log_largest": [0.0, 0.0], "log_condition": condition, "near_zero": share}
    return {"kind": "spectrum", "step": step, "lag": 10, "exponents": exponents} | figures


RECORDS = [
    spectrum(0, [-0.5, -0.7], [8.0, 9.0], [0.1, 0.0]),
    {"kind": "step", "step": 5, "perplexity": 90.0},
    {"kind": "validation", "step": 10, "valid_perplexity": 45.0},
    spectrum(10, [-0.2, None], [None, 30.0], [0.25, 0.5]),
]


def test_spectra_and_perplexity_are_drawn_by_step():
    figure = draw_spectrum_history(RECORDS)
    exponents, perplexity, condition, near_zero = figure.axes
    assert_tidy(figure)
    drawn = [line.get_ydata() for line in exponents.lines[:2]]
    np.testing.assert_array_equal(drawn, [[-0.5, -0.2], [-0.7, np.nan]])
    assert [list(line.get_xdata()) for line in exponents.lines[:2]] == [[0, 10]] * 2
    assert [list(line.get_ydata()) for line in perplexity.lines] == [[45.0]]
    np.testing.assert_array_equal([line.get_ydata() for line in condition.lines], [[8.0, np.nan], [9.0, 30.0]])
    np.testing.assert_allclose([line.get_ydata() for line in near_zero.lines], [[10.0, 25.0], [0.0, 50.0]])
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert all("(nats" in label or "(%)" in label or "perplexity" in label for label in labels)


def test_a_run_without_spectra_has_no_figure(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text(json.dumps(RECORDS[1]) + "\n")
    assert not spectrum_history(metrics, tmp_path / "spectra.png")
    assert not (tmp_path / "spectra.png").exists()
    metrics.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    assert spectrum_history(metrics, tmp_path / "spectra.png")
    assert (tmp_path / "spectra.png").read_bytes().startswith(b"\x89PNG")

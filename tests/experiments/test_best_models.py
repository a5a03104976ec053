"""The table of what the best models of Penn Treebank cost: its arithmetic, and that documents have it."""

import dataclasses
import json

import pytest

from experiments.perplexity_table import best_models
from experiments.perplexity_table.full_size import FullSize


def test_hours_are_operations_over_speed():
    """Of 60 MFLOP a token, as 6 times the multiplications of a matrix of 10 million numbers."""
    size = FullSize(10_000_000, 10e6, 10_000, 0.1, 0.2, step_gflop=0.06 * 2240, tokens_a_step=2240)
    found = best_models.cost("melis/lstm-10m", size)
    assert found["mflop_a_token"] == pytest.approx(60)
    assert found["epoch_hours_two_cores"] == pytest.approx(929_589 * 60e6 / 200e9 / 3600)
    assert found["hours_two_cores"] == pytest.approx(241 * found["epoch_hours_two_cores"])
    assert found["hours_gpu"] == pytest.approx(found["hours_two_cores"] / 50)
    assert best_models.row("melis/lstm-10m", size)[:3] == ["`melis/lstm-10m`", "59.6", "10.00 M"]


def test_the_document_has_the_recorded_table():
    recorded = json.loads((best_models.HERE / "best_models.json").read_text())
    document = best_models.DOCUMENT.read_text()
    assert list(recorded) == list(best_models.PUBLISHED)
    for name, figures in recorded.items():
        size = FullSize(**{field.name: figures[field.name] for field in dataclasses.fields(FullSize)})
        assert f"| {' | '.join(best_models.row(name, size))} |" in document
        assert size.parameters == pytest.approx(size.published_parameters, rel=0.02)


def test_the_command_measures_and_prints_a_preset(capsys, monkeypatch):
    size = FullSize(24_000_000, 24e6, 10_000, 0.2, 0.3, step_gflop=400.0, tokens_a_step=1400)
    monkeypatch.setattr(best_models, "measure", lambda name, published, vocabulary: size)
    assert best_models.main(["awd/lstm"]) == 0
    assert "| `awd/lstm` | 58.8 | 24.00 M |" in capsys.readouterr().out
    assert best_models.main(["zaremba/small"]) == 2
    assert "zaremba/small is not one of these presets: choose among melis/lstm-10m" in capsys.readouterr().err

"""The study of mean-field theory: rows of small networks, the tables, the record and the figures."""

import json

import pytest

from experiments.mean_field import __main__ as study
from experiments.readme_table import BEGIN, END

SIZES = study.Sizes(units=40, small=30, steps=40, settle=60, networks=2, times=2)


@pytest.fixture
def few(monkeypatch):
    """One row or two of each table."""
    monkeypatch.setattr(study, "ELMAN", (("tanh", 3.0, 0.0), ("relu", 0.8, 0.5)))
    monkeypatch.setattr(study, "DENSITIES", study.DENSITIES[3:4])
    monkeypatch.setattr(study, "GATED", (study.GATED[0], study.GATED[3]))
    monkeypatch.setattr(study, "GATE_BIASES", (1.0,))


def test_the_study_is_measured_once_and_recorded(few, tmp_path, capsys):
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}old\n{END}after\n")
    runs = tmp_path / "runs"
    assert study.main(["--runs", str(runs)], tmp_path, sizes=SIZES) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert {kind: len(rows) for kind, rows in found.items() if kind != "environment"} == {
        "exponents": 4,
        "densities": 1,
        "gated": 2,
        "minimal": 1,
        "critical": 2,
    }
    chaotic = next(row for row in found["exponents"] if row["activation"] == "tanh" and row["units"] == 40)
    assert chaotic["exponent"] == pytest.approx(chaotic["theory"]["exponent"], abs=0.15)
    for row in (*found["densities"], *found["gated"]):
        assert row["largest_difference_of_shares"] < 0.2
        assert row["moments"][0] == pytest.approx(row["theory_moments"][0], rel=0.6)
    assert found["minimal"][0]["chi"] == pytest.approx(1, abs=0.3)
    readme = (tmp_path / "README.md").read_text()
    assert readme.startswith("before")
    assert "old" not in readme
    assert "| tanh | 3 | 0 | 40 |" in readme
    for name in ("exponents.png", "densities.png", "gradients.png"):
        assert (tmp_path / name).stat().st_size > 5000
    before = sorted((file, file.stat().st_mtime_ns) for file in runs.rglob("*.json"))
    assert study.main(["--runs", str(runs), "--no-record"], tmp_path, sizes=SIZES) == 0
    assert sorted((file, file.stat().st_mtime_ns) for file in runs.rglob("*.json")) == before
    assert "Elman networks" in capsys.readouterr().out

"""The study of the flip-flop: a tiny study from end to end, and the counts of its table."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.flip_flop import __main__ as study
from experiments.flip_flop import networks, report
from experiments.flip_flop.networks import QUICK, principal_components
from experiments.readme_table import BEGIN, END

TINY = dataclasses.replace(QUICK, steps=3, batch_size=4, train_length=5, test_sequences=5, sequences=2, starts=4)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a README to write the table into; networks are small."""
    monkeypatch.setattr(networks, "NETWORKS", {"elman-tanh": 4, "gru": 3})
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}old\n{END}after\n")
    return tmp_path


def test_a_tiny_study_is_recorded_and_not_run_again(folder, monkeypatch, capsys):
    arguments = ["--runs", str(folder / "runs"), "--networks", "gru"]
    assert study.main(arguments, folder, recipe=TINY) == 0

    def never(*arguments):
        raise AssertionError("was run again")

    monkeypatch.setattr(study, "run", never)
    assert study.main(arguments, folder, recipe=TINY) == 0
    (result,) = json.loads((folder / "results.json").read_text())["results"]
    assert result["network"] == "gru"
    assert result["recipe"] == dataclasses.asdict(TINY)
    assert 0 <= result["accuracy"] <= 1
    assert all(point["q"] <= TINY.tolerance for point in result["points"])
    assert np.shape(result["trajectories"]) == (2, networks.LENGTH, 3)
    assert (folder / "points.png").stat().st_size > 5000
    text = (folder / "README.md").read_text()
    assert text.startswith(f"before\n{BEGIN}\n| network |")
    assert "| gru | 3 | " in text
    assert study.main([*arguments, "--seed", "1"], folder, recipe=TINY) == 2
    assert "has results of seed 0, not 1" in capsys.readouterr().err
    assert study.main(["--runs", str(folder), "--networks", "grru"], folder, recipe=TINY) == 2


def point(unstable, outputs, outlier=False):
    return {"unstable_directions": unstable, "outputs": outputs, "outlier": outlier, "q": 1e-14}


def test_counts_of_the_table():
    points = [point(0, [1, 1, 1.1]), point(0, [-1, 1, 1]), point(1, [0, 1, 1]), point(3, [0, 0, 0])]
    points += [point(0, [0.4, 1, 1]), point(7, [9, 9, 9], outlier=True)]
    result = {"network": "gru", "hidden_size": 2, "accuracy": 0.99, "points": points}
    assert report.stable_for_each_memory(result) == 2
    head, (row,) = report.table([result])
    found = dict(zip(head, row, strict=True))
    assert [found[name] for name in ("stable points", "1 unstable direction", "2", "more", "outliers")] == [
        *("3", "1", "0", "1", "1")
    ]
    assert found["memories with one"] == "2 of 8"
    assert found["largest q"] == "1e-14"


def test_principal_components():
    rows = np.random.default_rng(0).normal(size=(50, 6)) * np.arange(1, 7)
    centre, axes = principal_components(rows)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    np.testing.assert_allclose(np.abs(axes @ vectors[:, ::-1][:, :3]), np.eye(3), atol=1e-10)
    np.testing.assert_allclose(((rows - centre) @ axes.T).var(axis=0, ddof=1), values[::-1][:3], rtol=1e-10)

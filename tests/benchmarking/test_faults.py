"""A few random faults of ``benchmarks.faults``: none of them does harm."""

import random

import pytest

from benchmarks.faults import Laboratory, draws, summary


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    return Laboratory(tmp_path_factory.mktemp("faults"), snapshots=1)


def test_faults_do_no_harm(laboratory):
    for kind in ("SIGKILL", "flipped bit", "deleted newest step", "file of another run"):
        outcome = laboratory.hit(kind, random.Random(kind))
        print(outcome)  # shown when the test fails
        assert outcome.fine
        assert summary([outcome, outcome]) == {kind: {outcome.came_to: 2}}


def test_harm_is_noticed(laboratory):
    """Other parameters, other records, and an error that says nothing, are no good outcomes."""
    import shutil
    import subprocess

    run = laboratory.folder / "other"
    shutil.copytree(laboratory.whole, run)
    done = subprocess.CompletedProcess([], 0, "", "")
    assert laboratory.judge(run, {}, done)[0] == "went on rightly"
    metrics = run / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"step": 3,', '"step": 4,'))
    assert laboratory.judge(run, {}, done)[0] == "other records"
    about = next((run / "checkpoints" / "last").rglob("about/metadata"))
    for about in (run / "checkpoints" / "last").rglob("about/metadata"):
        about.write_text(about.read_text().replace('"embedding": "', '"embedding": "0'))
    assert laboratory.judge(run, {}, done)[0] == "other parameters or results"
    assert "exit code 1" in laboratory.judge(run, {}, subprocess.CompletedProcess([], 1, "", ""))[0]
    assert "not with one line" in laboratory.judge(run, {}, subprocess.CompletedProcess([], 2, "", ""))[0]


def test_draws_are_in_their_shares():
    kinds = list(draws(100, random.Random(0)))
    assert kinds.count("SIGKILL") == 23
    assert len(kinds) == 100
    assert len(list(draws(6, random.Random(0)))) == 6

"""A few random faults of ``benchmarks.faults``: a run goes on correctly after each, or stops with an error."""

import random

import pytest

from benchmarks import faults
from benchmarks.faults import Laboratory, Outcome, draws, summary


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    return Laboratory(tmp_path_factory.mktemp("faults"), snapshots=1)


def test_a_run_goes_on_correctly_after_a_fault(laboratory):
    for kind in ("SIGKILL", "flipped bit", "file of another run"):  # one of each group
        outcome = laboratory.hit(kind, random.Random(kind))
        print(outcome)  # shown when the test fails
        assert outcome.fine
        assert summary([outcome, outcome]) == {kind: {outcome.result: 2}}


def test_wrong_results_are_reported(laboratory):
    """Other parameters, other records, and an error without a message are reported as wrong."""
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


def test_kinds_of_faults_are_drawn_in_their_shares():
    kinds = list(draws(100, random.Random(0)))
    assert kinds.count("SIGKILL") == 23
    assert len(kinds) == 100
    assert len(list(draws(6, random.Random(0)))) == 6


def test_a_record_has_no_path_of_this_machine(tmp_path):
    source = faults.__file__
    outcome = Outcome("SIGKILL", "3 lines on", "a traceback", f"File {source}, line 3: {tmp_path}/hit")
    assert outcome.as_json(str(tmp_path))["said"] == "File /benchmarks/faults.py, line 3: /hit"

"""The command ``task``: results, resuming, and what it refuses."""

import json

from rnnlm_jax import tasks

TINY = ("--cell=gru", "--hidden-size=4", "--length=5", "--steps=4", "--check-every=2", "--test-sequences=40")


def test_a_task_is_trained_tested_recorded_and_resumed(rnnlm, tmp_path):
    run = tmp_path / "run"
    words = ("task", "parity", *TINY, "--seeds=2", "--test-lengths=7,9", f"--run={run}")
    outcome = rnnlm(*words, "--json")
    assert outcome.code == 0, outcome
    *table, last = outcome.out.splitlines()
    assert table[0].startswith("parity (Delétang et al. 2023); gru, 4 units")
    assert "error at 9" in outcome.out and "of 2 seeds solved it" in outcome.out
    found = json.loads(last)
    assert found["task"] == "parity"
    assert list(found["tests"]) == ["5", "7", "9"]
    assert len(found["tests"]["9"]["error"]) == len(found["solved"]) == 2
    assert [record["step"] for record in found["history"]] == [2, 4]
    assert found["model"]["parameters"] == 2 * 12 + 4 * 12 + 12 + 4 + 4 * 2 + 2
    assert json.loads((run / "results.json").read_text())["tests"] == found["tests"]
    assert (run / "training.png").stat().st_size > 1000
    again = rnnlm(*words, "--resume", "--json")
    assert json.loads(again.out.splitlines()[-1])["tests"] == found["tests"]
    longer = rnnlm(*words, "--resume", "--steps=6", f"--json={tmp_path / 'six.json'}")
    assert longer.code == 0, longer
    assert [record["step"] for record in json.loads((tmp_path / "six.json").read_text())["history"]] == [2, 4, 6]


def test_the_list_has_every_task(rnnlm):
    outcome = rnnlm("task", "--list")
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.out.splitlines()[1:]] == list(tasks.names())


def test_a_figure_alone(rnnlm, tmp_path):
    outcome = rnnlm("task", "parity", *TINY, f"--plot={tmp_path / 'parity.svg'}")
    assert outcome.code == 0, outcome
    assert "<svg" in (tmp_path / "parity.svg").read_text()


def test_what_is_refused_in_one_line(refuse, tmp_path):
    run = f"--run={tmp_path / 'run'}"
    refuse("task", saying="rnnlm-jax task --list shows them")
    refuse("task", "parrity", saying="unknown task 'parrity': choose one of")
    refuse("task", "parity", "--cell=grru", saying="unknown cell 'grru'")
    refuse("task", "parity", "--length=0", saying="--length must be a positive whole number")
    refuse("task", "parity", "--test-lengths=5,0", saying="--test-lengths must be a positive whole number")
    refuse("task", "parity", "--test-lengths=five", saying="not a list of whole numbers")
    refuse("task", "parity", "--seeds=0", saying="--seeds must be a positive whole number")
    refuse("task", "parity", "--task-options=modulus=3", saying="modulus")
    refuse("task", "parity", "--regularize=omegga=2", saying="omegga")
    refuse("task", "parity", "--resume", saying="--resume goes on with the run of a folder")
    refuse("task", "parity", run, "--resume", saying="holds no run of a sequence model")
    refuse("task", "parity", "--plot=parity.txt", saying="must end in .png, .pdf, .svg")
    refuse("task", "parity", "--json=parity.txt", saying="must end in .json")
    assert not list(tmp_path.iterdir())


def test_a_run_of_something_else_is_refused(rnnlm, refuse, tmp_path):
    words = ("task", "parity", *TINY, f"--run={tmp_path / 'run'}")
    assert rnnlm(*words).code == 0
    refuse(*words, saying="holds a run already")
    refuse(*words, "--resume", "--learning-rate=0.5", saying="was begun with --learning-rate 0.001, not 0.5")
    refuse("eval", tmp_path / "run", "--data=pydoc:test", saying="holds no run")

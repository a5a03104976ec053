"""The study of state tracking: one pair learns, results are kept, shared between processes and written as a record."""

import json
import shutil

import pytest

from experiments.every_cell import causal_cells, group, smallest_multiple
from experiments.readme_table import BEGIN, END
from experiments.state_tracking import __main__ as study
from experiments.state_tracking.train import Recipe, train_and_test
from rnnlm_jax import cells
from rnnlm_jax.system.file_lock import file_lock

TINY = Recipe(steps=4, batch_size=4, train_length=5, test_length=8, test_sequences=6, hidden_size=4)
PAIR = ["--cells", "elman-tanh", "--tasks", "parity"]


@pytest.fixture
def folder(tmp_path):
    """A folder with a README to write the table into."""
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}old\n{END}after\n")
    return tmp_path


def run(folder, *arguments, recipe=TINY):
    return study.main(["--runs", str(folder / "runs"), *arguments], folder, recipe=recipe)


def test_an_elman_network_learns_parity_and_a_window_does_not():
    sizes = {"train_length": 8, "test_length": 12, "test_sequences": 100, "hidden_size": 16}
    recipe = Recipe(steps=1500, learning_rate=0.01, **sizes)
    learned = train_and_test("elman-tanh", "parity", recipe)
    assert learned["loss"] < 0.1
    assert learned["accuracy_up_to_train_length"] > 0.95
    assert learned["accuracy_beyond"] > 0.9
    assert learned["solved"]
    assert [int(length) for length in learned["accuracy_by_length"]] == list(range(1, 13))
    window = train_and_test("feed-forward", "parity", recipe)
    assert window["accuracy_by_length"][3] > 0.9
    assert window["accuracy_beyond"] < 0.7
    assert not window["solved"]


def test_expressions_are_asked_at_odd_lengths():
    result = train_and_test("linear", "modular-arithmetic", TINY)
    assert list(result["accuracy_by_length"]) == [1, 3, 5, 7]
    assert result["accuracy_beyond"] == result["accuracy_by_length"][7]
    assert result["parameters"] == 4 * (8 + 4 + 1) + 4 * 5 + 5
    assert result["skipped_steps"] == 0


def test_a_pair_with_a_result_is_not_run_again(folder, monkeypatch):
    assert run(folder, *PAIR) == 0
    file = folder / "runs" / "parity" / "elman-tanh.json"
    before = file.read_bytes()

    def never(*arguments):
        raise AssertionError("was run again")

    with monkeypatch.context() as patch:
        patch.setattr(study, "run_pair", never)
        assert run(folder, *PAIR) == 0
        assert run(folder, "--cells", "elman-tanh", "--tasks", "cycle-navigation") == 1  # reported, and left out
    assert file.read_bytes() == before
    assert run(folder, "--cells", "elman-tanh", "--tasks", "cycle-navigation") == 0
    recorded = json.loads((folder / "results.json").read_text())["results"]
    assert [(result["cell"], result["task"]) for result in recorded] == [
        ("elman-tanh", "cycle-navigation"),
        ("elman-tanh", "parity"),
    ]
    assert (folder / "accuracy-by-length.png").stat().st_size > 5000
    text = (folder / "README.md").read_text()
    assert text.startswith(f"before\n{BEGIN}\n| cell |")
    assert text.endswith(f"(accuracy-by-length.png)\n\n{END}after\n")
    assert "| elman-tanh | nonlinear | " in text


def test_two_runs_with_one_seed_agree(folder):
    assert run(folder, *PAIR) == 0
    file = folder / "runs" / "parity" / "elman-tanh.json"
    one = json.loads(file.read_text())
    shutil.rmtree(folder / "runs")
    assert run(folder, *PAIR, "--no-record") == 0
    assert json.loads(file.read_text()) | {"seconds": 0} == one | {"seconds": 0}


def test_a_pair_of_another_process_is_left_to_it(folder, capsys):
    lock = folder / "runs" / "parity" / ".elman-tanh.json.lock"
    lock.parent.mkdir(parents=True)
    with file_lock(lock, wait=False):
        assert run(folder, *PAIR) == 0
    assert "another process is at work on elman-tanh, parity" in capsys.readouterr().out
    assert not (folder / "results.json").exists()


def test_results_of_another_recipe_are_refused(folder, capsys):
    assert run(folder, *PAIR) == 0
    assert run(folder, *PAIR, "--steps", "8") == 2
    assert "has results of steps 4, not 8: give another `runs`" in capsys.readouterr().err
    assert run(folder, "--cells", "lstn") == 2
    assert "unknown cell 'lstn'" in capsys.readouterr().err


def test_every_registered_cell_takes_part():
    assert causal_cells() == cells.names()
    for name in cells.names():
        cells.make(name, 3 * smallest_multiple(name))
    kinds = {"lstm": "nonlinear", "mingru": "linear", "linear": "linear", "feed-forward": "window"}
    assert {name: group(cells.make(name, 4)) for name in kinds} == kinds

"""A run whose text was moved after training began: the text is recognised by its digest."""

import json
import shutil

import pytest

from rnnlm_jax.data import load_corpus
from rnnlm_jax.jobs.run_folder import RunFolder, read_config
from tests.cli.conftest import everything
from tests.training.tiny import TINY, assert_same_run, text


@pytest.fixture
def begun(tmp_path, rnnlm, monkeypatch):
    """A run of one epoch, started in its own folder with a relative path."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    (tmp_path / "a" / "my.txt").write_text(text())
    assert rnnlm("train", *TINY, "--data", "my.txt", "--run", "../run").code == 0
    return tmp_path / "run"


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """A run of two epochs without interruption."""
    from rnnlm_jax.cli.main import main

    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", *TINY, "--data", str(corpus), "--run", str(run), "--epochs", "2"]) == 0
    return run


def test_a_run_begun_in_another_folder(begun, whole, tmp_path, rnnlm, monkeypatch):
    monkeypatch.chdir(tmp_path / "b")
    assert rnnlm("train", "--run", "../run", "--resume", "--epochs", "2").code == 0
    assert_same_run(begun, whole)


def test_a_text_that_has_moved(begun, whole, tmp_path, rnnlm, refuse, monkeypatch):
    monkeypatch.chdir(tmp_path / "b")
    shutil.move(tmp_path / "a" / "my.txt", "your.txt")
    before = everything(begun)
    message = refuse("train", "--run", begun, "--resume", "--epochs", "2", saying="my.txt of the run is not there")
    assert message.endswith("say with --data where it lies now")
    assert everything(begun) == before
    assert rnnlm("train", "--run", begun, "--resume", "--epochs", "2", "--data", "your.txt").code == 0
    assert_same_run(begun, whole)
    assert read_config(RunFolder(begun)).data.corpus == str(tmp_path / "b" / "your.txt")
    monkeypatch.chdir(tmp_path)
    assert rnnlm("train", "--run", begun, "--resume", "--epochs", "3").code == 0  # it is remembered


def test_the_same_text_as_files_of_its_own(begun, whole, tmp_path, rnnlm):
    """Only the content of the splits matters."""
    splits = tmp_path / "splits"
    splits.mkdir()
    for split, lines in load_corpus(str(tmp_path / "a" / "my.txt")).splits.items():
        (splits / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines()))
    assert rnnlm("train", "--run", begun, "--resume", "--epochs", "2", "--data", splits).code == 0
    assert_same_run(begun, whole)


@pytest.mark.parametrize(("split", "called"), [("train", "training"), ("valid", "validation"), ("test", "test")])
def test_one_changed_byte(begun, tmp_path, rnnlm, refuse, split, called):
    path = tmp_path / "a" / "my.txt"
    lines = path.read_text().split("\n")
    place = {"train": 0, "valid": -4, "test": -2}[split]
    (before, after) = ("cat", "cut") if "cat" in lines[place] else ("ran", "run")
    lines[place] = lines[place].replace(before, after, 1)
    assert "\n".join(lines) != path.read_text()
    path.write_text("\n".join(lines))
    files = everything(begun)
    said = f"the {called} text of {path} is not the one that the run was begun with: restore it, say with --data"
    refuse("train", "--run", begun, "--resume", "--epochs", "2", saying=said)
    assert everything(begun) == files


def test_a_vocabulary_file_that_has_moved(tmp_path, trained, corpus, rnnlm, refuse):
    run, names = tmp_path / "run", [tmp_path / f"{name}.json" for name in ("words", "moved", "other")]
    shutil.copy(trained / "vocabulary.json", names[0])
    assert rnnlm("train", *TINY, "--data", corpus, "--run", run, "--vocabulary", names[0]).code == 0
    names[0].rename(names[1])
    resumed = ["train", "--run", run, "--resume", "--epochs", "2"]
    assert rnnlm(*resumed).code == 0  # the run has its own
    assert rnnlm(*resumed, "--vocabulary", names[1]).code == 0
    assert read_config(RunFolder(run)).data.vocabulary == str(names[1])
    (tmp_path / "other.txt").write_text("a cat and a dog\n" * 30)
    assert rnnlm("train", *TINY, "--data", tmp_path / "other.txt", "--run", tmp_path / "another").code == 0
    refuse(*resumed, "--vocabulary", tmp_path / "another" / "vocabulary.json", saying="it is another vocabulary than")


def test_the_training_text_of_dynamic_evaluation(begun, tmp_path, rnnlm, refuse):
    path, now = tmp_path / "a" / "my.txt", tmp_path / "b" / "your.txt"
    shutil.copy(path, now)
    measured = ["eval", begun, "--data", now, "--dynamic", "rms", "--json"]
    before = json.loads(rnnlm(*measured).out.splitlines()[-1])["nats"]
    path.unlink()
    refuse(*measured, saying="my.txt of the run is not there: give its present path with --dynamic-text")
    moved = rnnlm(*measured, "--dynamic-text", now)
    assert json.loads(moved.out.splitlines()[-1])["nats"] == before
    path.write_text(text().replace("dog", "cat", 1))
    refuse(*measured, saying="the training text of")
    refuse(
        *measured[:-2],
        "sgd",
        "--dynamic-text",
        now,
        saying="--dynamic-text is for --dynamic rms, which reads training text",
    )

"""A folder with a file of another run: an error names the file, and its numbers are never used."""

import json
import shutil

import pytest

from rnnlm_jax.cli.main import main
from rnnlm_jax.config import to_json
from rnnlm_jax.jobs.run_folder import RunFolder, open_run, read_config_and_identity
from tests.cli.conftest import everything
from tests.training.tiny import TINY, last_checkpoint, text


def trained_elsewhere(folder, corpus, *words):
    assert main(["train", *TINY, "--data", str(corpus), "--run", str(folder), "--checkpoint-every", "3", *words]) == 0
    return folder


@pytest.fixture(scope="module")
def other(corpus, tmp_path_factory):
    """A run that differs only in its learning rate, so that its files have the same shapes."""
    return trained_elsewhere(tmp_path_factory.mktemp("other") / "run", corpus, "--learning-rate", "0.02")


@pytest.fixture(scope="module")
def other_text(trained, tmp_path_factory):
    """A run on another text in the same vocabulary."""
    folder = tmp_path_factory.mktemp("other-text")
    (folder / "text.txt").write_text(text().replace("dog", "cat", 3))
    return trained_elsewhere(folder / "run", folder / "text.txt", "--vocabulary", str(trained / "vocabulary.json"))


def put(part, source, run):
    """Replace a file or folder of one run by that of another."""
    if (run / part).is_dir():
        shutil.rmtree(run / part)
        shutil.copytree(source / part, run / part)
    else:
        shutil.copyfile(source / part, run / part)


def newest(run, kind):
    step = max(int(path.name) for path in (run / "checkpoints" / kind).iterdir())
    return f"checkpoints/{kind}/{step}"


COMMANDS = {
    "sample": lambda run, corpus: ("sample", run),
    "eval": lambda run, corpus: ("eval", run, "--data", corpus),
    "score": lambda run, corpus: ("score", run, corpus),
    "compare": lambda run, corpus: ("compare", run, "--data", corpus),
    "jacobians": lambda run, corpus: ("jacobians", run, "--data", corpus, "--out", run.parent / "out"),
    "export": lambda run, corpus: ("export", run, "--out", run.parent / "out"),
    "resume": lambda run, corpus: ("train", "--run", run, "--resume", "--epochs", "2"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_checkpoint_of_another_run(run, other, corpus, refuse, command):
    """Every command that reads the checkpoint refuses it."""
    put("checkpoints/best", other, run)
    before = everything(run)
    message = refuse(*COMMANDS[command](run, corpus), saying="is of another run")
    assert newest(run, "best") in message
    assert "restore the one that does not belong from a copy" in message
    assert everything(run) == before
    assert not (run.parent / "out").exists()


@pytest.mark.parametrize("part", ["config.json", "results.json", "metrics.jsonl"])
def test_a_file_of_another_run(run, other, corpus, refuse, part):
    """Training never goes on with any file of another run."""
    put(part, other, run)
    before = everything(run)
    for command in ("sample", "resume"):
        refuse(*COMMANDS[command](run, corpus), saying=f"{run / part} is of another run")
    assert everything(run) == before


@pytest.mark.parametrize("name", ["all", "newest", "earlier"])
def test_checkpoints_to_resume_from_of_another_run(run, other, corpus, rnnlm, refuse, name):
    part = {
        "all": "checkpoints/last",
        "newest": newest(run, "last"),
        "earlier": f"checkpoints/last/{min(int(path.name) for path in (run / 'checkpoints' / 'last').iterdir())}",
    }[name]
    whole = rnnlm(*COMMANDS["eval"](run, corpus)).out.split("tokens,")[0]
    put(part, other, run)
    before = everything(run)
    refuse(*COMMANDS["resume"](run, corpus), saying="is of another run")
    assert everything(run) == before
    assert rnnlm(*COMMANDS["eval"](run, corpus)).out.split("tokens,")[0] == whole  # of which none is read


def test_words_counted_in_another_text(run, other_text, corpus, refuse):
    put("counts.json", other_text, run)
    for command in ("sample", "resume"):
        refuse(*COMMANDS[command](run, corpus), saying="counts.json has other counts than the run was begun with")


def test_another_vocabulary(run, corpus, tmp_path, refuse):
    (tmp_path / "other.txt").write_text("a cat and a dog\n" * 30)
    put("vocabulary.json", trained_elsewhere(tmp_path / "another", tmp_path / "other.txt"), run)
    for command in ("sample", "resume"):
        refuse(*COMMANDS[command](run, corpus), saying="was trained with another vocabulary than")


def test_the_same_vocabulary_of_another_run_is_the_runs_own(run, other, corpus, rnnlm):
    put("vocabulary.json", other, run)
    assert rnnlm(*COMMANDS["sample"](run, corpus)).code == 0


def test_a_whole_folder_may_be_copied_and_what_may_change_changes_nothing(run, trained, corpus, rnnlm):
    _, begun = read_config_and_identity(RunFolder(trained))
    changed = (
        "--epochs",
        "2",
        "--log-every",
        "7",
        "--keep-last",
        "1",
        "--checkpoint-every",
        "5",
        "--max-bad-steps",
        "9",
    )
    assert rnnlm("train", "--run", run, "--resume", *changed).code == 0
    config, identity = read_config_and_identity(RunFolder(run))
    assert identity == begun
    assert (config.training.epochs, config.training.log_every) == (2, 7)
    assert open_run(run).identity == open_run(trained).identity == begun
    assert last_checkpoint(run)[1].epoch == 2


def test_runs_that_begin_alike_have_identities_of_their_own(trained, corpus, tmp_path):
    again = read_config_and_identity(RunFolder(trained_elsewhere(tmp_path / "again", corpus)))[1]
    first = read_config_and_identity(RunFolder(trained))[1]
    assert again.run_id != first.run_id
    assert [again.options, again.vocabulary, again.counts, again.texts] == [
        *(first.options, first.vocabulary, first.counts, first.texts)
    ]
    assert json.loads(RunFolder(trained).results.read_text())["run_id"] == first.run_id


def test_a_run_of_a_version_without_identities(run, corpus, refuse):
    config, _ = read_config_and_identity(RunFolder(run))
    (run / "config.json").write_text(to_json(config))
    for command in COMMANDS:
        refuse(*COMMANDS[command](run, corpus), saying="does not say which run it is of, as those of earlier versions")


def test_metrics_that_are_damaged_are_no_times_of_training(run, corpus, refuse):
    path = run / "metrics.jsonl"
    whole = path.read_text()
    epoch = whole.index('"kind": "validation"')
    for damaged in (
        whole.replace('"seconds": ', '"seconds" ', 1),
        whole[:epoch],
        whole.replace('"seconds": ', '"seconds": 1'),
    ):
        path.write_text(damaged)
        refuse(*COMMANDS["compare"](run, corpus), saying="metrics.jsonl is damaged")
    path.write_text(whole + whole[epoch - 1 :].replace('"seconds": ', '"seconds" '))  # after what the checkpoint counts
    refuse(*COMMANDS["compare"](run, corpus), saying="metrics.jsonl is damaged")

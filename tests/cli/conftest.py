"""Fixtures of the tests of the command line: a text, a trained run, and functions that run commands."""

import shutil
from typing import NamedTuple

import pytest

from rnnlm_jax.cli.main import main
from tests.training.tiny import TINY, no_learning_curves, text


class Outcome(NamedTuple):
    """The exit code and output of a command."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="package", autouse=True)
def _no_learning_curves():
    with no_learning_curves():
        yield


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A text of about forty lines."""
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text(text())
    return path


@pytest.fixture(scope="session")
def trained(corpus, tmp_path_factory):
    """A run that tests may read but not write."""
    run = tmp_path_factory.mktemp("trained") / "run"
    code = main(["train", *TINY, "--data", str(corpus), "--run", str(run), "--checkpoint-every", "3"])
    assert code == 0
    return run


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the trained run, to damage."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def rnnlm(capsys):
    """Run a command in this process, and return its exit code and output."""

    def command(*words):
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as exit:
            code = exit.code
        return Outcome(code, *capsys.readouterr())

    return command


@pytest.fixture
def refuse(rnnlm):
    """Run a command that must fail with exit code 2 and one line of error; return that line."""

    def command(*words, saying):
        outcome = rnnlm(*words)
        assert outcome.code == 2, outcome
        message = one_line(outcome.err)
        assert saying in message, message
        return message

    return command


def one_line(err):
    """Return the error message, which must be the only line besides progress bars."""
    assert err.endswith("\n")
    lines = err[:-1].split("\n")
    assert len(lines) == 1, err
    message = lines[0].split("\r")[-1]
    assert message.startswith("rnnlm-jax")
    assert "error: " in message
    assert "Traceback" not in err
    return message


def everything(folder):
    """Return the content of every file below a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

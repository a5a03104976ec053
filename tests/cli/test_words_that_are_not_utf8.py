"""Command-line arguments that are not UTF-8, and halves of surrogate pairs in files."""

import json
import os
import shlex
import subprocess

import pytest

from rnnlm_jax.cli.main import main
from tests.training.tiny import PROGRAM, TINY

NOT_UTF8 = os.fsdecode(b"the caf\xe9")


@pytest.fixture(scope="module")
def bytes_run(corpus, tmp_path_factory):
    """A run of bytes, which tests may read but not write."""
    run = tmp_path_factory.mktemp("bytes") / "run"
    assert main(["train", *TINY, "--level", "byte", "--data", str(corpus), "--run", str(run)]) == 0
    return run


def test_a_model_of_bytes_takes_any_bytes(bytes_run, rnnlm):
    options = ["--temperature", "0", "--max-tokens", "5", "--json"]
    outcome = rnnlm("sample", bytes_run, "--prompt", NOT_UTF8, *options)
    assert outcome.code == 0, outcome
    found = json.loads(outcome.out.splitlines()[-1])
    assert found["prompt"] == "the caf\ufffd"
    assert found["text"].startswith("the caf\ufffd")


def test_other_models_refuse_them(trained, refuse):
    refuse("sample", trained, "--prompt", NOT_UTF8, saying=r"at character 8 is not a character, or not UTF-8")


def test_as_a_shell_gives_them(trained, bytes_run):
    def code_of(run):
        command = f"{shlex.join(PROGRAM)} sample {run} --max-tokens 3 --prompt $'the caf\\xe9'"
        done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
        assert b"Traceback" not in done.stderr
        return done.returncode, done.stdout

    code, text = code_of(bytes_run)
    assert code == 0 and text.startswith("the caf\ufffd".encode())
    assert code_of(trained) == (2, b"")


def test_half_a_surrogate_pair_in_a_list(trained, bytes_run, tmp_path, refuse):
    (tmp_path / "list").write_text(r'{"id": "u", "scores": -1, "text": "the \ud800 cat"}' + "\n")
    for run in (trained, bytes_run):
        refuse("rescore", run, "--nbest", tmp_path / "list", saying="line 1: '\\ud800' is half of a surrogate pair")


def test_a_text_whose_name_is_not_utf8(trained, corpus, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    path.write_bytes(corpus.read_bytes())
    figures = []
    for each in (path, corpus):
        done = subprocess.run(
            [*PROGRAM, "score", trained, each, "--json"], capture_output=True, check=True, env=os.environ
        )
        figures.append(json.loads(done.stdout.splitlines()[-1]))
    assert figures[0] == figures[1]

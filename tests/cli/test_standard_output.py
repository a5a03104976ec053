"""``-`` as the name of a file to write is standard output, which then contains nothing else."""

import json
import os
import shlex
import subprocess

import pytest

from rnnlm_jax import ngrams
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.interop.exporting import read_tensors, save_safetensors
from rnnlm_jax.jobs.run_folder import open_run
from tests.training.tiny import PROGRAM

LIST = "u1\t-1\tthe cat sat on a dog\nu1\t-2\tthe cat sat on the mat\nu2\t-1\ton the ran\nu2\t-1.5\ta dog ran\n"
REFERENCES = "u1\tthe cat sat on the mat\nu2\ta dog ran\n"


@pytest.fixture
def folder(trained, corpus, tmp_path, monkeypatch):
    """The current folder, with a list, its references and a model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list").write_text(LIST)
    (tmp_path / "refs").write_text(REFERENCES)
    words = open_run(trained).vocabulary
    ngrams.train(encode_text(str(corpus), words), words, 2).save(tmp_path / "kn")
    return tmp_path


#: A command that writes a text, and the option that names its file.
TEXTS = {
    "rescore --out": ("rescore kn --nbest list --references refs", "--out"),
    "rescore --out-nbest": ("rescore kn --nbest list", "--out-nbest"),
    "compare --markdown": ("compare kn --data list", "--markdown"),
    "ngram --arpa": ("ngram train list --out model --order 2", "--arpa"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_only_the_written_text_is_printed(name, folder, rnnlm):
    words, option = TEXTS[name]
    to_file = rnnlm(*words.split(), option, "file")
    printed = rnnlm(*words.split(), option, "-")
    assert (to_file.code, printed.code) == (0, 0), printed

    assert len(printed.out.splitlines()) > 1
    if option != "--markdown":  # a table has rates, which differ
        assert printed.out == (folder / "file").read_text()
    else:
        assert "\n| model |" in printed.out
        assert printed.out.count("\n") == (folder / "file").read_text().count("\n")
    assert len(printed.err.splitlines()) >= len(to_file.out.splitlines())  # what is otherwise printed
    assert not (folder / "-").exists()


@pytest.mark.parametrize(
    "words",
    [
        "rescore kn --nbest list --out - --out-nbest -",
        "rescore kn --nbest list --out - --json",
        "rescore kn --nbest list --out-nbest - --json -",
        "compare kn --data list --markdown - --json",
        "ngram train list --out - --arpa -",
        "export RUN --format safetensors --out - --json",
    ],
)
def test_two_results_on_standard_output_are_refused(words, folder, trained, refuse):
    message = refuse(*[trained if word == "RUN" else word for word in words.split()], saying="give")
    assert any(said in message for said in ("standard output", "same file", "both print"))
    assert not (folder / "-").exists()


@pytest.mark.parametrize(
    "words",
    [
        "export RUN --out -",
        "import list --run -",
        "train --data list --run -",
        "jacobians RUN --data list --out -",
        "bench --out -",
    ],
)
def test_a_folder_named_like_standard_output_is_refused(words, folder, trained, refuse):
    refuse(*[trained if word == "RUN" else word for word in words.split()], saying="standard output")
    assert not (folder / "-").exists()


def test_json_comes_last(folder, rnnlm):
    outcome = rnnlm("rescore", "kn", "--nbest", "list", "--json", "-")
    assert json.loads(outcome.out.splitlines()[-1])["hypotheses"] == 4
    assert not (folder / "-").exists()


def test_models_are_piped_from_command_to_command(folder, trained, corpus):
    program = shlex.join(PROGRAM)

    def in_bash(command):
        done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    assert in_bash(f"{program} ngram train list --out - --order 2 | {program} ngram eval /dev/stdin --data list --json")
    assert not os.path.exists("-")
    (folder / "run").write_bytes(in_bash(f"{program} export {trained} --format safetensors --out -"))
    save_safetensors(open_run(trained), folder / "expected")
    (found, texts), (expected, expected_texts) = (read_tensors(folder / name) for name in ("run", "expected"))
    assert texts == expected_texts
    assert found.keys() == expected.keys()
    assert all((found[name] == expected[name]).all() for name in found)

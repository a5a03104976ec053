"""A run of subwords: training, resuming, perplexities per token, word and character, and comparison."""

import json
import math
import sys

import jax
import numpy as np
import pytest

pytest.importorskip("tokenizers")

from rnnlm_jax.data import Vocabulary
from rnnlm_jax.jobs.run_folder import RunFolder, open_run
from tests.cli.conftest import everything
from tests.training.tiny import LINES, TINY

OPTIONS = ("--level", "subword", "--max-vocabulary", "280")
OTHER = [*LINES, "a unicorn sat  on the café", " ran "]


@pytest.fixture(autouse=True)
def _types():
    with jax.enable_x64(False):  # as in a process of its own
        yield


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A text with words that the training text lacks."""
    path = tmp_path_factory.mktemp("texts") / "other.txt"
    path.write_text("\n".join(OTHER) + "\n")
    return path


@pytest.fixture(scope="module")
def run_of_subwords(corpus, tmp_path_factory):
    """A run that tests may read but not write."""
    from rnnlm_jax.cli.main import main

    path = tmp_path_factory.mktemp("subwords") / "sub"
    with jax.enable_x64(False):
        assert main(["train", *TINY, *OPTIONS, "--data", str(corpus), "--run", str(path)]) == 0
    return path


def last_line(outcome):
    assert outcome.code == 0, outcome
    return json.loads(outcome.out.splitlines()[-1])


def test_figures_are_those_of_the_text(run_of_subwords, other, rnnlm):
    outcome = rnnlm("eval", run_of_subwords, "--data", other, "--json")
    found = last_line(outcome)
    words = sum(len(line.split()) + 1 for line in OTHER)
    characters = sum(len(line) + 1 for line in OTHER)
    assert (found["words"], found["characters"]) == (words, characters)
    for name, count in (("word_perplexity", words), ("character_perplexity", characters)):
        np.testing.assert_allclose(found[name], math.exp(found["nats"] / count), rtol=1e-12)
        assert f"{found[name]:.3f}"[:-1] in outcome.out
    np.testing.assert_allclose(found["bits_per_character"], found["nats"] / characters / math.log(2), rtol=1e-12)
    assert (found["oov"], found["lossy_lines"], found["open_vocabulary"]) == (0, 0, True)
    assert r"\n ends each line, counted as a token, a word and a character" in found["policy"]
    # the same nats, token by token
    outcome = rnnlm("score", run_of_subwords, other, "--carry", "--tokens", "--json")
    scored = last_line(outcome)
    np.testing.assert_allclose(scored["nats"], found["nats"], rtol=1e-5)
    np.testing.assert_allclose(scored["word_perplexity"], found["word_perplexity"], rtol=1e-4)
    assert f"{found['tokens']:,} tokens, {words} words and {characters} characters" in outcome.out
    vocabulary = open_run(run_of_subwords).vocabulary
    pieces = [vocabulary.tokens[i] for i in vocabulary.encode(OTHER).tokens]
    assert [line.split()[1] for line in outcome.out.splitlines() if line.endswith("'")] == [f"'{p}'" for p in pieces]


def test_a_run_needs_nothing_but_its_folder(run_of_subwords, tmp_path, rnnlm):
    vocabulary = Vocabulary.load(RunFolder(run_of_subwords).vocabulary)
    assert vocabulary.size == 280
    text = rnnlm("sample", run_of_subwords, "--prompt", "the café", "--max-tokens", "20", "--lines", "3").out
    assert text.startswith("the café")  # é was never seen
    drawn = rnnlm("sample", run_of_subwords, "--prompt", "the café", "--max-tokens", "20", "--lines", "3", "--json")
    assert json.loads(drawn.out.splitlines()[-1])["text"] + "\n" == text


def test_a_tokenizer_file_gives_the_same_run(run_of_subwords, corpus, tmp_path, rnnlm):
    """That of a run, taken out of it; and resuming reads neither file nor text for it."""
    vocabulary = Vocabulary.load(RunFolder(run_of_subwords).vocabulary)
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(json.loads(vocabulary.tokenizer), indent=1))
    run = tmp_path / "run"
    assert rnnlm("train", *TINY, "--tokenizer", file, "--data", corpus, "--run", run).code == 0
    assert Vocabulary.load(RunFolder(run).vocabulary) == vocabulary
    one, other = (json.loads(RunFolder(path).results.read_text())["test"] for path in (run_of_subwords, run))
    assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}
    file.unlink()
    assert rnnlm("train", "--run", run, "--resume", "--epochs", "2").code == 0


def test_models_that_cut_a_text_differently(run_of_subwords, corpus, other, tmp_path, rnnlm, refuse):
    models = {name: tmp_path / f"{name}.model" for name in ("word", "char", "shared")}
    for level in ("word", "char"):
        assert rnnlm("ngram", "train", corpus, "--level", level, "--out", models[level], "--order", "2").code == 0
    words = RunFolder(run_of_subwords).vocabulary
    assert rnnlm("ngram", "train", corpus, "--vocabulary", words, "--out", models["shared"], "--order", "2").code == 0
    refuse("compare", run_of_subwords, models["char"], "--data", corpus, saying="or add --per-word")
    together = last_line(rnnlm("compare", run_of_subwords, models["shared"], "--data", other, "--json"))
    outcome = rnnlm(
        *("compare", run_of_subwords, models["shared"], models["word"], "--data", other, "--per-word", "--json"),
        *("--markdown", tmp_path / "table.md"),
    )
    found = last_line(outcome)
    rows = {row["name"]: row for row in found["rows"]}
    for row in together["rows"]:  # the nats are the same ones
        assert rows[row["name"]]["nats"] == row["nats"]
        assert rows[row["name"]]["perplexity"] == row["perplexity"]
        np.testing.assert_allclose(
            rows[row["name"]]["word_perplexity"], np.exp(row["nats"] / found["words"]), rtol=1e-12
        )
    assert found["words"] == rows["word"]["tokens"]
    # what has unknown words is of an easier text: last, marked, and explained
    assert found["rows"][-1]["name"] == "word" and not rows["word"]["open_vocabulary"]
    assert f"{rows['word']['word_perplexity']:.2f}*" in outcome.out and "not to be compared" in outcome.out
    assert "without their white space" in (tmp_path / "table.md").read_text()
    assert [row["name"] for row in found["rows"][:2]] == sorted(("sub", "shared"), key=lambda name: rows[name]["nats"])
    # characters know no é
    refuse("compare", run_of_subwords, models["char"], "--data", other, "--per-word", saying="'u' in line 6")
    refuse(
        "compare", run_of_subwords, models["char"], "--data", other, "--per-word", "--mix", saying="--mix and --cache"
    )


def test_text_that_does_not_come_back_is_told_everywhere(run_of_subwords, corpus, tmp_path, rnnlm):
    """A tokenizer that lowercases text loses information, so that figures are of an easier text."""
    tokenizer = json.loads(Vocabulary.load(RunFolder(run_of_subwords).vocabulary).tokenizer)
    small = tmp_path / "small.json"
    small.write_text(json.dumps(tokenizer | {"normalizer": {"type": "Lowercase"}}))
    data, model = tmp_path / "Capitals.txt", tmp_path / "small.model"
    data.write_text("".join(f"{line.title()}\n" for line in LINES * 8))
    reported = "lines do NOT come back from their tokens"
    assert rnnlm("ngram", "train", corpus, "--tokenizer", small, "--order", "2", "--out", model).code == 0
    assert reported not in rnnlm("ngram", "eval", model, "--data", corpus).out
    outcome = rnnlm("ngram", "eval", model, "--data", data, "--json")
    assert f"32 {reported}" in outcome.out and last_line(outcome)["lossy_lines"] == 32  # one in five is empty
    assert f"32 {reported}" in rnnlm("compare", model, "--data", data).out
    outcome = rnnlm("train", *TINY, "--tokenizer", small, "--data", data, "--run", tmp_path / "run")
    assert "note: 32 lines do not come back from their tokens" in outcome.out
    results = json.loads(RunFolder(tmp_path / "run").results.read_text())
    assert results["test"]["open_vocabulary"] is False and results["test"]["oov"] == 0


def test_impossible_options_are_refused(corpus, run_of_subwords, tmp_path, refuse):
    before = everything(run_of_subwords)
    train = ["train", *TINY, "--data", corpus, "--run", tmp_path / "run"]
    file = RunFolder(run_of_subwords).vocabulary
    refuse(*train, "--level", "subword", "--max-vocabulary", "100", saying="no room for the 256 bytes")
    refuse(*train, "--tokenizer", file, saying="is not a tokenizer.json")
    refuse(*train, "--tokenizer", tmp_path / "none.json", saying="cannot find the tokenizer file")
    refuse(*train, "--tokenizer", file, "--vocabulary", file, saying="choose one")
    refuse(*train, "--tokenizer", file, "--level", "word", saying="--level word asks for something else")
    refuse(*train, "--tokenizer", file, "--max-vocabulary", "300", saying="--tokenizer gives one")
    refuse(*train, "--vocabulary", file, "--level", "word", saying="has tokens of level subword, and --level word asks")
    ngram = ["ngram", "train", corpus, "--out", tmp_path / "model"]
    refuse(*ngram, "--tokenizer", file, "--vocabulary", file, saying="choose one")
    refuse(*ngram, "--tokenizer", file, "--level", "subword", saying="--tokenizer gives one")
    assert not list(tmp_path.iterdir())
    assert everything(run_of_subwords) == before


def test_without_the_library(corpus, run_of_subwords, tmp_path, refuse, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    saying = "pip install 'rnnlm_jax[subwords]'"
    refuse("train", *TINY, *OPTIONS, "--data", corpus, "--run", tmp_path / "run", saying=saying)
    refuse("eval", run_of_subwords, "--data", corpus, saying=saying)
    assert not (tmp_path / "run").exists()

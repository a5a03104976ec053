"""``rnnlm-jax pairs``: accuracies on minimal pairs of runs and n-gram models, as a user sees them."""

import json
import math

import numpy as np
import pytest

from rnnlm_jax import ngrams
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.jobs.run_folder import open_run

# One process for all of them: what the first has compiled the others use.

SENTENCES = [
    ("the cat sat on the mat", "the cat sat on the cat", "0"),
    ("a dog ran to the cat", "a dog ran to a cat", "1"),
    ("a dog ran to the unicorn", "a dog sat to the unicorn", "1"),
    ("the mat is on a dog", "the mat on is a dog", "0"),
    ("the unicorn", "the griffin", "2"),
]


@pytest.fixture(scope="module")
def tabs(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "mine.tsv"
    path.write_text("".join("\t".join(fields) + "\n" for fields in SENTENCES))
    return path


@pytest.fixture(scope="module")
def model(trained, corpus, tmp_path_factory):
    """A trigram model in the vocabulary of the trained run."""
    path = tmp_path_factory.mktemp("models") / "kn3.model"
    words = open_run(trained).vocabulary
    ngrams.train(encode_text(str(corpus), words), words, 3).save(path)
    return path


@pytest.fixture(scope="module")
def stem(tmp_path_factory):
    """Three files with the index of a word."""
    folder = tmp_path_factory.mktemp("index")
    (folder / "s.text").write_text("the cat sat on the mat <eos>\na dog is on the mat . <eos>\n")
    (folder / "s.eval").write_text("2\n2\n")
    (folder / "s.gold").write_text("2\tsat\tran\t0\n2\tis\tran\t1\n")
    return folder / "s"


def last_line(outcome):
    assert outcome.code == 0, outcome
    return json.loads(outcome.out.splitlines()[-1])


def nats_by_command(rnnlm, model, sentences, tmp_path):
    """The nats of each sentence, by the command that scores texts."""
    path = tmp_path / "sentences.txt"
    path.write_text("".join(f"{sentence}\n" for sentence in sentences))
    if model.is_dir():
        return [each["nats"] for each in last_line(rnnlm("score", model, path, "--json"))["sentences"]]
    counted = ngrams.load(model)
    return [counted.token_nll(counted.vocabulary.encode([sentence])).sum() for sentence in sentences]


def test_accuracies_of_a_run_and_n_grams_side_by_side(trained, model, tabs, tmp_path, rnnlm):
    files = ["--json", tmp_path / "all.json", "--plot", tmp_path / "figure.png", "--out", tmp_path / "pairs.tsv"]
    outcome = rnnlm("pairs", trained, model, "--data", tabs, *files)
    assert outcome.code == 0, outcome
    found = json.loads((tmp_path / "all.json").read_text())
    assert found["pairs"] == 5
    assert [each["model"] for each in found["models"]] == ["run", "kn3"]
    for path, figures in zip((trained, model), found["models"], strict=True):
        nats = nats_by_command(rnnlm, path, [s for good, bad, _ in SENTENCES for s in (good, bad)], tmp_path)
        better = [
            0.5 if math.isclose(good, bad, rel_tol=1e-6) else float(good < bad)
            for good, bad in zip(nats[::2], nats[1::2], strict=True)
        ]
        assert figures["accuracy"] == pytest.approx(np.mean(better))
        assert figures["ties"] == 1  # two unknown words
        assert figures["unknown_share"] == pytest.approx(2 / 5)
        assert figures["without_unknown"]["accuracy"] == pytest.approx(np.mean([better[k] for k in (0, 1, 3)]))
        assert figures["groups"]["0"]["accuracy"] == pytest.approx(np.mean([better[k] for k in (0, 3)]))
        assert {name: part["pairs"] for name, part in figures["groups"].items()} == {"0": 2, "1": 2, "2": 1}
        low, high = figures["interval"]
        assert 0 < low < figures["accuracy"] < high < 1 or figures["accuracy"] in (0, 1)
        row = next(line for line in outcome.out.splitlines() if line.startswith(f"{figures['model']}  "))
        assert f"{100 * figures['accuracy']:.1f} %" in row
        rows = [line.split("\t") for line in (tmp_path / "pairs.tsv").read_text().splitlines()]
        column = rows[0].index(f"{figures['model']} good nats")
        np.testing.assert_allclose([float(line[column]) for line in rows[1:]], nats[::2], rtol=1e-5)
    assert (tmp_path / "figure.png").stat().st_size > 5000


def test_one_model_has_its_figures_at_the_top(trained, tabs, rnnlm):
    found = last_line(rnnlm("pairs", trained, "--data", tabs, "--json"))
    assert found["accuracy"] == found["models"][0]["accuracy"]
    assert found["pairs"] == 5
    assert found["groups"].keys() == {"0", "1", "2"}


def test_the_index_format_compares_forms_after_the_same_words(model, stem, rnnlm):
    found = last_line(rnnlm("pairs", model, "--data", stem, "--json"))
    assert found["unit"] == "word"
    counted = ngrams.load(model)

    def log_prob(words):
        return -counted.token_nll(counted.vocabulary.encode([words]))[2]

    right = [
        log_prob("the cat sat") > log_prob("the cat ran"),
        log_prob("a dog is") > log_prob("a dog ran"),
    ]
    assert [found["groups"][group]["accuracy"] for group in ("0", "1")] == [float(each) for each in right]
    whole = last_line(rnnlm("pairs", model, "--data", stem, "--unit", "sentence", "--json"))
    assert whole["unit"] == "sentence"
    assert whole["distance"] == "words before the first difference"
    near = last_line(rnnlm("pairs", model, "--data", stem, "--context", "0", "--json"))
    assert near["context"] == 0


def test_a_pattern_and_several_files(model, tmp_path, rnnlm):
    line = {"sentence_good": "the cat sat.", "sentence_bad": "The cat cat.", "linguistics_term": "agreement"}
    for name in ("a_1", "a_2", "b_1"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(line | {"UID": name}) + "\n")
    found = last_line(
        rnnlm("pairs", model, "--data", f"{tmp_path}/a_*.jsonl", "--data", tmp_path / "b_1.jsonl", "--json")
    )
    assert list(found["groups"]) == ["a_1", "a_2", "b_1"]
    assert found["categories"]["agreement"]["pairs"] == 3
    assert found["unknown_share"] == 0  # marks and capitals as the vocabulary has them
    kept = ["--tokenize", "spaces", "--case", "keep"]
    assert last_line(rnnlm("pairs", model, "--data", tmp_path / "b_1.jsonl", *kept, "--json"))["unknown_share"] == 1


def test_probabilities_go_to_standard_output_alone(model, tabs, rnnlm):
    outcome = rnnlm("pairs", model, "--data", tabs, "--out", "-")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 6
    assert "accuracy" in outcome.err


def test_bad_input_is_one_line(model, tabs, stem, tmp_path, refuse):
    pairs = ["pairs", model, "--data"]
    refuse(*pairs, tmp_path / "none.tsv", saying="cannot find the minimal pairs")
    empty = tmp_path / "empty.tsv"
    empty.write_text("")
    refuse(*pairs, empty, saying="empty.tsv is empty")
    empty.write_text("\n\n")
    refuse(*pairs, empty, saying="empty.tsv holds no minimal pairs")
    missing = tmp_path / "missing.jsonl"
    missing.write_text('{"sentence_good": "the cat sat"}\n')
    refuse(*pairs, missing, saying="line 1: no field 'sentence_bad'")
    missing.write_text("the cat sat\n")
    refuse(*pairs, missing, saying="1 of 2 or 3 fields")
    for suffix in ("text", "eval", "gold"):
        (tmp_path / f"s.{suffix}").write_bytes(stem.with_suffix(f".{suffix}").read_bytes())
    (tmp_path / "s.eval").write_text("2\n")
    refuse(*pairs, tmp_path / "s", saying="2 in s.text and 1 in s.eval and 2 in s.gold")
    (tmp_path / "s.eval").write_text("2\n9\n")
    (tmp_path / "s.gold").write_text("2\tsat\tran\t0\n9\tis\tran\t1\n")
    refuse(*pairs, tmp_path / "s", saying="line 2: the index 9 is outside the sentence of 7 words")
    refuse(
        *pairs,
        tabs,
        "--context",
        "2",
        saying="--context is a number of words before one word, 0 or more: it needs --unit",
    )
    refuse(*pairs, tabs, "--plot", tmp_path / "figure.txt", saying="must end in .png, .pdf, .svg")
    refuse(*pairs, tabs, "--json", "out.txt", saying="must end in .json")
    refuse(*pairs, tabs, "--out", tabs, saying="is read or written already")
    refuse(*pairs, f"{tmp_path}/x*.tsv", saying="no file matches")
    refuse("pairs", tmp_path / "no-model", "--data", tabs, saying="no model at")
    assert not (tmp_path / "figure.txt").exists()

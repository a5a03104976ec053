"""``rnnlm-jax rescore``: results and errors."""

import json
import math
import random

import numpy as np
import pytest

from rnnlm_jax import ngrams
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.evaluation.rescoring import read_nbest, read_references
from rnnlm_jax.evaluation.sentence_scores import score_sentences
from rnnlm_jax.jobs.run_folder import open_run
from tests.cli.conftest import everything

# One process for all of them: what the first has compiled the others use.

LIST = "u1\t-1\tthe cat sat on a dog\nu1\t-2\tthe cat sat on the mat\nu2\t-1\ton the ran\nu2\t-1.5\ta dog ran\n"
REFERENCES = "u1\tthe cat sat on the mat\nu2\ta dog ran\n"


@pytest.fixture(scope="module")
def model(trained, corpus, tmp_path_factory):
    """A trigram model in the vocabulary of the trained run."""
    path = tmp_path_factory.mktemp("models") / "kn3.model"
    words = open_run(trained).vocabulary
    ngrams.train(encode_text(str(corpus), words), words, 3).save(path)
    return path


@pytest.fixture
def lists(tmp_path):
    """A small list and its references, in a folder of their own."""
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "list").write_text(LIST)
    (folder / "ref").write_text(REFERENCES)
    return folder


def last_line(outcome):
    assert outcome.code == 0, outcome
    return json.loads(outcome.out.splitlines()[-1])


def test_a_run_rescores_a_list(trained, lists, rnnlm):
    files = ["--out", lists / "best", "--out-nbest", lists / "new"]
    options = ["--references", lists / "ref", "--lm-weight", "2", "--word-penalty", "-0.5", "--score-base", "10"]
    outcome = rnnlm("rescore", trained, "--nbest", lists / "list", *options, *files, "--json")
    found = last_line(outcome)
    run, nbest = open_run(trained), read_nbest(lists / "list")
    text = run.vocabulary.encode([nbest.texts[i] for i in nbest.text])
    nats = [nats.sum() for nats in score_sentences(run.model, run.params, text, run.vocabulary)]
    words = np.array([6, 6, 3, 3])
    totals = nbest.scores[:, 0] * math.log(10) - 2 * np.array(nats) - 0.5 * words
    chosen = [int(np.argmax(totals[:2])), 2 + int(np.argmax(totals[2:]))]
    best = {name: nbest.texts[nbest.text[i]] for name, i in zip(("u1", "u2"), chosen, strict=True)}
    assert read_references([lists / "best"]) == best
    new = read_nbest(lists / "new")
    assert new.ids == ("u1", "u2")
    assert [new.texts[i] for i in new.text[[0, 2]]] == list(best.values())
    order = [*np.argsort(-totals[:2]), *(2 + np.argsort(-totals[2:]))]
    np.testing.assert_allclose(new.scores[:, 1], -np.array(nats)[order] / math.log(10), atol=2e-6)
    assert (found["hypotheses"], found["utterances"], found["tokens"], found["oov"]) == (4, 2, 22, 0)
    assert (found["lm_weight"], found["word_penalty"], found["score_weights"]) == (2.0, -0.5, [1.0])
    errors = found["word_errors"]
    assert errors["first_listed"] == errors["given_scores"]
    assert (errors["first_listed"]["errors"], errors["first_listed"]["words"]) == (4, 9)
    assert errors["oracle"]["errors"] == 0
    (line,) = [line for line in outcome.out.splitlines() if "list: rescored" in line]
    assert f"  {100 * errors['rescored']['wer']:.2f} %  " in line


def test_without_files_and_references_the_best_are_printed(model, lists, rnnlm):
    outcome = rnnlm("rescore", model, "--nbest", lists / "list", "--lm-weight", "0")
    assert outcome.code == 0
    assert outcome.out.startswith(
        "u1\tthe cat sat on a dog\nu2\ton the ran\ntotal = 1 · score 1 + 0 · log P(kn3) + 0 · words\n"
    )
    costs = rnnlm("rescore", model, "--nbest", lists / "list", "--lm-weight", "0", "--costs")
    assert costs.out.startswith("u1\tthe cat sat on the mat\nu2\ta dog ran\n")
    rnnlm("rescore", model, "--nbest", lists / "list", "--costs", "--out-nbest", lists / "new")
    assert (read_nbest(lists / "new").scores[:, 1] > 0).all()  # -log P, beside costs
    negative = rnnlm("rescore", model, "--nbest", lists / "list", "--lm-weight", "0", "--score-weights=-1")
    assert negative.out.startswith("u1\tthe cat sat on the mat\nu2\ta dog ran\n")


def test_of_a_moses_list_the_total_counts_and_is_replaced(model, lists, rnnlm):
    (lists / "moses").write_text("0 ||| the cat ||| LM= 5 ||| -2\n0 ||| a dog ||| LM= 1 ||| -1\n")
    outcome = rnnlm("rescore", model, "--nbest", lists / "moses", "--lm-weight", "0", "--out-nbest", lists / "new")
    assert outcome.code == 0, outcome
    first, second = (lists / "new").read_text().splitlines()
    assert first.startswith("0 ||| a dog ||| LM= 1 lm= -")
    assert second.startswith("0 ||| the cat ||| LM= 5 lm= -")
    assert first.endswith("||| -1.000000")
    assert second.endswith("||| -2.000000")


SENTENCES = """\
the cat sat on the mat
a dog ran to the cat
the mat is on a dog and the cat is on the mat
the dog sat on the cat and ran
a cat is on the mat
the cat ran to a dog and sat on the mat
a dog is on the cat
the dog ran to the mat and the cat sat on a dog
""".splitlines()


def corrupted(seed, name, repeats=5, size=12):
    """Return a list of sentences with exchanged words and noisy acoustic scores, and its references."""
    rng = random.Random(seed)
    words = sorted({word for line in SENTENCES for word in line.split()})
    lines, references = [], []
    for number, sentence in enumerate(SENTENCES * repeats):
        references.append(f"{name}{number}\t{sentence}\n")
        spoken = sentence.split()
        for _ in range(size):
            changes = [rng.choice((rng.choice(words), "")) if rng.random() < 0.15 else None for _ in spoken]
            heard = [word if new is None else new for word, new in zip(spoken, changes, strict=True)]
            score = 10 * (changes.count(None) - len(spoken) + rng.gauss(0, 1.5))
            lines.append(f"{name}{number}\t{score:.3f},{rng.gauss(0, 1):.3f}\t{' '.join(filter(None, heard))}\n")
    return "".join(lines), "".join(references)


def test_tuned_weights_make_fewer_word_errors_on_other_sentences(trained, model, tmp_path, rnnlm):
    for seed, name in enumerate(("dev", "test")):
        texts = corrupted(seed, name)
        for kind, text in zip(("nbest", "ref"), texts, strict=True):
            (tmp_path / f"{name}.{kind}").write_text(text)
    files = ["--nbest", tmp_path / "test.nbest", "--tune", tmp_path / "dev.nbest"]
    files += ["--references", tmp_path / "test.ref", "--tune-references", tmp_path / "dev.ref"]
    found = last_line(rnnlm("rescore", model, *files, "--json"))
    dev, test = found["development"], found["word_errors"]
    assert dev["rescored"]["errors"] < 0.8 * dev["given_scores"]["errors"]
    assert test["rescored"]["errors"] < 0.8 * test["given_scores"]["errors"]
    assert test["oracle"]["errors"] < test["rescored"]["errors"]
    assert abs(found["score_weights"][1]) < 20  # the noise has little to say beside a score ten times as large
    fixed = last_line(rnnlm("rescore", model, *files, "--lm-weight", "3", "--score-weights", "1,0", "--json"))
    assert (fixed["lm_weight"], fixed["score_weights"]) == (3.0, [1.0, 0.0])
    assert fixed["word_penalty"] != 0.0
    assert fixed["development"]["rescored"]["errors"] >= dev["rescored"]["errors"]
    # One file of references for both lists, and a second model with a share that makes them likely.
    both = tmp_path / "both.ref"
    both.write_text((tmp_path / "dev.ref").read_text() + (tmp_path / "test.ref").read_text() + "more\tthe cat\n")
    outcome = rnnlm("rescore", trained, *files[:4], "--references", both, "--ngram", model, "--json")
    mixed = last_line(outcome)
    assert 0.5 < mixed["models"]["kn3"] <= 1.0
    assert mixed["word_errors"]["rescored"]["errors"] < test["given_scores"]["errors"]
    assert "1 references have no hypotheses" in outcome.out


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (["--lm-weight", "nan"], "--lm-weight must be a finite number, not nan"),
        (["--lm-weight", "-1"], "--lm-weight must be 0 or more"),
        (["--word-penalty", "inf"], "--word-penalty must be a finite number"),
        (["--score-weights", "1,x"], "--score-weights must be finite numbers"),
        (["--score-weights", "1e300"], "weights must be finite numbers, at most 1e+30"),
        (["--score-weights", "1,2"], "2 score weights for the 1 scores of"),
        (["--ngram-weight", "0.5"], "--ngram-weight needs --ngram"),
        (["--ngram", "MODEL", "--ngram-weight", "0.5"], "is given twice"),
        (["--ngram", "nowhere", "--ngram-weight", "2"], "--ngram-weight must be between 0 and 1"),
        (["--ngram", "nowhere"], "no model at nowhere"),
        (["--scores", "REF"], "has scores of its own"),
        (["--tune", "LIST"], "--tune needs the correct texts"),
        (["--tune-references", "REF"], "give it with --tune"),
        (
            ["--tune", "LIST", "--references", "REF", "--lm-weight", "1", "--word-penalty", "0"],
            "no weight is left to tune",
        ),
        (["--tune", "OTHER", "--references", "REF"], "2 utterances of"),
        (["--references", "SOME"], "1 of 2 utterances of"),
        (["--references", "nowhere"], "cannot find the file nowhere"),
        (["--out", "LIST"], "is read or written already"),
        (["--out", "new", "--out-nbest", "new"], "is read or written already"),
        (["--out-nbest", "no/where"], "to write where in"),
        (["--json", "file.txt"], "must end in .json"),
    ],
)
def test_impossible_options_are_refused(model, lists, refuse, options, saying, monkeypatch):
    monkeypatch.chdir(lists)
    (lists / "some").write_text("u1\tthe cat\n")
    (lists / "other").write_text(LIST.replace("u1", "v1").replace("u2", "v2"))
    before = everything(lists)
    files = {"MODEL": model, "LIST": lists / "list", "REF": lists / "ref", "SOME": "some", "OTHER": "other"}
    words = [files.get(word, word) for word in options]
    monkeypatch.setattr("rnnlm_jax.cli.commands.rescore.score_list", None)  # nothing is scored first
    refuse("rescore", model, "--nbest", lists / "list", "--out-nbest", "made", *words, saying=saying)
    assert everything(lists) == before


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("u1\tthe cat\n", "line 1: 2 of 3 columns"),
        ("u1\t-1\ta\nu1\tnan\ta\n", "line 2: 'nan' is not a score"),
        ("u1\t-1\ta\nu1\t1e308\ta\n", "line 2: '1e308' is not a score: give a finite number, at most 1e+30"),
        ("", "is empty"),
    ],
)
def test_a_bad_list_is_refused_and_nothing_written(model, lists, refuse, text, saying):
    (lists / "list").write_text(text)
    before = everything(lists)
    refuse("rescore", model, "--nbest", lists / "list", "--out", lists / "best", saying=saying)
    assert everything(lists) == before

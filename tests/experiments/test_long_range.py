"""The study of long-range dependencies: its sentences, probabilities of next words, resumed runs, and record."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.long_range import __main__ as study
from experiments.long_range import english_sentences, german_sentences, measure
from experiments.long_range.next_words import next_word_log_probs, next_words
from experiments.long_range.recipe import NETWORKS, QUICK, Recipe, english
from experiments.long_range.tables import all_tables
from experiments.readme_table import BEGIN, END
from rnnlm_jax import cells, ngrams
from rnnlm_jax.config import Config
from rnnlm_jax.data import build_vocabulary
from rnnlm_jax.evaluation.comparison import CountedModel, ModelInfo, TrainedRun
from rnnlm_jax.jobs.run_folder import START, Run, RunFolder
from rnnlm_jax.language_model.model import language_model
from tests.training.tiny import LINES, random_params, vocabulary

PARADIGMS = ("anaphor", "agreement")


@pytest.fixture
def data(tmp_path):
    """A folder with a few pairs in place of the published ones."""
    folder = tmp_path / "data"
    (folder / "blimp").mkdir(parents=True)
    (folder / "agreement" / "linzen").mkdir(parents=True)
    for name in PARADIGMS:
        lines = [
            {
                "UID": name,
                "sentence_good": f"The {one} is old.",
                "sentence_bad": f"The {one} are old.",
                "one_prefix_prefix": f"The {one}",
                "one_prefix_word_good": "is",
                "one_prefix_word_bad": "are",
            }
            for one in ("film", "song", "ship")
        ]
        (folder / "blimp" / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = [{"UID": name, "ngram": 0.439, "lstm": 0.882, "linguistics_term": "x"} for name in (*PARADIGMS, "other")]
    (folder / "blimp" / "models_summary.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stem = folder / measure.LINZEN
    stem.with_suffix(".text").write_text("the songs of the film are old . <eos>\nthe road is old . <eos>\n")
    stem.with_suffix(".eval").write_text("5\n2\n")
    stem.with_suffix(".gold").write_text("5\tare\tis\t1\n2\tis\tare\t0\n")
    return folder


@pytest.fixture
def folder(tmp_path):
    """A folder with a README to write the tables into."""
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}{END}after\n")
    return tmp_path


#: Even smaller than what ``--quick`` runs.
TINY = dataclasses.replace(QUICK, distances=(0, 1), sentences=4, contexts=(0, 2), german_sentences=20, positions=3)


def test_models_are_trained_measured_and_recorded(folder, data, capsys):
    def run(*words):
        return study.main(["--runs", str(folder / "runs"), "--data", str(data), *words], folder, recipe=TINY)

    assert run("--models", "lstm") == 0
    results = RunFolder(folder / "runs" / "english" / "lstm").results
    before = results.read_bytes()
    (folder / "runs" / study.ENGLISH / "lstm.json").unlink()  # as if it had been stopped before it was measured
    assert run("--models", "lstm,kn5") == 0
    assert results.read_bytes() == before
    recorded = json.loads((folder / "results.json").read_text())
    assert [result["model"] for result in recorded["english"]] == ["lstm", "kn5"]
    assert [result["model"] for result in recorded["german"]] == ["lstm", "kn5"]
    network, counted = recorded["english"]
    assert network["published"] == {name: {"ngram": 0.439, "lstm": 0.882} for name in PARADIGMS}
    assert set(network["horizons"]["gradient"]) == {"1/e", "1%"}
    assert counted["horizons"] is None
    for result in recorded["english"]:
        assert result["linzen"]["pairs"] == 2
        assert set(result["linzen"]["groups"]) == {"0", "1"}
        assert {name: part["pairs"] for name, part in result["blimp"]["groups"].items()} == dict.fromkeys(
            sorted(PARADIGMS), 3
        )
        assert list(result["linzen_by_context"]) == ["0", "2"]
        assert result["linzen_by_context"]["0"]["pairs"] == 2
        assert set(result["agreement_at_a_distance"]["by_group"]) == {"same number", "other number"}
        assert sum(each["probability"] for each in result["next_words"][0]["top"]) < 1
        assert str(folder) not in json.dumps(result)
    text = (folder / "README.md").read_text()
    assert text.startswith(f"before\n{BEGIN}\n### Models")
    assert text.endswith(f"(separable-verbs.png)\n\n{END}after\n")
    assert "| agreement |" in text
    assert "| 43.9 | 88.2 |" in text
    assert "“The clouds are in the ___”" in text
    assert (folder / "agreement.png").stat().st_size > 5000
    assert (folder / "separable-verbs.png").stat().st_size > 5000
    printed = capsys.readouterr().out
    assert "published LSTM" in printed

    assert study.main(["--runs", str(folder / "runs"), "--data", str(data)], folder) == 2  # of another recipe
    assert "give another `runs`" in capsys.readouterr().err


def test_missing_data_is_one_line(folder, data, capsys, monkeypatch):
    monkeypatch.delenv("RNNLM_JAX_DATA", raising=False)
    assert study.main(["--runs", str(folder / "runs"), "--quick"], folder) == 2
    assert "give their folder as --data or $RNNLM_JAX_DATA" in capsys.readouterr().err
    (data / "blimp" / "models_summary.jsonl").unlink()
    assert study.main(["--runs", str(folder / "runs"), "--data", str(data), "--quick"], folder) == 2
    assert "models_summary.jsonl" in capsys.readouterr().err
    assert study.main(["--runs", str(folder / "runs"), "--models", "lstn"], folder) == 2
    assert "unknown model 'lstn': choose from elman,gru,lstm,kn5" in capsys.readouterr().err


def test_agreement_pairs_have_the_numbers_that_they_say():
    numbers = {word: plural for pair in english_sentences.NOUNS for plural, word in enumerate(pair)}
    verbs = {word: plural for pair in english_sentences.VERBS for plural, word in enumerate(pair)}
    pairs = english_sentences.agreement_pairs((0, 1, 3), 5, seed=0)
    assert len(pairs.pairs) == 3 * 2 * 2 * 5
    for pair in pairs.pairs:
        words = pair.good.split()
        plural = numbers[words[1]]
        assert verbs[words[-1]] == plural
        assert verbs[pair.bad.split()[-1]] == 1 - plural
        assert pair.dependency_length == len(words) - 2
        between = {numbers[word] for word in words[2:] if word in numbers}
        assert between <= {plural if pair.group == english_sentences.SAME else 1 - plural}
    assert {noun for noun in english_sentences.NOUNS if english_sentences.NOUNS.count(noun) > 1} == set()


def test_particles_follow_from_their_verbs():
    corpus = german_sentences.sampled_corpus(100, seed=3)
    pairs = german_sentences.particle_pairs(corpus.lines("test"), seed=0)
    assert len(pairs.pairs) == 20
    for pair in pairs.pairs:
        words = pair.good.split()
        verb = next(k for k, word in enumerate(words) if word in german_sentences.VERBS)
        assert words[verb + pair.dependency_length] == german_sentences.VERBS[words[verb]] == pair.contrast.good
        assert pair.contrast.bad in german_sentences.PARTICLES
        assert pair.contrast.bad != pair.contrast.good
    assert min(pair.dependency_length for pair in pairs.pairs) >= 4
    assert corpus.facts["entropy_rate"] > 0
    question = german_sentences.QUESTION.split()
    assert german_sentences.VERBS[question[2]] == german_sentences.ANSWER


def test_next_words_are_those_of_the_model():
    words = vocabulary()
    model = language_model(cells.gru(5, dtype=jnp.float64, param_dtype=jnp.float64), words.size)
    run = TrainedRun("net", Run(Config(), words, model, random_params(model), START), ModelInfo(""))
    counted = CountedModel("kn", ngrams.train(words.encode(LINES * 2), words, 3), ModelInfo(""))
    for scorer in (run, counted):
        ids = words.encode_line("the cat")
        log_probs = next_word_log_probs(scorer, ids)
        assert np.exp(log_probs).sum() == pytest.approx(1.0)
        # the same by the score of a text: each word in turn as the third
        for word in ("sat", "mat", "dog"):
            text = words.encode([f"the cat {word}"])
            assert -scorer.token_nll(text)[2] == pytest.approx(log_probs[words.index[word]], rel=1e-9)
        found = next_words(scorer, "The cat", ("sat", "unicorn"))
        assert found["read"] == "the cat"
        assert [each["probability"] for each in found["top"]] == sorted(np.exp(log_probs), reverse=True)[:10]
        assert found["top"][0]["rank"] == 1
        sat, unicorn = found["wanted"]
        assert sat["rank"] == 1 + int((log_probs > log_probs[words.index["sat"]]).sum())
        assert unicorn == {"word": "unicorn", "probability": None, "rank": None}


def test_the_whole_study_reads_all_pairs():
    plan = Recipe()
    assert plan.pairs is None
    assert plan.corpus == "wikitext-2"
    for name, network in NETWORKS.items():
        config = english(name, plan, plan.corpus)
        assert (config.model.cell, config.model.hidden_size) == (network.cell, 400)
    assert plan.recorded()["networks"].keys() == NETWORKS.keys()
    own = build_vocabulary(english_sentences.own_text(0), "word")
    assert {"sky", "tickets", "laptops", "The"} <= set(own.tokens)


def test_without_results_there_is_no_table():
    assert all_tables([], []) == []

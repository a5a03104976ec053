"""The commands train, eval, score and sample, one after the other, and what they print."""

import argparse
import dataclasses
import json
import math
import re

import numpy as np
import pytest

from rnnlm_jax.cli.config_options import apply_options, parse_pairs, value_parser
from rnnlm_jax.config import Config, replace
from rnnlm_jax.jobs.run_folder import RunFolder, open_run, read_config
from rnnlm_jax.plotting import learning_curve
from rnnlm_jax.presets import preset
from tests.training.tiny import LINES, TINY, text


def last_line(outcome):
    assert outcome.code == 0, outcome
    return json.loads(outcome.out.splitlines()[-1])


def test_train_eval_score_and_sample(corpus, tmp_path, rnnlm, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setattr("rnnlm_jax.training.results.learning_curve", learning_curve)
    results = last_line(rnnlm("train", *TINY, "--data", corpus, "--run", run, "--epochs", "3", "--json"))
    assert {"test_perplexity", "valid_perplexity", "steps", "run", "seconds", "environment"} <= set(results)
    assert results["run"] == str(run)
    assert results["test"]["exact"] is True
    assert 1 < results["baselines"]["bigram"] < results["baselines"]["unigram"] < 20
    written = json.loads(RunFolder(run).results.read_text())
    assert written == results
    assert RunFolder(run).learning_curve.read_bytes().startswith(b"\x89PNG")

    figures = last_line(rnnlm("eval", run, "--data", corpus, "--json"))
    assert {"perplexity", "nats", "tokens", "oov", "policy", "bits_per_character"} <= set(figures)
    lines = corpus.read_text().splitlines()
    assert figures["tokens"] == sum(len(line.split()) + 1 for line in lines)
    assert figures["perplexity"] == pytest.approx(math.exp(figures["nats"] / figures["tokens"]), rel=1e-12)
    assert (figures["oov"], figures["exact"]) == (0, True)

    carried = last_line(rnnlm("score", run, corpus, "--carry", "--json"))
    assert carried["nats"] == pytest.approx(figures["nats"], rel=1e-5)
    scores = last_line(rnnlm("score", run, corpus, "--json"))
    assert len(scores["sentences"]) == len(lines)
    assert [s["tokens"] for s in scores["sentences"]] == [len(line.split()) + 1 for line in lines]
    assert math.fsum(s["nats"] for s in scores["sentences"]) == pytest.approx(scores["nats"], rel=1e-12)
    for sentence in scores["sentences"]:
        assert math.fsum(sentence["token_nats"]) == pytest.approx(sentence["nats"], rel=1e-12)
    assert scores["nats"] != pytest.approx(carried["nats"], rel=1e-4)

    words = ["sample", run, "--prompt", "the cat", "--max-tokens", "20", "--lines", "3"]
    drawn = last_line(rnnlm(*words, "--seed", "4", "--json"))
    assert drawn["text"].startswith("the cat")
    assert rnnlm(*words, "--seed", "4").out == drawn["text"] + "\n"
    assert set(drawn["text"].split()) <= {word for line in LINES for word in line.split()} | {"<unk>"}


def test_eval_reports_approximation_and_unknown_words(trained, tmp_path, rnnlm):
    (tmp_path / "some.txt").write_text("the cat sat on a unicorn\n" * 3)
    outcome = rnnlm("eval", trained, "--data", tmp_path / "some.txt", "--streams", "2", "--json")
    assert "APPROXIMATE: 2 streams" in outcome.out
    assert "3 OOV" in outcome.out
    assert last_line(outcome)["exact"] is False
    assert last_line(outcome)["oov"] == 3


def test_score_prints_every_token(trained, tmp_path, rnnlm):
    (tmp_path / "some.txt").write_text("the cat\n\nran\n")
    outcome = rnnlm("score", trained, tmp_path / "some.txt", "--tokens", "--json")
    scores = last_line(outcome)
    shown = re.findall(r"^ +([0-9.]+) +'(.+)'$", outcome.out, re.MULTILINE)
    assert [token for _, token in shown] == ["the", "cat", "<eos>", "<eos>", "ran", "<eos>"]
    nats = [value for sentence in scores["sentences"] for value in sentence["token_nats"]]
    np.testing.assert_allclose([float(value) for value, _ in shown], nats, atol=1e-4)


def test_best_and_last_are_different_checkpoints(corpus, tmp_path, rnnlm):
    run = tmp_path / "run"
    # A learning rate that only ruins what the first epoch learnt.
    options = [
        "--optimizer=sgd",
        "--learning-rate=1",
        "--schedule=epochs",
        "--schedule-options=divisor=0.2,after=1",
        "--epochs=3",
    ]
    assert rnnlm("train", *TINY, *options, "--data", corpus, "--run", run).code == 0
    best, last = open_run(run, "best"), open_run(run, "last")
    assert best.position.step < last.position.step
    figures = {
        which: last_line(rnnlm("eval", run, "--data", corpus, "--checkpoint", which, "--json"))
        for which in ("best", "last")
    }
    assert figures["best"]["step"] == best.position.step
    assert figures["best"]["perplexity"] < figures["last"]["perplexity"]


@pytest.mark.parametrize("name", ["zaremba/medium", "zaremba/large"])
def test_published_experiments_run_at_a_small_size(tmp_path, rnnlm, name):
    folder = tmp_path / "text"
    folder.mkdir()
    for split, repeats in (("train", 8), ("valid", 1), ("test", 1)):
        (folder / f"ptb.{split}.txt").write_text(text(repeats))
    small = ["--hidden-size=4", "--epochs=1", "--bptt=6", "--batch-size=4", "--data", folder]
    results = last_line(rnnlm("train", name, *small, "--run", tmp_path / "run", "--json"))
    assert 1 < results["test_perplexity"] < 30
    config = read_config(RunFolder(tmp_path / "run"))
    assert config.model.dropout_hidden == preset(name).model.dropout_hidden > 0
    assert (config.model.hidden_size, config.model.layers) == (4, 2)


def test_a_config_file_in_python(corpus, tmp_path, rnnlm):
    (tmp_path / "mine.py").write_text(
        "from rnnlm_jax.config import Config, ModelConfig, TrainingConfig, DataConfig\n"
        "def get_config():\n"
        f"    return Config(data=DataConfig(corpus={str(corpus)!r}, batch_size=2, bptt=10),\n"
        "        model=ModelConfig(cell='elman-relu', hidden_size=5, init_scale=0.2),\n"
        "        training=TrainingConfig(epochs=4))\n"
    )
    # Options go before the file.
    words = ["train", tmp_path / "mine.py", "--epochs", "1", "--clip-norm", "none", "--cell-options", "bias=false"]
    assert rnnlm(*words, "--run", tmp_path / "run").code == 0
    config = read_config(RunFolder(tmp_path / "run"))
    assert (config.model.cell, config.model.hidden_size, config.training.epochs) == ("elman-relu", 5, 1)
    assert config.optimizer.clip_norm is None
    assert config.model.cell_options == (("bias", False),)
    assert open_run(tmp_path / "run").params.cell.b is None


def test_the_forget_bias_is_an_option(corpus, tmp_path, rnnlm):
    from rnnlm_jax.jobs.run_folder import build_model

    config = dataclasses.replace(Config().model, hidden_size=3, cell_options=parse_pairs("forget_bias=-2.5"))
    spec = build_model(config, 5).cell.spec
    assert dict(spec.variant)["forget_bias"] == -2.5


@pytest.mark.parametrize(
    ("word", "pairs"),
    [
        ("forget_bias=0,bias=false", (("forget_bias", 0), ("bias", False))),
        ("recurrent-init=identity", (("recurrent_init", "identity"),)),
        ("a=1e-3,b=none,c=TRUE", (("a", 1e-3), ("b", None), ("c", True))),
        ("", ()),
    ],
)
def test_cell_options_are_pairs(word, pairs):
    assert parse_pairs(word) == pairs
    assert [type(value) for _, value in parse_pairs(word)] == [type(value) for _, value in pairs]


def test_a_pair_is_given_once():
    with pytest.raises(argparse.ArgumentTypeError, match="warmup_steps is given twice"):
        parse_pairs("warmup_steps=1,end=0,warmup-steps=2")


def test_epochs_alone_take_the_place_of_steps():
    begun = replace(Config(), training={"steps": 5, "epochs": 1})
    given = {"training.epochs": 3}
    assert apply_options(begun, argparse.Namespace(**given)).training.steps is None
    assert apply_options(begun, argparse.Namespace(**given, **{"training.steps": 7})).training.steps == 7
    assert apply_options(begun, argparse.Namespace(**{"training.early_stop": 3})).training.steps == 5


def test_words_become_values_of_the_fields_type():
    assert value_parser(int | str | None)("sqrt") == "sqrt"
    assert value_parser(int | str | None)("12") == 12
    assert value_parser(float | None)("1e-2") == 0.01
    assert value_parser(str)("none") == "none"


def test_an_interrupt_is_one_line(trained, corpus, rnnlm, monkeypatch):
    from rnnlm_jax.cli.commands import eval as command

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "evaluate", interrupt)
    outcome = rnnlm("eval", trained, "--data", corpus)
    assert outcome.code == 130
    assert outcome.err.endswith("with --resume\n")

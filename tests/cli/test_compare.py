"""``rnnlm-jax compare``, and ``rnnlm-jax eval`` with dynamic evaluation and with a cache."""

import json
import math
import shutil

import jax
import numpy as np
import pytest

from rnnlm_jax import ngrams
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.evaluation import text_nll
from rnnlm_jax.evaluation.comparison import dynamic_nll, dynamic_rule, fit_weights, mixture_nll, neural_cache
from rnnlm_jax.jobs.checkpoints import CheckpointFolder
from rnnlm_jax.jobs.run_folder import RunFolder, open_run
from tests.cli.conftest import everything
from tests.training.tiny import LINES

# One process for all of them: what the first has compiled the others use.


@pytest.fixture(scope="module")
def other_text(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "other.txt"
    path.write_text("\n".join([*LINES[::-1], "the dog sat on the dog", *LINES]) + "\n")
    return path


@pytest.fixture(scope="module")
def model(trained, corpus, tmp_path_factory):
    """A trigram model in the vocabulary of the trained run."""
    path = tmp_path_factory.mktemp("models") / "kn3.model"
    words = open_run(trained).vocabulary
    ngrams.train(encode_text(str(corpus), words), words, 3).save(path)
    return path


def last_line(outcome):
    assert outcome.code == 0, outcome
    return json.loads(outcome.out.splitlines()[-1])


def test_a_table_of_a_run_and_n_grams_and_their_mixture(trained, model, corpus, other_text, tmp_path, rnnlm):
    out = tmp_path / "out"
    out.mkdir()
    options = ["--data", other_text, "--tune", corpus, "--mix", "--cache", "--mix", "run,kn3"]
    files = ["--markdown", out / "table.md", "--json", out / "table.json"]
    outcome = rnnlm("compare", trained, model, *options, *files)
    assert outcome.code == 0, outcome
    found = json.loads((out / "table.json").read_text())
    rows = {row["name"]: row for row in found["rows"]}
    assert rows.keys() == {"run", "kn3", "run + kn3", "run + kn3 + cache"}
    assert [row["perplexity"] for row in found["rows"]] == sorted(row["perplexity"] for row in found["rows"])
    for name, row in rows.items():
        assert f"{row['perplexity']:.2f}" in next(
            line for line in outcome.out.splitlines() if line.startswith(f"{name}  ")
        )
        assert name in (out / "table.md").read_text()

    # each figure is that of the model's own command
    assert rows["run"]["perplexity"] == last_line(rnnlm("eval", trained, "--data", other_text, "--json"))["perplexity"]
    theirs = last_line(rnnlm("ngram", "eval", model, "--data", other_text, "--json"))
    assert rows["kn3"]["perplexity"] == theirs["perplexity"]
    assert (found["tokens"], found["oov"], found["policy"]) == (theirs["tokens"], theirs["oov"], theirs["policy"])

    # the mixture is the one that the texts' nats give
    run, counted = open_run(trained), ngrams.load(model)

    def nats(path):
        text = encode_text(str(path), run.vocabulary)
        return np.stack([text_nll(run.model, run.params, text, run.vocabulary), counted.token_nll(text)])

    fitted = fit_weights(nats(corpus))
    mixed = mixture_nll(nats(other_text), fitted.weights)
    assert rows["run + kn3"]["perplexity"] == pytest.approx(math.exp(mixed.mean()), rel=1e-9)
    weights = next(each for each in found["mixtures"] if each["name"] == "run + kn3")["weights"]
    assert list(weights.values()) == pytest.approx(fitted.weights.tolist(), rel=1e-6)

    # what the folders know
    metrics = [json.loads(line) for line in RunFolder(trained).metrics.read_text().splitlines()]
    assert rows["run"]["training_seconds"] == metrics[-1]["seconds"]
    assert rows["run"]["training_tokens_per_second"] == metrics[-1]["tokens_per_second"]
    assert rows["run"]["parameters"] == json.loads(RunFolder(trained).results.read_text())["parameters"]
    assert rows["kn3"]["training_seconds"] is None
    assert rows["run"]["horizon"] is None


def test_horizons_are_read_from_the_runs_folder(run, corpus, rnnlm):
    opened = open_run(run)
    step = opened.position.step
    summary = {
        "run_id": opened.identity.run_id,
        "step": step,
        "largest_lag": 50,
        "horizons": {"hidden": {"1%": 3}, "inputs": {"1%": 17}},
    }
    (run / "far").mkdir()
    (run / "far" / "jacobians.json").write_text(json.dumps(summary))
    compared = ["compare", run, "--data", corpus, "--json"]
    assert last_line(rnnlm(*compared))["rows"][0]["horizon"] == "17"
    summary["horizons"] = {"cell": {"1%": None}}
    (run / "jacobians.json").write_text(json.dumps(summary))
    assert last_line(rnnlm(*compared))["rows"][0]["horizon"] == ">50 (cell)"
    (run / "far" / "jacobians.json").write_text("{")
    for other in ({"step": step + 1}, {"run_id": "another"}):  # of another checkpoint, and of another run
        (run / "jacobians.json").write_text(json.dumps(summary | other))
        assert last_line(rnnlm(*compared))["rows"][0]["horizon"] is None
    elsewhere = run.parent / "horizons"
    (elsewhere / run.name).mkdir(parents=True)
    (elsewhere / run.name / "jacobians.json").write_text(json.dumps(summary | {"largest_lag": 7}))
    assert last_line(rnnlm(*compared, "--horizons", elsewhere))["rows"][0]["horizon"] == ">7 (cell)"


def test_dynamic_evaluation_in_a_table_and_alone(trained, corpus, other_text, rnnlm):
    options = ["--dynamic", "sgd", "--dynamic-rate", "0.3", "--dynamic-segment", "4"]
    rows = last_line(rnnlm("compare", trained, "--data", other_text, *options, "--json"))["rows"]
    found = {row["name"]: row["perplexity"] for row in rows}
    alone = last_line(rnnlm("eval", trained, "--data", other_text, *options, "--json"))
    assert found["run dynamic"] == alone["perplexity"]
    assert alone["dynamic"] == {"rule": "sgd", "rate": 0.3, "decay": 0.0, "epsilon": 0.0, "segment": 4}
    run = open_run(trained)
    text = encode_text(str(other_text), run.vocabulary)
    nats = dynamic_nll(run.model, run.params, text, run.vocabulary, rule=dynamic_rule("sgd", rate=0.3, segment=4))
    assert alone["perplexity"] == pytest.approx(math.exp(nats.mean()), rel=1e-12)
    assert found["run"] != pytest.approx(found["run dynamic"], rel=1e-4)

    static = last_line(rnnlm("eval", trained, "--data", other_text, "--json"))
    assert found["run"] == static["perplexity"]
    options[3] = "0"
    still = last_line(rnnlm("eval", trained, "--data", other_text, *options, "--json"))
    assert still["perplexity"] == pytest.approx(static["perplexity"], rel=1e-6)  # float32, other windows
    outcome = rnnlm("eval", trained, "--data", other_text, "--dynamic", "rms", "--dynamic-batches", "2", "--json")
    assert last_line(outcome)["dynamic"]["rule"] == "rms"
    assert "dynamic rms, rate 5e-05" in outcome.out


def test_a_neural_cache(trained, other_text, rnnlm):
    found = last_line(rnnlm("eval", trained, "--data", other_text, "--cache", "20", "--cache-weight", "0.3", "--json"))
    run = open_run(trained)
    text = encode_text(str(other_text), run.vocabulary)
    own = text_nll(run.model, run.params, text, run.vocabulary)
    nats = mixture_nll(np.stack([own, neural_cache(run, 20, 0.3).token_nll(text)]), np.array([0.7, 0.3]))
    assert found["perplexity"] == pytest.approx(math.exp(nats.mean()), rel=1e-9)
    assert found["cache"] == {"window": 20, "flatness": 0.3, "weight": 0.3}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tune", "x.txt"], "--tune is for mixtures"),
        (["--mix"], "--mix needs a text to fit weights on"),
        (["--mix", "--tune", "DATA"], "two models or more"),
        (["--mix", "run,kn9", "--tune", "DATA"], "no model 'kn9' to mix"),
        (["--cache", "--tune", "DATA"], "would be tested on the same text"),
        (["--dynamic-rate", "0.1"], "--dynamic-rate needs --dynamic"),
        (["--dynamic-batches", "2"], "--dynamic-batches needs --dynamic"),
        (["--dynamic", "rms", "--dynamic-batches", "0"], "--dynamic-batches must be 1 or more"),
        (["--dynamic", "sgd", "--dynamic-rate", "-1"], "rate of dynamic evaluation must be 0 or more"),
        (["--dynamic", "adam"], "invalid choice"),
        (["--markdown", "nowhere/table.md"], "cannot find the folder nowhere"),
        (["--markdown", "."], "is a folder"),
        (["--markdown", "/dev/null"], "/dev/null is a device"),
        (["--markdown", "DATA"], "is read or written already"),
        (["--markdown", "table.json", "--json", "table.json"], "table.json is read or written already"),
        (["--json", "nowhere/table.json"], "cannot find the folder nowhere"),
        (["--json", "table"], "must end in .json"),
        (["--horizons", "nowhere"], "cannot find the folder nowhere"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_compare_refuses_impossible_options(trained, corpus, refuse, options, said):
    before = everything(trained)
    refuse("compare", trained, "--data", corpus, *[corpus if o == "DATA" else o for o in options], saying=said)
    assert everything(trained) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dynamic", "sgd", "--cache", "9"], "do not go together"),
        (["--dynamic", "sgd", "--streams", "2"], "one continuous stream"),
        (["--cache", "9", "--streams", "2"], "one continuous stream"),
        (["--cache", "0"], "1 word or more"),
        (["--cache", "9", "--cache-flatness", "-1"], "flatness of a cache must be 0 or more"),
        (["--cache", "9", "--cache-weight", "1"], "--cache-weight must be 0 or more and below 1"),
        (["--cache-weight", "0.5"], "--cache-weight needs --cache"),
        (["--dynamic-segment", "4"], "--dynamic-segment needs --dynamic"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_eval_refuses_impossible_options(trained, corpus, refuse, options, said):
    refuse("eval", trained, "--data", corpus, *options, saying=said)


def test_models_that_cannot_be_compared(trained, run, model, corpus, tmp_path, refuse):
    data = ["--data", corpus]
    refuse("compare", tmp_path / "nothing", *data, saying="no model at")
    refuse("compare", trained, tmp_path, *data, saying="holds no run")
    refuse("compare", trained, f"{trained}/../run", *data, saying="is given twice")
    refuse("compare", trained, corpus, *data, saying="neither a model file")
    (tmp_path / "damaged.model").write_bytes(model.read_bytes()[:-100])
    refuse("compare", trained, tmp_path / "damaged.model", *data, saying="damaged")
    (tmp_path / "empty.txt").write_text("\n")
    refuse("compare", trained, "--data", tmp_path / "empty.txt", saying="empty")
    refuse("compare", model, *data, "--dynamic", "sgd", saying="--dynamic is for trained runs")

    (tmp_path / "tongue.txt").write_text("a cat and a dog\n" * 3)
    words = ngrams_of(tmp_path / "tongue.txt", tmp_path / "other.model")
    message = refuse("compare", trained, tmp_path / "other.model", *data, saying="run and other cannot be compared")
    assert f"and {words} types" in message


def ngrams_of(text, path):
    from rnnlm_jax.data import build_vocabulary

    words = build_vocabulary(text.read_text().splitlines(), "word")
    ngrams.train(encode_text(str(text), words), words, 2).save(path)
    return words.size


def test_parameters_that_are_not_finite(run, corpus, tmp_path, refuse):
    opened = open_run(run)
    where = RunFolder(run).checkpoints("best")
    shutil.rmtree(where)
    broken = jax.tree.map(lambda p: p * np.nan, opened.params)
    CheckpointFolder(where).save({"params": broken}, opened.position, opened.identity)
    written = tmp_path / "table.md"
    refuse("compare", run, "--data", corpus, "--markdown", written, saying="the parameters of run are not finite")
    assert not written.exists()


def test_two_runs_of_one_name(trained, run, corpus, rnnlm):
    rows = last_line(rnnlm("compare", trained, run, "--data", corpus, "--json"))["rows"]
    assert sorted(row["name"] for row in rows) == sorted([str(trained), str(run)])

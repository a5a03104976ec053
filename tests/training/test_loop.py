"""The training loop: skipped steps, stopping, metrics, and reading each batch once."""

import dataclasses
import hashlib
import json
import math
import sys

import jax
import numpy as np
import optax
import pytest

from rnnlm_jax.cli.main import main
from rnnlm_jax.config import replace
from rnnlm_jax.data import StreamBatches
from rnnlm_jax.errors import ConfigError, TrainingError
from rnnlm_jax.evaluation.perplexity import evaluate
from rnnlm_jax.jobs.run_folder import START, RunFolder, open_run
from rnnlm_jax.plotting import read_metrics
from rnnlm_jax.training import metrics
from rnnlm_jax.training.loop import Trainer
from rnnlm_jax.training.texts import load_texts
from rnnlm_jax.training.train import train
from tests.training.tiny import assert_same_bits, last_checkpoint, tiny_config


def test_a_diverging_run_stops_with_an_error_that_says_where(corpus, tmp_path, capsys):
    run = tmp_path / "run"
    config = tiny_config(
        corpus,
        optimizer={"optimizer": "sgd", "learning_rate": 3e38, "clip_norm": None},  # almost the largest float32
        training={"epochs": 1, "max_bad_steps": 3, "log_every": 1, "checkpoint_every": 1},
    )
    with pytest.raises(TrainingError) as raised:
        train(config, run)
    message = str(raised.value)
    for part in ("not finite for 3 steps in a row", "learning rate 3e+38", "gradient norm", "lower `learning_rate`"):
        assert part in message
    records = read_metrics(RunFolder(run).metrics)
    assert records[-1]["kind"] == "stop"
    assert f"stopped at step {records[-1]['step']}:" in message
    assert [record["skipped"] for record in records[-4:]] == [1, 2, 3, 3]
    assert all(record["perplexity"] is None for record in records[-4:-1])  # not a number that looks like a result
    state, position = last_checkpoint(run)  # of the last finite step
    assert position.step == records[-1]["step"] - 3
    assert int(state.skipped) == 0
    # The command prints the same error in one line, with the names of options.
    code = main(["train", "--run", str(run), "--resume"])
    assert code == 2
    printed = capsys.readouterr().err.split("\r")[-1]
    assert printed.startswith("rnnlm-jax: error: ") and printed.count("\n") == 1
    assert message.split(" (")[0] in printed


def test_single_bad_steps_are_skipped(corpus, tmp_path, monkeypatch):
    """The loss of every third step is NaN; training continues, as two in a row never occur."""
    run, make = tmp_path / "run", Trainer.__init__

    def poisoned(trainer, *arguments, **named):
        make(trainer, *arguments, **named)
        honest = trainer.train_step

        def step(state, batch):
            if int(state.step) % 3 != 2:
                return honest(state, batch)
            whole = jax.tree.map(np.array, state)
            broken = whole._replace(params=whole.params._replace(embedding=whole.params.embedding * np.nan))
            after, info = honest(broken, batch)
            return after._replace(params=whole.params), info

        trainer.train_step = step

    monkeypatch.setattr(Trainer, "__init__", poisoned)
    reports = []
    config = tiny_config(corpus, training={"epochs": 2, "max_bad_steps": 2, "log_every": 1})
    results = train(config, run, report=reports.append)
    assert [report.skipped for report in reports] == [report.step // 3 for report in reports]
    assert reports[0].skipped > 2
    assert math.isfinite(results.test.perplexity)
    assert all(math.isfinite(report.train_perplexity) for report in reports)


def test_a_job_whose_validations_are_all_not_finite_is_an_error(corpus, tmp_path):
    """An optimiser may make parameters that are not finite of a finite gradient."""
    config = tiny_config(corpus, training={"steps": 3})
    with pytest.raises(TrainingError, match=r"after step 3 without a validation whose loss is finite \(2 steps were"):
        train(config, tmp_path / "run", optimizer=optax.scale(math.nan))
    assert not RunFolder(tmp_path / "run").results.exists()


def test_a_finite_validation_loss_beats_one_that_is_not_finite(corpus, tmp_path, monkeypatch):
    """The first epoch's validation loss is NaN, so the second epoch is the best."""
    from rnnlm_jax.training import loop

    calls = []

    def broken_once(*arguments, **named):
        found = evaluate(*arguments, **named)
        calls.append(found)
        return found if len(calls) > 1 else type(found)(math.nan, found.tokens, 0, found.characters, found.policy)

    monkeypatch.setattr(loop, "evaluate", broken_once)
    run = tmp_path / "run"
    results = train(tiny_config(corpus, training={"epochs": 2}), run)
    assert len(calls) == 2
    assert open_run(run).position.epoch == 2
    assert results.valid.nll == pytest.approx(calls[1].nll, rel=1e-12)


def test_the_figures_of_an_epoch_are_those_of_its_steps(corpus, tmp_path):
    run, reports = tmp_path / "run", []
    config = tiny_config(corpus, training={"epochs": 2, "log_every": 1})
    train(config, run, report=reports.append)
    texts = load_texts(config.data)
    steps = len(StreamBatches(texts.train.tokens, 2, 10))
    records = read_metrics(RunFolder(run).metrics)
    assert [r["step"] for r in records if r["kind"] == "step"] == list(range(1, 2 * steps + 1))
    assert [r["step"] for r in records if r["kind"] == "validation"] == [steps, 2 * steps]
    for epoch, report in enumerate(reports):
        mine = [r for r in records if r["kind"] == "step" and r["epoch"] == epoch]
        assert len(mine) == steps
        batches = StreamBatches(texts.train.tokens, 2, 10)
        tokens = [int(batch.mask.sum()) for batch in batches]
        assert sum(tokens) == len(texts.train)  # each token is a target once
        nats = sum(r["nats_per_token"] * n for r, n in zip(mine, tokens, strict=True))
        assert report.train_perplexity == pytest.approx(math.exp(nats / len(texts.train)), rel=1e-9)
    assert reports[1].train_perplexity < reports[0].train_perplexity
    assert reports[1].valid.nll < reports[0].valid.nll


def test_figures_of_several_steps_are_means_over_their_tokens(corpus, tmp_path):
    one, five = tmp_path / "one", tmp_path / "five"
    for run, every in ((one, 1), (five, 5)):
        train(tiny_config(corpus, training={"epochs": 1, "log_every": every}), run)
    fine, coarse = ([r for r in read_metrics(RunFolder(run).metrics) if r["kind"] == "step"] for run in (one, five))
    assert coarse[0]["step"] == 5
    assert coarse[0]["nats_per_token"] == pytest.approx(np.mean([r["nats_per_token"] for r in fine[:5]]), rel=1e-6)
    assert coarse[0]["grad_norm"] == pytest.approx(np.mean([r["grad_norm"] for r in fine[:5]]), rel=1e-6)
    assert coarse[0]["grad_norm_max"] == max(r["grad_norm"] for r in fine[:5])
    assert len(coarse) == len(fine) // 5


def test_the_logged_gradient_norm_is_that_before_clipping(corpus, tmp_path):
    norms = []
    for number, clip in enumerate((None, 1e-3)):
        run = tmp_path / str(number)
        train(tiny_config(corpus, optimizer={"clip_norm": clip}, training={"epochs": 1, "log_every": 1}), run)
        norms.append(read_metrics(RunFolder(run).metrics)[0]["grad_norm"])
    assert norms[0] == norms[1] > 1e-2


def test_equal_seeds_give_equal_runs_and_others_do_not(corpus, tmp_path):
    config = tiny_config(corpus, model={"dropout_output": 0.3}, training={"epochs": 1})
    states = []
    for number, seed in enumerate((0, 0, 1)):
        train(replace(config, training={"seed": seed}), tmp_path / str(number))
        states.append(last_checkpoint(tmp_path / str(number))[0])
    assert_same_bits(states[0], states[1])
    assert not np.array_equal(states[0].params.embedding, states[2].params.embedding)


def test_every_number_is_written_to_tensorboard(corpus, tmp_path):
    proto = pytest.importorskip("tensorboardX.proto.event_pb2")
    run = tmp_path / "run"
    train(tiny_config(corpus, training={"epochs": 1, "log_every": 2, "tensorboard": True}), run)
    (path,) = (run / "tensorboard").iterdir()
    scalars = {}
    for raw in tf_records(path.read_bytes()):
        event = proto.Event.FromString(raw)
        for value in event.summary.value:
            scalars[value.tag, event.step] = value.simple_value
    for record in read_metrics(RunFolder(run).metrics):
        for name in ("grad_norm", "nats_per_token", "valid_perplexity", "learning_rate"):
            if name in record:
                assert scalars[f"{record['kind']}/{name}", record["step"]] == pytest.approx(record[name], rel=1e-6)
    assert ("validation/valid_perplexity", record["step"]) in scalars


def tf_records(content):
    """Yield the records: each has its length (8 bytes), a checksum (4), the record, and its checksum (4)."""
    while content:
        length = int.from_bytes(content[:8], "little")
        yield content[12 : 12 + length]
        content = content[16 + length :]


def test_a_run_does_not_begin_without_tensorboard(corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match=r"pip install rnnlm_jax\[tensorboard\]"):
        train(tiny_config(corpus, training={"tensorboard": True}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_incomplete_lines_of_metrics_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"kind": "step", "step": step}) for step in (1, 2, 3)]
    path.write_text("\n".join(lines) + '\n{"kind": "st')  # cut off by a kill
    counted = "".join(line + "\n" for line in lines[:2])
    at = dataclasses.replace(START, step=2, records=2, records_digest=hashlib.sha256(counted.encode()).hexdigest())
    writer = metrics.JsonLines(path, "1f", at)
    writer.write({"kind": "step", "step": 3, "loss": math.inf})
    writer.close()
    assert path.read_text().splitlines() == [
        *lines[:2],
        '{"kind": "step", "step": 3, "loss": null, "run_id": "1f"}',
    ]

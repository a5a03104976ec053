"""Jobs counted in steps: killed and resumed, stopped early, averaged; options that a resumed one must not change."""

import json
import os
import random
import signal
import subprocess
import time

import jax
import numpy as np
import optax
import pytest

from rnnlm_jax.cli.main import main
from rnnlm_jax.config import replace
from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.checkpoints import CheckpointFolder
from rnnlm_jax.jobs.run_folder import RunFolder, open_run
from rnnlm_jax.training.train import train
from tests.training.tiny import (
    TINY,
    TRAINING_PROGRAM,
    assert_same_bits,
    assert_same_run,
    last_checkpoint,
    no_learning_curves,
    records,
    tiny_config,
)

STEPS = 500
OWN_LION = """\
import jax, jax.numpy as jnp, optax

def lion(schedule, b1=0.9, b2=0.99):
    def init(params):
        return (jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(gradient, state, params=None):
        count, m = state
        rate = schedule(count)
        moved = jax.tree.map(lambda g, m: -(rate * jnp.sign(b1 * m + (1 - b1) * g)).astype(g.dtype), gradient, m)
        m = jax.tree.map(lambda g, m: b2 * m + (1 - b2) * g, gradient, m)
        return moved, (count + 1, m)

    return optax.GradientTransformation(init, update)
"""
JOB = [
    *("--steps=500", "--schedule=cosine", "--schedule-options=warmup_steps=50", "--accumulate=4", "--batch-size=8"),
    *(
        "--average=ema",
        "--average-options=decay=0.99",
        "--valid-every=90 steps",
        "--log-every=20",
        "--dropout-output=0.2",
    ),
]


@pytest.fixture(autouse=True)
def _as_users_train():
    """Use float32, and draw no figures."""
    with jax.enable_x64(False), no_learning_curves():
        yield


def test_a_job_killed_three_times_ends_with_the_same_bits(corpus, tmp_path):
    """Warm-up and cosine, accumulation, an exponential average, a rule of the user, dropout."""
    (tmp_path / "own.py").write_text(OWN_LION)
    options = [*TINY, *JOB, f"--optimizer={tmp_path / 'own.py'}:lion", "--learning-rate=0.003", f"--data={corpus}"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "0"}

    def start(run, *more):
        command = [*TRAINING_PROGRAM, "train", *options, f"--run={run}", "--resume-or-start", *more]
        return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with start(whole, "--checkpoint-every=200") as process:
        assert process.wait() == 0, process.stderr.read().decode()
    targets = sorted(random.sample(range(20, STEPS - 20), 3))
    print(f"killed after steps {targets}")  # shown when the test fails
    last = CheckpointFolder(RunFolder(killed).checkpoints("last"))
    for target in targets:
        with start(killed, "--checkpoint-every=9") as process:
            deadline = time.monotonic() + 120
            while process.poll() is None and max(last.steps(), default=0) < target and time.monotonic() < deadline:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL, process.stderr.read().decode()
    assert not RunFolder(killed).results.exists()
    with start(killed, "--checkpoint-every=200") as process:
        assert process.wait() == 0, process.stderr.read().decode()
    assert_same_run(killed, whole)
    validations = [record for record in records(whole) if record["kind"] == "validation"]
    assert [record["step"] for record in validations] == [90, 180, 270, 360, 450, 500]
    assert all(record["averaged"] for record in validations)
    state, position = last_checkpoint(whole)
    assert (position.step, int(state.average.num_updates)) == (STEPS, STEPS)


def test_rates_of_the_records_are_those_of_the_schedule(corpus, tmp_path):
    config = tiny_config(
        corpus,
        optimizer={"schedule": "cosine", "schedule_options": (("warmup_steps", 5),), "learning_rate": 0.1},
        training={"steps": 20, "log_every": 1, "valid_every": 8},
    )
    train(config, tmp_path / "run")
    found = [record["learning_rate"] for record in records(tmp_path / "run") if record["kind"] == "step"]
    n = np.arange(20)
    wanted = np.where(n < 5, 0.1 * n / 5, 0.05 * (1 + np.cos(np.pi * (n - 5) / 15)))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-9)
    steps = [record["step"] for record in records(tmp_path / "run") if record["kind"] == "validation"]
    assert steps == [8, 16, 20]


def test_accumulated_parts_give_the_run_of_the_whole_batch(corpus, tmp_path):
    losses = []
    for parts in (1, 4):
        config = tiny_config(
            corpus,
            data={"corpus": str(corpus), "batch_size": 8, "bptt": 5},
            optimizer={"accumulate": parts, "optimizer": "sgd", "learning_rate": 1.0},
            training={"steps": 30, "log_every": 10},
        )
        train(config, tmp_path / str(parts))
        losses.append([r["nats_per_token"] for r in records(tmp_path / str(parts)) if r["kind"] == "step"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert losses[0][-1] < losses[0][0]


def test_training_stops_early_and_a_resumed_run_does_not_go_on(corpus, tmp_path):
    config = tiny_config(
        corpus,
        optimizer={"optimizer": "sgd", "learning_rate": 30.0, "clip_norm": None},
        training={"steps": 2000, "valid_every": "5 steps", "early_stop": 3},
    )
    reports = []
    results = train(config, tmp_path / "run", report=reports.append)
    assert results.steps < 2000
    best = min(range(len(reports)), key=lambda k: reports[k].valid.nll)
    assert best == len(reports) - 4
    assert reports[-1].ends.startswith("3 validations in a row")
    again = train(config, tmp_path / "run", resume=True, report=reports.append)
    assert again.steps == results.steps


def test_the_rate_falls_on_a_plateau_and_survives_a_stop(corpus, tmp_path):
    config = tiny_config(
        corpus,
        optimizer={
            "optimizer": "sgd",
            "learning_rate": 20.0,
            "clip_norm": None,
            "schedule": "plateau",
            "schedule_options": (("factor", 0.5), ("patience", 1), ("warmup_steps", 3)),
        },
        training={"steps": 60, "valid_every": 5, "log_every": 5},
    )
    train(config, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(report):
        raise Stop

    for k in range(12):
        with pytest.raises(Stop):
            train(config, tmp_path / "stopped", resume=k > 0, report=stop)
    train(config, tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")
    validations = [r for r in records(tmp_path / "whole") if r["kind"] == "validation"]
    rate, best = 20.0, np.inf
    for record in validations:
        assert record["learning_rate"] == pytest.approx(rate, rel=1e-6)
        rate, best = (rate if record["valid_nats"] < best else rate / 2), min(best, record["valid_nats"])
    assert rate < 20.0


def test_nt_asgd_validates_the_mean_of_the_parameters_since_its_trigger(corpus, tmp_path):
    config = tiny_config(
        corpus,
        optimizer={
            "optimizer": "sgd",
            "learning_rate": 5.0,
            "clip_norm": None,
            "average": "nt-asgd",
            "average_options": (("interval", 1),),
        },
        training={"steps": 80, "valid_every": 4},
    )
    train(config, tmp_path / "run")
    validations = [r for r in records(tmp_path / "run") if r["kind"] == "validation"]
    losses = [r["valid_nats"] for r in validations]
    trigger = next(k for k in range(len(losses)) if k > 1 and losses[k] > min(losses[: k - 1]))
    averaged = [r["averaged"] for r in validations]
    assert averaged == [k > trigger for k in range(len(losses))]
    state, _ = last_checkpoint(tmp_path / "run")
    assert int(state.average.num_updates) == 80 - validations[trigger]["step"]
    best = open_run(tmp_path / "run")
    if best.position.best_step == 80:
        assert_same_bits(best.params, state.average.params)


def test_a_given_transformation_is_used_as_it_is(corpus, tmp_path):
    config = tiny_config(corpus, training={"steps": 12, "log_every": 1})
    rule = optax.chain(optax.clip_by_global_norm(5.0), optax.adam(0.01))
    train(config, tmp_path / "given", optimizer=rule)
    train(config, tmp_path / "named")
    assert_same_bits(last_checkpoint(tmp_path / "named")[0].params, open_run(tmp_path / "given", "last").params)
    assert {r["learning_rate"] for r in records(tmp_path / "given")} == {None}
    with pytest.raises(
        UserError, match="a transformation that a program made: pass it to rnnlm_jax.training.train again"
    ):
        train(replace(config, optimizer={"optimizer": "given"}), tmp_path / "given", resume=True)


def test_the_schedule_of_a_job_is_drawn_without_training(corpus, tmp_path, capsys):
    figure = tmp_path / "rate.png"
    options = ["--data", str(corpus), "--schedule=linear", "--steps=30", "--learning-rate=0.5"]
    assert main(["train", *options, "--plot-schedule", str(figure)]) == 0
    assert "30 steps, " in capsys.readouterr().out
    assert figure.stat().st_size > 1000
    assert main(["train", *options, "--plot-schedule", str(tmp_path / "rate.txt")]) == 2
    assert "must end in .png, .pdf, .svg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"steps": 40}}, "`steps` 40: the schedule 'cosine' is that of a job of 20 steps"),
        ({"training": {"valid_every": 3}}, "cannot resume with `valid_every` 3"),
        ({"optimizer": {"optimizer": "lion"}}, "cannot resume with `optimizer` lion: the run was begun with adam"),
        ({"optimizer": {"schedule": "linear"}}, "cannot resume with `schedule` linear"),
    ],
    ids=["steps", "valid_every", "optimizer", "schedule"],
)
def test_what_changes_the_numbers_of_a_job_is_refused(short_job, changes, message):
    config, run = short_job
    with pytest.raises(UserError, match=message):
        train(replace(config, **changes), run, resume=True)


@pytest.fixture(scope="module")
def short_job(corpus, tmp_path_factory):
    config = tiny_config(corpus, optimizer={"schedule": "cosine"}, training={"steps": 20, "early_stop": 9})
    run = tmp_path_factory.mktemp("short") / "run"
    with jax.enable_x64(False), no_learning_curves():
        train(config, run)
    return config, run


def test_another_source_of_the_optimiser_is_refused(corpus, tmp_path):
    own = tmp_path / "own.py"
    own.write_text(OWN_LION)
    config = tiny_config(corpus, optimizer={"optimizer": f"{own}:lion"}, training={"steps": 4})
    train(config, tmp_path / "run")
    own.write_text(OWN_LION.replace("b1=0.9", "b1=0.8"))
    with pytest.raises(UserError, match="own.py was changed since the run was begun"):
        train(config, tmp_path / "run", resume=True)
    assert json.loads(RunFolder(tmp_path / "run").results.read_text())["steps"] == 4

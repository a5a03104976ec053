"""Use of time, by a clock that the test sets: shares by hand, their sum, and time lost to restarts."""

import json
import types

import pytest

from rnnlm_jax.config import replace
from rnnlm_jax.jobs.run_folder import RunFolder
from rnnlm_jax.training import time_use
from rnnlm_jax.training.loop import Trainer
from rnnlm_jax.training.step_clock import StepTime
from rnnlm_jax.training.time_use import TimeUse, describe_time_use, last_seconds_running
from rnnlm_jax.training.train import train
from tests.training.tiny import last_checkpoint, tiny_config


@pytest.fixture
def clock(monkeypatch):
    """The current time: call it to let seconds pass. Unix time is a thousand seconds ahead."""
    now = [0.0]

    def passes(seconds):
        now[0] += seconds

    times = types.SimpleNamespace(perf_counter=lambda: now[0], time=lambda: 1000.0 + now[0])
    monkeypatch.setattr(time_use, "time", times)
    return passes


def train_four_steps(use, clock):
    """Seven seconds before the first batch, a first step of five, three steps, validation and a checkpoint."""
    clock(7.0)
    for number, (seconds, waited) in enumerate([(5.0, 0.0), (2.0, 0.0), (2.0, 0.5), (3.0, 0.0)]):
        feed = use.inputs([number])
        assert next(feed) == number
        assert use.activity == "steps"
        if number == 3:
            use._listen("/jax/core/compile/backend_compile_duration", 1.0)
            use._listen("/jax/core/compile/jaxpr_trace_duration", 50.0)
        clock(seconds)
        use.add_step(StepTime(seconds, waited))
    with use.during("validation"):
        clock(4.0)
        use._listen("/jax/core/compile/backend_compile_duration", 1.0)  # belongs to validation
        with use.during("checkpoint"):
            clock(1.0)
        clock(2.0)
        with use.during("metrics"):  # other
            clock(0.25)
    clock(0.75)


EXPECTED = {
    "steps": 2.0 + 1.5 + 2.0,
    "input": 0.5,
    "validation": 6.0,
    "spectra": 0.0,
    "checkpoint": 1.0,
    "startup": 7.0 + 5.0 + 1.0,
    "lost": 0.0,
    "other": 1.0,
}


def test_shares_are_those_computed_by_hand(clock):
    use = TimeUse()
    train_four_steps(use, clock)
    assert use.sums() == pytest.approx(EXPECTED | {"begun": 1000.0})
    assert use.seconds_running == pytest.approx(27.0)
    figures = use.figures()
    assert figures["goodput"] == pytest.approx(5.5 / 27)
    assert figures["time_share_startup"] == pytest.approx(13 / 27)
    shares = [share for name, share in figures.items() if name.startswith("time_share")]
    assert figures["goodput"] + sum(shares) == pytest.approx(1.0)
    assert figures["seconds_down"] == 0.0
    use.close()
    use.close()


def test_time_lost_to_restarts_counts_once(clock):
    first = TimeUse()
    train_four_steps(first, clock)  # 27 s, and then a checkpoint
    sums = first.sums()
    clock(10.0)  # the last line of metrics was written 10 s later; then the process was killed
    clock(100.0)  # nobody noticed
    second = TimeUse()
    second.resume(sums, 37.0)
    assert second.seconds_running == pytest.approx(37.0)
    assert second.sums()["lost"] == pytest.approx(10.0)
    assert second.figures()["seconds_down"] == pytest.approx(100.0)
    clock(3.0)
    assert second.sums() == pytest.approx(EXPECTED | {"lost": 10.0, "startup": 16.0, "begun": 1000.0})
    # Killed again before a checkpoint: the same one is resumed from, and all of this process is lost, too.
    clock(50.0)
    third = TimeUse()
    third.resume(sums, 40.0)
    figures = third.figures()
    assert third.sums()["lost"] == pytest.approx(13.0)
    assert figures["seconds_running"] == pytest.approx(40.0)
    assert figures["seconds_down"] == pytest.approx(150.0)
    assert figures["goodput"] == pytest.approx(5.5 / 40)
    assert "goodput" in describe_time_use(figures)
    assert "32.5 % lost to restarts" in describe_time_use(figures)
    assert "2.5 more without a process" in describe_time_use(figures)


def test_a_run_without_a_checkpoint_has_lost_everything(clock):
    use = TimeUse()
    use.resume(None, 30.0)
    clock(10.0)
    assert use.sums() == pytest.approx(dict.fromkeys(EXPECTED, 0.0) | {"lost": 30.0, "startup": 10.0, "begun": 970.0})
    assert use.figures()["seconds_down"] == 0.0
    unknown = TimeUse()
    unknown.resume(None, None)
    assert unknown.seconds_running == 0.0


def test_the_last_line_of_metrics_says_how_long_the_run_was_running(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert last_seconds_running(path) is None
    path.write_text('{"seconds_running": 2.5}\n{"seconds_running": 3')
    assert last_seconds_running(path) == 2.5
    path.write_text('{"seconds_running": null}\n')
    assert last_seconds_running(path) is None
    path.write_bytes(b"{\xff}\n")
    assert last_seconds_running(path) is None


def test_a_run_whose_steps_do_not_end_says_what_it_waits_for(corpus, tmp_path, capfd):
    """Here for a metrics writer that takes a second; the run goes on."""
    writer = tmp_path / "slow.py"
    writer.write_text(
        "import time\n\nclass Slow:\n    def __init__(self, run, config, step):\n        pass\n\n"
        "    def write(self, record):\n        time.sleep(record['step'] == 3 and record['kind'] == 'step')\n\n"
        "    def close(self):\n        pass\n"
    )
    options = {"epochs": 1, "log_every": 1, "watchdog": 0.3, "metrics_writer": f"{writer}:Slow"}
    train(tiny_config(corpus, training=options), tmp_path / "run")
    reports = [json.loads(line) for line in RunFolder(tmp_path / "run").watchdog.read_text().splitlines()]
    stalled = [report["message"] for report in reports if "waits for a metrics writer" in report["message"]]
    assert len(stalled) == 2  # after 0.3 and 0.6 s
    assert stalled[0].startswith("no step has ended for 0 s (the last was 3")
    assert "(training/metrics_writers.py:" in stalled[0]
    assert "goes on" in {report["kind"] for report in reports}
    assert stalled[0] in capfd.readouterr().err


def test_goodput_is_in_metrics_results_and_checkpoints_and_survives_a_crash(corpus, tmp_path, monkeypatch):
    run, config = tmp_path / "run", tiny_config(corpus, training={"epochs": 2, "log_every": 1, "checkpoint_every": 5})
    write = Trainer._write

    def crash(trainer, record):
        write(trainer, record)
        if record["step"] == 8:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_write", crash)
        train(config, run)
    _, position = last_checkpoint(run)
    assert position.step == 5
    before = sum(seconds for use, seconds in position.seconds_by_use.items() if use != "begun")
    lost = last_seconds_running(RunFolder(run).metrics) - before
    assert lost > 0
    train(config, run, resume=True)
    lines = [json.loads(line) for line in RunFolder(run).metrics.read_text().splitlines()]
    running = [record["seconds_running"] for record in lines]
    assert running == sorted(running)
    epochs = [record for record in lines if record["kind"] == "validation"]
    results = json.loads(RunFolder(run).results.read_text())["time_use"]
    for figures in (*epochs, results):
        shares = {name: share for name, share in figures.items() if name.startswith("time_share")}
        assert shares.keys() == {f"time_share_{use}" for use in EXPECTED if use != "steps"}
        assert figures["goodput"] + sum(shares.values()) == pytest.approx(1.0)
        assert 0 < figures["goodput"] < 1
        assert figures["time_share_lost"] * figures["seconds_running"] == pytest.approx(lost)
        assert figures["seconds_down"] >= 0
    assert results["seconds_running"] > epochs[-1]["seconds_running"] > before + lost
    # What is kept of it does not grow when only the results are measured again.
    train(replace(config, training={"watchdog": None}), run, resume=True)
    again = json.loads(RunFolder(run).results.read_text())["time_use"]
    assert again["time_share_lost"] * again["seconds_running"] == pytest.approx(lost)
    assert again["seconds_running"] > epochs[-1]["seconds_running"]

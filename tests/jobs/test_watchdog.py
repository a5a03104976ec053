"""The watchdog: lines when a step is late, at growing intervals, and never otherwise."""

import json
import threading
import time

import pytest

from rnnlm_jax.config import Config, check_config, replace
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jobs.watchdog import Watchdog


def wait_for(lines, count):
    deadline = time.monotonic() + 30
    while len(lines) < count:
        assert time.monotonic() < deadline, lines
        time.sleep(0.005)


@pytest.fixture
def watch(tmp_path):
    """Make watchdogs that add their lines to the list that is returned beside them."""
    made = []

    def make(limit, **options):
        lines = []
        options = {"first": 0.05, "doing": lambda: "waits for the next batch", "record": tmp_path / "w.jsonl"} | options
        made.append(Watchdog(limit, say=lines.append, **options))
        return made[-1], lines

    yield make
    for watchdog in made:
        watchdog.close()
        assert not [thread for thread in threading.enumerate() if thread is watchdog._thread]


def test_a_late_step_is_reported_at_growing_intervals_until_work_goes_on(watch, tmp_path):
    watchdog, lines = watch(0.05)
    watchdog.ended(1203, 0.04)
    watchdog.ended(1204, 0.02)
    start = time.monotonic()
    wait_for(lines, 3)
    assert time.monotonic() - start >= 0.2 - 0.01  # after 0.05, 0.1 and 0.2 s
    watchdog.ended(1205, time.monotonic() - start)
    wait_for(lines, 4)
    assert lines[0].startswith("no step has ended for 0 s (the last was 1,204, and the slowest took 0.02 s): the main ")
    assert "thread waits for the next batch" in lines[0]
    assert lines[3].startswith("step 1,205 has ended, the first for ")
    assert not any("\n" in line for line in lines)
    records = [json.loads(line) for line in (tmp_path / "w.jsonl").read_text().splitlines()]
    assert [record["message"] for record in records] == lines
    assert [record["kind"] for record in records] == ["stalled"] * 3 + ["goes on"]
    assert [record["step"] for record in records] == [1204] * 3 + [1205]


def test_the_automatic_limit_is_ten_times_the_slowest_normal_step(watch):
    watchdog, lines = watch(None, first=900.0, least=0.5)
    assert watchdog.limit == 900.0
    watchdog.ended(1, 80.0)  # with its compilation
    assert watchdog.limit == 0.5
    watchdog.ended(2, 0.2)
    watchdog.ended(3, 0.1)
    assert watchdog.limit == pytest.approx(2.0)
    watchdog.ended(4, 3.0)  # one that was late is not normal
    assert watchdog.limit == pytest.approx(2.0)
    assert lines == []


def test_the_limit_falls_from_that_of_the_first_step_at_once(watch):
    watchdog, lines = watch(0.05, first=900.0)
    time.sleep(0.1)
    assert lines == []  # the first step is being compiled
    watchdog.ended(1, 0.1)
    wait_for(lines, 1)


def test_the_first_step_has_a_line_of_its_own(watch):
    _, lines = watch(None, first=0.05, least=0.01)
    wait_for(lines, 1)
    assert lines[0].startswith("the first step has not ended after 0 s: the main thread waits for the next batch")


def test_other_work_counts_as_progress(watch):
    watchdog, lines = watch(0.2, first=0.2)
    for _ in range(30):
        time.sleep(0.01)
        watchdog.progress()
    assert lines == []
    wait_for(lines, 1)
    watchdog.progress()
    wait_for(lines, 2)
    assert lines[1].startswith("work goes on after")


@pytest.mark.parametrize("limit", ["soon", 0.0, -1.0, float("inf"), True])
def test_an_impossible_limit_is_refused(limit):
    with pytest.raises(ConfigError, match="`watchdog` (must be a positive number|cannot be True)"):
        check_config(replace(Config(), training={"watchdog": limit}))


def test_a_terminal_or_disk_that_fails_does_not_end_training(watch, tmp_path, capsys):
    def say(line):
        raise OSError("no terminal")

    watchdog = Watchdog(0.02, say=say, doing=lambda: "starts", record=tmp_path, first=0.02)
    time.sleep(0.1)
    watchdog.ended(1, 0.1)
    watchdog.close()
    assert "the watchdog cannot report (no terminal): training goes on" in capsys.readouterr().err

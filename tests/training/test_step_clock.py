"""Times of steps, by a clock that the test sets: every second belongs to one step, or to the time between two."""

import cProfile
import threading
import types

import numpy as np
import pytest

from rnnlm_jax.system.json_text import dumps
from rnnlm_jax.training import step_clock
from rnnlm_jax.training.interval_metrics import PERCENTILES, Capacity, IntervalMetrics
from rnnlm_jax.training.step_clock import StepClock, StepTime
from tests.shape_checking import unchecked


class Results:
    """Results of a step, which is running until ``done`` is set."""

    def __init__(self):
        self.done = threading.Event()

    def block_until_ready(self):
        assert self.done.wait(60)
        return self


@pytest.fixture
def now(monkeypatch):
    """The current time, as the only element of a list."""
    seconds = [0.0]
    monkeypatch.setattr(step_clock, "time", types.SimpleNamespace(perf_counter=lambda: seconds[0]))
    return seconds


def test_times_run_from_end_to_end_without_the_time_between_steps(now):
    given = iter([2.0, 4.0, 26.0, 33.0])

    def batches():
        for number in range(4):
            now[0] = next(given)
            yield number

    clock, steps = StepClock(), [Results() for _ in range(4)]
    feed = clock.over(batches())

    def dispatch(number, asked):
        now[0] = asked
        assert next(feed) == number
        clock.watch({"nats": steps[number]})

    def finish(number, at):
        now[0] = at
        steps[number].done.set()
        return clock.next_time()

    dispatch(0, asked=0.0)
    dispatch(1, asked=3.0)  # while the first is under way
    assert finish(0, at=10.0) == StepTime(10.0, 2.0)
    assert finish(1, at=15.0) == StepTime(5.0, 0.0)  # its batch arrived before the device was free
    dispatch(2, asked=20.0)  # after five seconds of validation, which belong to no step
    dispatch(3, asked=27.0)
    assert finish(2, at=30.0) == StepTime(10.0, 6.0)
    assert finish(3, at=35.0) == StepTime(5.0, 3.0)
    assert list(feed) == []
    clock.close()
    clock.close()  # a second time


def test_a_step_that_fails_is_timed_too(now):
    class Failed:
        def block_until_ready(self):
            raise RuntimeError("raised again where the results are read")

    clock = StepClock()
    next(clock.over([None]))
    now[0] = 1.0
    clock.watch(Failed())
    assert clock.next_time() == StepTime(1.0, 0.0)
    clock.close()


def test_rates_are_those_computed_by_hand():
    interval = IntervalMetrics()
    assert interval.rates(Capacity(1)) == {}
    for seconds, waited in ((1.0, 0.5), (2.0, 0.0), (5.0, 1.5)):
        interval.add(nats=20.0, tokens=40, norm=seconds, time=StepTime(seconds, waited))
    rates = interval.rates(Capacity(devices=2, flops_per_token=6.0, peak_flops=9.0))
    assert rates == pytest.approx(
        {
            "tokens_per_second": 15.0,
            "tokens_per_second_per_device": 7.5,
            "input_wait": 0.25,
            "step_ms_p50": 2000.0,
            "step_ms_p90": 4400.0,
            "step_ms_p99": 4940.0,
            "mfu": 6 * 15 / (2 * 9),
        }
    )
    assert "mfu" not in interval.rates(Capacity(2, 6.0, None))
    assert interval.figures(sampled=False)["nats_per_token"] == 0.5
    assert interval.figures(sampled=True) == {"sampled_loss": 0.5, "grad_norm": 8 / 3, "grad_norm_max": 5.0}


@pytest.mark.parametrize("steps", [1, 2, 3, 50, 101])
def test_percentiles_are_those_of_numpy(steps):
    """``np.percentile`` takes ten times as long, too long for a line of metrics at every step."""
    times, interval = np.random.default_rng(0).exponential(0.01, steps), IntervalMetrics()
    for seconds in times:
        interval.add(nats=1.0, tokens=1, norm=1.0, time=StepTime(float(seconds), 0.0))
    rates = interval.rates(Capacity(1))
    found = [rates[f"step_ms_p{p}"] for p in PERCENTILES]
    np.testing.assert_allclose(found, np.percentile(1e3 * times, PERCENTILES), rtol=1e-12)


def test_a_line_of_metrics_costs_little():
    """It must not take a noticeable part of a small model's step (2.4 ms): count its function calls."""
    interval = IntervalMetrics()
    interval.add(nats=1.0, tokens=1, norm=1.0, time=StepTime(0.002, 0.0))
    record = {"kind": "step", "step": 1} | interval.rates(Capacity(1))
    profile = cProfile.Profile()
    with unchecked():
        profile.enable()
        dumps(record | interval.figures(False) | interval.rates(Capacity(1)))
        profile.disable()
    assert sum(entry.callcount for entry in profile.getstats()) < 320  # 203

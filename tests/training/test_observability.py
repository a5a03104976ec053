"""Throughput and memory of a run, and profiler traces of chosen steps."""

from pathlib import Path

import jax
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.config import replace
from rnnlm_jax.jobs.run_folder import RunFolder
from rnnlm_jax.plotting import read_metrics
from rnnlm_jax.training import train as training
from rnnlm_jax.training.memory import StepMemory, describe_memory, step_memory
from rnnlm_jax.training.profiling import ProfiledSteps, Profiler, parse_steps
from rnnlm_jax.training.train import train
from tests.training.tiny import tiny_config

RATES = {"tokens_per_second_per_device", "input_wait", "step_ms_p50", "step_ms_p90", "step_ms_p99"}


@pytest.fixture(scope="module")
def observed(corpus, tmp_path_factory):
    """A run with a trace of its second and third step, on a device with a known peak; its folder and trainer."""
    run, trainers = tmp_path_factory.mktemp("observed") / "run", []
    config = replace(tiny_config(corpus), training={"log_every": 2})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "peak_flops", lambda kind, dtype: 1e15)
        train(config, run, start=trainers.append, profile=ProfiledSteps(2, 3))
    return run, trainers[0]


def test_every_record_has_the_rates(observed):
    run, trainer = observed
    records = read_metrics(RunFolder(run).metrics)
    assert {record["kind"] for record in records} == {"step", "validation"}
    for record in records:
        assert record.keys() >= RATES | {"mfu", "tokens_per_second"}
        assert 0 <= record["input_wait"] <= 1
        assert 0 < record["step_ms_p50"] <= record["step_ms_p90"] <= record["step_ms_p99"]
        if record["kind"] == "step":
            assert record["tokens_per_second_per_device"] == record["tokens_per_second"]  # on one device
            flops = record["mfu"] * 1e15 / record["tokens_per_second"]
            assert flops == pytest.approx(trainer.capacity.flops_per_token)
            assert trainer.capacity.flops_per_token == 3 * 2 * (8 * 8 + 8 * 8 + 8 * trainer.texts.vocabulary.size)


def test_the_requested_steps_are_traced(observed):
    run, trainer = observed
    assert trainer.profiler.done
    (trace,) = run.glob("plugins/profile/*/*.xplane.pb")
    assert b"train" in trace.read_bytes()


def test_a_profiler_knows_whether_its_steps_are_still_to_come():
    profiler = Profiler(ProfiledSteps(10, 20), Path())
    found = [profiler.overlaps(done, end) for done, end in ((0, 9), (0, 10), (15, 30), (19, 20), (20, 30))]
    assert found == [False, True, True, True, False]


def test_steps_to_trace_are_parsed():
    assert parse_steps("10:20") == ProfiledSteps(10, 20)
    assert parse_steps("7") == parse_steps("7:7") == ProfiledSteps(7, 7)
    for wrong in ("", "a", "3:", ":3", "1:2:3", "0:4", "5:4", "-1:4", "1.5"):
        with pytest.raises(UserError, match="`profile_steps` cannot be"):
            parse_steps(wrong)


def test_memory_is_that_of_the_arrays(observed):
    _, trainer = observed
    memory = step_memory(trainer.state)
    vocabulary = trainer.texts.vocabulary.size
    numbers = vocabulary * 8 + 8 * 8 + 8 * 8 + 8 + 8 * vocabulary + vocabulary
    assert memory == StepMemory(
        4 * numbers, 4 * (2 * numbers) + 2 * 4, 4 * (2 * 8) + 3 * 4
    )  # counters of Adam and of its schedule
    assert memory.total == sum(memory[:3])


def test_a_step_compiled_for_its_memory_is_not_compiled_again(corpus, tmp_path):
    compiled = []

    def compare(trainer):
        found = trainer.compiled_step()
        assert found.memory_analysis().argument_size_in_bytes >= step_memory(trainer.state).total
        jax.monitoring.register_event_duration_secs_listener(listen)
        batch = trainer.batches.epoch(0)[0]
        trainer.state, _ = trainer.train_step(trainer.state, batch)
        jax.monitoring.unregister_event_duration_listener(listen)

    def listen(event, duration, **about):
        if event.endswith("backend_compile_duration"):
            compiled.append(about)

    # A size that no other test has compiled.
    train(replace(tiny_config(corpus), model={"hidden_size": 7}), tmp_path / "run", start=compare)
    assert compiled == []


def test_memory_is_described():
    memory = StepMemory(3 * 2**30, 2**20, 0, 2**19)
    assert describe_memory(memory, 16 * 2**30) == (
        "parameters 3.00 GiB, optimiser 1.0 MiB, recurrent state 0.0 MiB, gradients and activations 0.5 MiB: "
        "3.00 GiB in all of 16.00 GiB"
    )
    assert "activations" not in describe_memory(memory._replace(temporaries=None))

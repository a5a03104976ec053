"""Twenty steps have the same losses on every mesh and in any number of processes."""

import json

import numpy as np
import pytest

from rnnlm_jax.kernels import unavailable
from tests.jobs.sharding.losses import CASES, STEPS
from tests.jobs.sharding.processes import finish, free_port, start

#: What is divided how, and what is trained there: processes, devices of each, and the losses that they write.
JOBS = {
    (1, 8): [
        "data=8:softmax",
        "data=4,model=2:softmax",
        "data=2,model=4:softmax",
        "data=4,model=2:importance",
        "data=2,model=4:adaptive",
    ],
    (2, 1): ["data=2:softmax", "data=2:adaptive"],
    (2, 4): ["data=4,model=2:softmax", "data=4,model=2:importance"],
}
PAIRS = [(job, losses) for job, each in JOBS.items() for losses in each]
pytestmark = pytest.mark.xdist_group("jobs")


def run(folder, losses, processes, devices):
    """What a job of so many processes writes."""
    file = folder / f"{processes}x{devices}.json"
    job = [["--job", f"localhost:{port}", processes, k] for port in [free_port()] for k in range(processes)]
    words = ["-m", "tests.jobs.sharding.losses", file, *losses]
    for code, out, err in finish([start([*words, *(options if processes > 1 else ())], devices) for options in job]):
        assert code == 0, out + err
    found = json.loads(file.read_text())
    assert (found["processes"], found["devices"]) == (processes, processes * devices)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What every job writes, by processes and devices; the first one also the losses of one device."""
    folder = tmp_path_factory.mktemp("losses")
    return {
        job: run(folder, [*losses, *(f"one:{output}" for output in CASES if job == (1, 8))], *job)
        for job, losses in JOBS.items()
    }


@pytest.mark.parametrize(("job", "losses"), PAIRS, ids=[f"{p} x {d} {losses}" for (p, d), losses in PAIRS])
def test_losses_do_not_depend_on_the_mesh(found, job, losses):
    ours = np.array(found[job][losses])
    one = np.array(found[1, 8][f"one:{losses.partition(':')[2]}"])
    assert ours.shape == (STEPS, 3)
    tokens = one[:, 1]
    np.testing.assert_array_equal(ours[:, 1], tokens)
    np.testing.assert_allclose(ours[:, 0] / tokens, one[:, 0] / tokens, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours[:, 2], one[:, 2], rtol=1e-5)


def test_penalties_do_not_depend_on_the_mesh(found):
    assert max(found[1, 8]["penalties"]) < 1e-5


@pytest.mark.parametrize("output", CASES)
def test_the_model_learns(found, output):
    nats = np.array(found[1, 8][f"one:{output}"])
    per_token = nats[:, 0] / nats[:, 1]
    assert per_token[-5:].mean() < per_token[:5].mean() - 0.05


def test_sharded_arrays_are_gathered_whole_in_every_process(found):
    for (processes, devices), each in found.items():
        assert each["gathers"] == [True] * sum("model" in losses for losses in JOBS[processes, devices])
    assert found[2, 4]["gathers"]


def test_tables_sharded_over_width_are_scored_without_communication_per_time_step(found):
    """With it, validation took thirty times as long."""
    results = [result for each in found.values() for result in each["scoring"]]
    assert len(results) == 2 * sum("model" in losses for each in JOBS.values() for losses in each)
    assert max(difference for difference, _ in results) < 1e-5
    assert [within for _, within in results] == [0] * len(results)


def test_kernels_run_where_the_compiler_shards_nothing(found):
    if (reason := unavailable()) is not None:
        pytest.skip(f"no native kernels: {reason}")
    for each in found.values():
        for mesh, calls in each["kernels"].items():
            assert set(calls) == {"model" not in mesh}, mesh

"""Twenty steps have the same losses on every mesh and in any number of processes."""

import json

import numpy as np
import pytest

from rnnlm_jax.native import unavailable
from tests.sharding.losses import CASES, STEPS
from tests.sharding.processes import finish, free_port, start

#: What is divided how: the mesh, processes, devices of each.
JOBS = {
    "8 x 1": ("data=8", 1, 8),
    "4 x 2": ("data=4,model=2", 1, 8),
    "2 x 4": ("data=2,model=4", 1, 8),
    "2 processes x 1 device": ("data=2", 2, 1),
    "2 processes x 4 devices": ("data=4,model=2", 2, 4),
}


def run(folder, meshes, processes, devices):
    """The losses that a job of so many processes writes."""
    file = folder / f"{processes}x{devices}.json"
    job = [["--job", f"localhost:{port}", processes, k] for port in [free_port()] for k in range(processes)]
    words = ["-m", "tests.sharding.losses", file, *meshes]
    for code, out, err in finish([start([*words, *(told if processes > 1 else ())], devices) for told in job]):
        assert code == 0, out + err
    found = json.loads(file.read_text())
    assert (found["processes"], found["devices"]) == (processes, processes * devices)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The losses of every job, and of one device."""
    folder = tmp_path_factory.mktemp("losses")
    alone = run(folder, ["one", *(mesh for mesh, processes, _ in JOBS.values() if processes == 1)], 1, 8)
    gathers, kernels = alone["gathers"], alone["kernels"]
    losses = {name: alone[mesh] for name, (mesh, processes, _) in JOBS.items() if processes == 1}
    for name, (mesh, processes, devices) in JOBS.items():
        if processes > 1:
            found = run(folder, [mesh], processes, devices)
            losses[name] = found[mesh]
            gathers += found["gathers"]
            kernels |= found["kernels"]
    return losses | {"one": alone["one"], "gathers": gathers, "kernels": kernels}


@pytest.mark.xdist_group("jobs")
@pytest.mark.parametrize("output", CASES)
@pytest.mark.parametrize("job", JOBS)
def test_losses_do_not_depend_on_the_mesh(found, job, output):
    ours, one = np.array(found[job][output]), np.array(found["one"][output])
    assert ours.shape == (STEPS, 3)
    tokens = one[:, 1]
    np.testing.assert_array_equal(ours[:, 1], tokens)
    np.testing.assert_allclose(ours[:, 0] / tokens, one[:, 0] / tokens, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours[:, 2], one[:, 2], rtol=1e-5)


def test_the_losses_are_of_a_model_that_learns(found):
    for output in CASES:
        nats = np.array(found["one"][output])
        per_token = nats[:, 0] / nats[:, 1]
        assert per_token[-5:].mean() < per_token[:5].mean() - 0.05, output


def test_divided_arrays_come_back_whole_in_every_process(found):
    assert found["gathers"] == [True] * 3


def test_kernels_run_where_the_compiler_divides_nothing(found):
    if (reason := unavailable()) is not None:
        pytest.skip(f"no native kernels: {reason}")
    for mesh, calls in found["kernels"].items():
        assert set(calls) == {"model" not in mesh}, mesh

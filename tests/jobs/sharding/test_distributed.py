"""Whether there is a job to join, and what is said where there is none."""

import jax
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.jobs import distributed
from rnnlm_jax.jobs.distributed import detected, init

SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "n[1-2]", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}


@pytest.mark.parametrize(
    ("environment", "what"),
    [
        ({}, None),
        ({"JAX_COORDINATOR_ADDRESS": "host:1"}, "JAX_COORDINATOR_ADDRESS"),
        (SLURM | {"SLURM_NTASKS": "2"}, "Slurm"),
        (SLURM | {"SLURM_NTASKS": "1"}, None),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}, None),  # inside an allocation, outside its steps
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, "TPU"),
        ({"TPU_WORKER_HOSTNAMES": "a"}, None),
        ({"MEGASCALE_COORDINATOR_ADDRESS": "a"}, "TPU"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}, "Kubernetes"),
    ],
)
def test_what_the_environment_says(environment, what):
    assert detected(environment) == what


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (("host:1", None, None), "--coordinator needs --processes and --process-id beside it"),
        ((None, 2, 0), "--processes needs --coordinator beside it"),
        (("host", 2, 0), "--coordinator must be HOST:PORT, not 'host'"),
        (("host:99999", 2, 0), "--coordinator must be HOST:PORT"),
        (("host:1", 0, 0), "--processes must be 1 or more, not 0"),
        (("host:1", 2, 2), "--process-id must be from 0 to 1, not 2"),
        (("host:1", 2, -1), "--process-id must be from 0 to 1, not -1"),
    ],
)
def test_what_cannot_be_joined(given, complaint):
    with pytest.raises(UserError, match=complaint):
        init(*given)


def test_joining_and_not_joining_at_once_is_refused():
    with pytest.raises(UserError, match="--coordinator joins a job and --no-distributed does not"):
        init("host:1", 2, 0, join=False)


def test_a_number_of_the_environment_that_is_none(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "host:1")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(UserError, match="JAX_NUM_PROCESSES must be a whole number, not 'two'"):
        init()
    assert not init(join=False)


def test_one_process_speaks_for_itself():
    assert not init()
    assert not jax.distributed.is_initialized()
    assert distributed.is_first()
    assert not distributed.several()
    assert distributed.from_first("text") == "text"
    assert distributed.in_all(lambda: 3) == 3
    assert distributed.any_process(True)
    done = []
    distributed.on_first(lambda: done.append(1))
    assert done == [1]
    with pytest.raises(UserError, match="wrong"):
        distributed.in_all(lambda: _raise())


def _raise():
    raise UserError("wrong")

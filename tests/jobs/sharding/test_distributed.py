"""Detecting a job, joining it, and agreeing between its processes; here with one process."""

import jax
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jobs import distributed
from rnnlm_jax.jobs.distributed import detect_job, join_job

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
def test_jobs_are_detected_in_the_environment(environment, what):
    assert detect_job(environment) == what


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("host:1", None, None), "`coordinator` needs `processes` and `process_id` beside it"),
        ((None, 2, 0), "`processes` needs `coordinator` beside it"),
        (("host", 2, 0), "`coordinator` must be HOST:PORT, not 'host'"),
        (("host:99999", 2, 0), "`coordinator` must be HOST:PORT"),
        (("host:1", 0, 0), "`processes` must be 1 or more, not 0"),
        (("host:1", 2, 2), "`process_id` must be from 0 to 1, not 2"),
        (("host:1", 2, -1), "`process_id` must be from 0 to 1, not -1"),
    ],
)
def test_impossible_arguments_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        join_job(*given)


def test_joining_and_not_joining_at_once_is_refused():
    with pytest.raises(UserError, match="`coordinator` joins a job, and `distributed` is switched off"):
        join_job("host:1", 2, 0, distributed=False)


def test_a_number_in_the_environment_that_is_not_one_is_refused(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "host:1")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(UserError, match="JAX_NUM_PROCESSES must be a whole number, not 'two'"):
        join_job()
    assert not join_job(distributed=False)


def test_a_single_process_agrees_with_itself():
    assert not join_job()
    assert not jax.distributed.is_initialized()
    assert distributed.is_primary()
    assert not distributed.is_multiprocess()
    assert distributed.from_primary("text") == "text"
    assert distributed.in_every_process(lambda: 3) == 3
    assert distributed.gather_texts("text") == ["text"]
    assert distributed.any_process(True)
    done = []
    distributed.on_primary(lambda: done.append(1))
    assert done == [1]
    with pytest.raises(UserError, match="wrong"):
        distributed.in_every_process(lambda: _raise())


def _raise():
    raise UserError("wrong")

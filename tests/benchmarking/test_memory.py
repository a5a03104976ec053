"""The peak memory of torch, measured by the process itself."""

import sys

import numpy as np
import pytest

from rnnlm_jax.benchmarking import memory
from rnnlm_jax.errors import UserError


def test_the_peak_is_seen_after_it_is_gone():
    if not memory.reset_peak():
        pytest.skip("this system does not tell the peak of a process")
    before = memory.resident("VmRSS")
    np.ones(8_000_000)
    assert memory.resident("VmHWM") - before > 60_000_000
    assert memory.reset_peak() and memory.resident("VmHWM") - before < 40_000_000


@pytest.mark.peers
def test_of_a_layer():
    pytest.importorskip("torch")
    torch_alone = pytest.importorskip("rnnlm_jax.benchmarking.torch_alone")
    peak = torch_alone.layer("elman-tanh", "forward", "4000x20x64", "float32")
    if peak is None:
        pytest.skip("this system does not tell the peak of a process")
    assert peak > 0.9 * 2 * 4 * 4000 * 20 * 64  # inputs and outputs at least


def test_what_the_other_process_says(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho some warning\necho 12345\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert memory.of_torch("layers") == 12345
    python.write_text("#!/bin/sh\necho no such thing >&2\nexit 1\n")
    with pytest.raises(UserError, match="no such thing"):
        memory.of_torch("layers")

"""The peak memory of torch, measured in a process of its own."""

import sys

import numpy as np
import pytest

from rnnlm_jax.benchmarking import torch_memory
from rnnlm_jax.errors import DeviceError


def test_the_peak_is_known_after_the_memory_is_freed():
    if not torch_memory.reset_peak():
        pytest.skip("this system does not report the peak of a process")
    before = torch_memory.resident("VmRSS")
    np.ones(8_000_000)
    assert torch_memory.resident("VmHWM") - before > 60_000_000
    assert torch_memory.reset_peak() and torch_memory.resident("VmHWM") - before < 40_000_000


@pytest.mark.peers
def test_the_peak_of_a_layer_includes_inputs_and_outputs():
    pytest.importorskip("torch")
    process = pytest.importorskip("rnnlm_jax.benchmarking.torch_memory_process")
    peak = process.layer("elman-tanh", "forward", "4000x20x64", "float32")
    if peak is None:
        pytest.skip("this system does not report the peak of a process")
    assert peak > 0.9 * 2 * 4 * 4000 * 20 * 64  # inputs and outputs at least


def test_the_last_line_of_the_process_is_the_peak_and_its_error_is_raised(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho some warning\necho 12345\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert torch_memory.measure_torch("layers") == 12345
    python.write_text("#!/bin/sh\necho no such thing >&2\nexit 1\n")
    with pytest.raises(DeviceError, match="no such thing"):
        torch_memory.measure_torch("layers")

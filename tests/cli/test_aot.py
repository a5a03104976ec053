"""``rnnlm-jax aot``: its errors, and a small step compiled for a TPU where libtpu is installed."""

import importlib.util
import json

import pytest

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed: pip install 'rnnlm_jax[aot]'"
)
SMALL = ("--vocabulary-size=64", "--cell=elman-tanh", "--hidden-size=8", "--layers=1", "--bptt=4", "--batch-size=8")


def test_impossible_arguments_are_refused(refuse, trained, tmp_path):
    refuse("aot", "nothing", "--topology", "v5e:4x4", saying="is not a preset, a run's folder or a file")
    refuse("aot", "demo", "--topology", "v5e:3x3", saying="topology 'v5e:3x3' does not exist")
    refuse("aot", "lm1b/lstm-2048", "--topology", "v5e:4x4", saying="793471")
    refuse("aot", "demo", "--topology", "v5e:2x2", "--vocabulary-size", "0", saying="--vocabulary-size")
    (tmp_path / "config.json").write_text("{")
    refuse("aot", tmp_path / "config.json", "--topology", "v5e:2x2", saying="is not a configuration")


@needs_libtpu
def test_a_small_step_is_compiled_and_reported(rnnlm, refuse):
    sampled = (*SMALL, "--output=importance", "--output-options=num_samples=8")
    outcome = rnnlm("aot", "zaremba/small", "--topology=v5e:2x2", "--mesh=data=2,model=2", "--json", *sampled)
    assert outcome.code == 0, outcome
    found = json.loads(outcome.out)
    assert found["parameters"] == 64 * 8 + 2 * 8 * 8 + 8 + 64 * 8 + 64
    assert (found["devices"], found["mesh"]) == (4, {"data": 2, "model": 2})
    assert found["parameter_bytes"] == 4 * (32 * 8 + 2 * 8 * 8 + 8 + 32 * 8 + 32)  # half of the tables, all of the rest
    assert found["collectives"]["all-reduce"] > 0
    memory = found["memory"]
    assert found["fits"] and memory["available"] == 15.75 * 2**30
    assert memory["aliased"] >= found["parameter_bytes"]  # updated in place
    for mesh in ("data=2", "data=3", "data=2,model=4"):
        refuse("aot", "zaremba/small", "--topology=v5e:2x2", f"--mesh={mesh}", *SMALL, saying="v5e:2x2 has 4")
    refuse("aot", "zaremba/small", "--topology=v5e:2x2", "--mesh=rows=4", *SMALL, saying="--mesh cannot be")
    refuse("aot", "zaremba/small", "--topology=v5e:4x4", *SMALL, saying="does not divide over data=16")
    refuse("aot", "zaremba/small", "--topology=v5p:2x3x4", *SMALL, saying="libtpu cannot compile for v5p:2x3x4")


@needs_libtpu
@pytest.mark.parametrize("cell, executor", [("mingru", "associative"), ("lstm", "newton")])
def test_parallel_executors_are_compiled(rnnlm, cell, executor):
    arguments = (*SMALL[:1], f"--cell={cell}", *SMALL[2:], f"--executor={executor}")
    outcome = rnnlm("aot", "zaremba/small", "--topology=v5e:2x2", *arguments)
    assert outcome.code == 0, outcome
    assert outcome.out.splitlines()[-1] == "fits"


@needs_libtpu
def test_a_run_is_compiled_with_its_own_words(rnnlm, trained):
    outcome = rnnlm("aot", trained, "--topology=v5e:1x1")
    assert outcome.code == 0, outcome
    assert outcome.out.splitlines()[-1] == "fits"
    assert "collectives      none" in outcome.out

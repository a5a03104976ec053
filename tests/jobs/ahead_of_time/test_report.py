"""The report on a compiled program: collectives, memory, and its text."""

import json

import jax
import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.config import Config, DataConfig
from rnnlm_jax.data import build_vocabulary
from rnnlm_jax.jobs.accelerators import Accelerator
from rnnlm_jax.jobs.ahead_of_time import compiling
from rnnlm_jax.jobs.ahead_of_time.report import CompiledMemory, StepReport, count_collectives, describe
from rnnlm_jax.jobs.ahead_of_time.topology import Topology, TopologyName
from rnnlm_jax.jobs.ahead_of_time.vocabularies import vocabulary_words, zipf_words

PROGRAM = """
  %all-reduce.1 = f32[2,4]{1,0:T(4,128)} all-reduce(%x), channel_id=1, to_apply=%add
  ROOT %ag = (f32[2]{0}, f32[8]{0}) all-gather-start(%x), dimensions={0}
  %done = f32[8]{0} all-gather-done(%ag)
  %sum = f32[8]{0} fusion(%done), calls=%all-reduce.clone, metadata={op_name="all-to-all(x)"}
  %pair = (f32[2]{0:T(128)}, f32[2]{0:T(128)}) all-reduce(%a, %b), channel_id=2
  %p = f32[4]{0} collective-permute(%x), source_target_pairs={{0,1}}
"""


def report(**changes):
    memory = CompiledMemory(
        peak=3 * 2**30, available=16 * 2**30, arguments=2**31, outputs=2**31, aliased=2**31, program=2**20
    )
    about = {
        "config": "small",
        "topology": "v5e:2x2",
        "device_kind": "TPU v5 lite",
        "devices": 4,
        "divided": "",
        "mesh": {"data": 4, "model": 1},
        "vocabulary": 10_000,
        "parameters": 4_000_000,
        "batch_size": 20,
        "bptt": 35,
        "flops_per_token": 2e9,
        "parameter_bytes": 2**30,
        "optimizer_bytes": 0,
        "memory": memory,
    }
    return StepReport(**{**about, "collectives": {"all-reduce": 3}, **changes})


def test_collectives_are_counted_once_and_by_kind():
    assert count_collectives(PROGRAM) == {"all-reduce": 2, "all-gather": 1, "collective-permute": 1}


def test_a_program_that_fits_is_described():
    lines = describe(report()).splitlines()
    assert lines[0] == "small on v5e:2x2: 4 x TPU v5 lite, mesh data=4, model=1"
    assert any(line.split() == ["peak", "3.00", "GiB", "of", "16.00", "GiB"] for line in lines)
    assert any(line.split()[1:3] == ["1.4", "TFLOP"] for line in lines)
    assert lines[-2].split(maxsplit=1) == ["collectives", "3 all-reduce"]
    assert lines[-1] == "fits"


def test_undeclared_flops_are_reported_as_such():
    assert "FLOPs not declared" in describe(report(flops_per_token=None))


def test_the_shortfall_of_a_program_that_does_not_fit_is_described():
    short = report(memory=CompiledMemory(peak=20 * 2**30, available=16 * 2**30), collectives=None)
    assert describe(short).splitlines()[-1] == "does not fit: 4.00 GiB short on each device"
    summary = json.loads(json.dumps(short.summary()))
    assert (summary["fits"], summary["shortfall_gib"], summary["memory"]["arguments"]) == (False, 4.0, None)


@pytest.mark.parametrize(
    "message",
    [
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.05G of 15.75G hbm. Exceeded …",
        "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for HLO "
        "temporaries (20.05G) exceeds available HBM (15.75G). HLO module: jit_train_step.\nSee https://…",
    ],
)
def test_the_shortfall_is_read_from_the_compilers_message(message):
    class Lowered:
        def compile(self):
            raise jax.errors.JaxRuntimeError(message)

    slice_ = Topology(TopologyName("v5e", (2, 2)), (), Accelerator("TPU v5 lite", 1.0, 1.0, 15.75))
    memory, collectives = compiling._compiled(Lowered(), slice_)
    assert memory.shortfall / 2**30 == pytest.approx(4.3)
    assert collectives is None
    message = "INTERNAL: something else"
    with pytest.raises(UserError, match="something else"):
        compiling._compiled(Lowered(), slice_)


def test_words_come_from_a_size_a_text_or_a_vocabulary_file(tmp_path):
    assert vocabulary_words(DataConfig(corpus="tfds:lm1b"), 4).counts.tolist() == [
        10**8,
        10**8 // 2,
        10**8 // 3,
        10**8 // 4,
    ]
    assert zipf_words(4) is vocabulary_words(Config().data, 4)
    text = tmp_path / "text.txt"
    text.write_text("a b a\n" * 40)
    read = vocabulary_words(DataConfig(corpus=str(text)))
    assert read.counts[read.tokens.index("a")] == 2 * read.counts[read.tokens.index("b")] > 0
    build_vocabulary(["x y z"]).save(tmp_path / "words.json")
    found = vocabulary_words(DataConfig(corpus="tfds:lm1b", vocabulary=str(tmp_path / "words.json")))
    assert set("xyz") <= set(found.tokens)
    assert (np.diff(found.counts) < 0).all()
    with pytest.raises(UserError, match="`vocabulary_size` N \\(793471 for tfds:lm1b\\)"):
        vocabulary_words(DataConfig(corpus="tfds:lm1b"))
    with pytest.raises(UserError, match="must be a positive number"):
        vocabulary_words(DataConfig(), 0)

"""The training steps of the One Billion Word models fit on their TPU slices."""

import importlib.util

import pytest

from experiments.perplexity_table.topologies import CLAIMS, compiled, main
from rnnlm_jax.presets import PRESETS


def test_every_slice_is_of_a_preset(capsys):
    assert set(CLAIMS) <= {name for name in PRESETS if name.startswith("lm1b/")}
    assert main(["lm1b/none"]) == 2
    assert "lm1b/none has no slice" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu: pip install 'rnnlm_jax[aot]'")
@pytest.mark.parametrize("name", CLAIMS)
def test_the_step_compiles_and_fits(name):
    assert compiled(name).fits

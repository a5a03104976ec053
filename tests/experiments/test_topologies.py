"""The slices that the One Billion Word models are said to fit on: each step is compiled for its own."""

import importlib.util

import pytest

from experiments.perplexity_table.topologies import CLAIMS, compiled, main
from rnnlm_jax.presets import PRESETS


def test_slices_are_of_presets(capsys):
    assert set(CLAIMS) <= {name for name in PRESETS if name.startswith("lm1b/")}
    assert main(["lm1b/none"]) == 2
    assert "no slice is claimed for lm1b/none" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu: pip install 'rnnlm_jax[aot]'")
@pytest.mark.parametrize("name", CLAIMS)
def test_it_compiles_and_fits(name):
    assert compiled(name).fits

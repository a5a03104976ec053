"""Automatic cut-offs are numbers in the configuration of a run."""

import numpy as np
import pytest

from rnnlm_jax.config import Config, replace
from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs import automatic_cutoffs
from rnnlm_jax.outputs.choose_cutoffs import choose_cutoffs
from rnnlm_jax.outputs.product_cost import ProductCost
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.training.resolve_automatic import resolve_as_begun, resolve_automatic

COST = ProductCost(overhead=1e-5, per_multiplication=1e-11, per_word=20.0, per_parameter=1e-9)
WORDS = WordCounts([f"w{v}" for v in range(300)], 10_000 // np.arange(1, 301))


def config_of(output="adaptive", options=(), hidden=64):
    model = {"output": output, "output_options": options, "hidden_size": hidden, "cell": "elman-tanh"}
    return replace(Config(), model=model, data={"batch_size": 4, "bptt": 5})


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    monkeypatch.setattr(automatic_cutoffs, "measure_cost", lambda dtype: COST)


@pytest.mark.parametrize("options", [(), (("cutoffs", "auto"),), (("div_value", 2), ("cutoffs", None))])
def test_automatic_cutoffs_are_chosen_once(options):
    asked = config_of(options=options)
    begun = resolve_automatic(asked, WORDS)
    found = dict(begun.model.output_options)
    wanted = choose_cutoffs(WORDS.counts, 64, 20, clusters=None, cost=COST, div_value=found.get("div_value", 4))
    assert found == dict(options) | {"cutoffs": ":".join(map(str, wanted))}
    assert resolve_automatic(begun, WORDS) is begun
    assert resolve_as_begun(begun, begun) is begun
    assert dict(resolve_as_begun(begun, asked).model.output_options) == found


def test_other_configurations_do_not_change():
    for config in (config_of("softmax"), config_of(options=(("cutoffs", "20:100"),))):
        assert resolve_automatic(config, WORDS) is config
        assert resolve_as_begun(resolve_automatic(config_of(), WORDS), config) is config


def test_too_few_units_are_refused():
    with pytest.raises(UserError, match="no units"):
        resolve_automatic(config_of(hidden=3), WORDS)

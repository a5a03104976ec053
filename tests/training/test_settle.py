"""Cut-offs that are left to the device stand in the configuration of the run as numbers."""

import numpy as np
import pytest

from rnnlm_jax.config import Config, replace
from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs import automatic_cutoffs
from rnnlm_jax.outputs.choose_cutoffs import choose_cutoffs
from rnnlm_jax.outputs.product_cost import ProductCost
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.training.settle import settle, settle_as

COST = ProductCost(overhead=1e-5, per_multiplication=1e-11, per_word=20.0, per_parameter=1e-9)
WORDS = Words([f"w{v}" for v in range(300)], 10_000 // np.arange(1, 301))


def config_of(output="adaptive", options=(), hidden=64):
    model = {"output": output, "output_options": options, "hidden_size": hidden, "cell": "elman-tanh"}
    return replace(Config(), model=model, data={"batch_size": 4, "bptt": 5})


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    monkeypatch.setattr(automatic_cutoffs, "measure_cost", lambda dtype: COST)


@pytest.mark.parametrize("options", [(), (("cutoffs", "auto"),), (("div_value", 2), ("cutoffs", None))])
def test_what_is_open_is_chosen_once(options):
    asked = config_of(options=options)
    begun = settle(asked, WORDS)
    found = dict(begun.model.output_options)
    wanted = choose_cutoffs(WORDS.counts, 64, 20, clusters=None, cost=COST, div_value=found.get("div_value", 4))
    assert found == dict(options) | {"cutoffs": ":".join(map(str, wanted))}
    assert settle(begun, WORDS) is begun
    assert settle_as(begun, begun) is begun
    assert dict(settle_as(begun, asked).model.output_options) == found


def test_nothing_else_is_touched():
    for config in (config_of("softmax"), config_of(options=(("cutoffs", "20:100"),))):
        assert settle(config, WORDS) is config
        assert settle_as(settle(config_of(), WORDS), config) is config


def test_too_few_units():
    with pytest.raises(UserError, match="no units"):
        settle(config_of(hidden=3), WORDS)

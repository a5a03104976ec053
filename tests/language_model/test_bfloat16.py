"""With bfloat16 products everything else is float32: gates, state, normalisers, losses, gradients, parameters."""

import jax
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from rnnlm_jax.arrays.sparse_rows import RowGradient
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.outputs.output_registry import OUTPUTS
from rnnlm_jax.outputs.word_counts import WordCounts

WORDS = WordCounts([f"w{k}" for k in range(40)], np.arange(40, 0, -1))
OPTIONS = {"adaptive": (("cutoffs", "10:20"), ("div_value", 2)), "maxent": (("table_size", 256),)}
OPTIONS |= dict.fromkeys(("importance", "nce", "blackout"), (("num_samples", 7),))
#: What would lose digits in bfloat16: nonlinearities, and sums of many terms that are no products of matrices.
FRAGILE = {"exp", "exp2", "log", "log1p", "expm1", "tanh", "logistic", "rsqrt", "sqrt", "div", "reduce_sum", "cumsum"}
FRAGILE |= {"reduce_max", "reduce_precision", "pow", "integer_pow"}


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


def types(model):
    """Every equation of a training loss with its gradient, and of all log-probabilities, and what they give."""
    params = jax.eval_shape(model.init, jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((3, 2), np.int32)
    batch = Batch(tokens, tokens, jax.ShapeDtypeStruct((3, 2), np.bool_))
    state = jax.eval_shape(lambda: model.initial_state((2,)))
    key = jax.eval_shape(lambda: jax.random.key(0))

    def step(params, state, batch, key):
        return loss_and_gradient(model, params, state, batch, key, normaliser=1, by_row=True)

    def score(params, state, token):
        return model.log_probs(params, state, token)

    found = []
    given = []
    for function, arguments in (
        (step, (params, state, batch, key)),
        (score, (params, state, jax.ShapeDtypeStruct((2,), np.int32))),
        (model.token_nll, (params, state, tokens, tokens)),
    ):
        jaxpr, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        found += equations(jaxpr.jaxpr)
        given += jax.tree.leaves(shapes, is_leaf=lambda leaf: isinstance(leaf, RowGradient))
    return found, given


@pytest.mark.parametrize(
    ("cell", "output"), [*(("lstm", kind) for kind in OUTPUTS), ("gru", "softmax"), ("lstm-projected", "softmax")]
)
def test_only_products_are_in_bfloat16(cell, output):
    config = ModelConfig(
        cell=cell, hidden_size=8, output=output, output_options=OPTIONS.get(output, ()), dtype="bfloat16"
    )
    found, given = types(build_model(config, WORDS.size, "structured", words=WORDS))
    narrow = {e.primitive.name for e in found if any(getattr(v.aval, "dtype", None) == "bfloat16" for v in e.invars)}
    assert "dot_general" in narrow
    assert not narrow & FRAGILE
    for leaf in given:
        kind = leaf.rows.dtype if isinstance(leaf, RowGradient) else leaf.dtype
        assert kind in ("float32", "int32")

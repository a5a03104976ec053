"""The facts that every registered input and output layer declares."""

import jax
import numpy as np
import pytest

from rnnlm_jax import inputs, outputs
from rnnlm_jax.outputs.word_counts import WordCounts

V, H = 24, 6
WORDS = WordCounts([f"w{v}" for v in range(V)], 1000 // np.arange(1, V + 1))
OPTIONS = {
    "adaptive": {"cutoffs": "6:14", "div_value": 2},
    "maxent": {"table_size": 256},
    "mixture-of-softmaxes": {"components": 2},
} | {name: {"num_samples": 4} for name in ("importance", "nce", "blackout")}
PROBABILITIES = WORDS.counts / WORDS.counts.sum()


def shapes_by_path(layer, *sizes):
    shapes = jax.eval_shape(lambda: layer.init(jax.random.key(0), *sizes))
    leaves, _ = jax.tree.flatten_with_path(shapes)
    return shapes, {jax.tree_util.keystr(path, simple=True, separator="."): leaf.shape for path, leaf in leaves}


@pytest.mark.parametrize("name", outputs.OUTPUTS)
def test_every_output_layer_declares_its_flops_and_word_axes(name):
    layer = outputs.make(name, WORDS, **OPTIONS.get(name, {}))
    params, shapes = shapes_by_path(layer, H, V)
    assert 0 < layer.flops(params, PROBABILITIES) <= 3 * 2 * H * V
    assert set(layer.word_axes) <= set(shapes)
    for path, axis in layer.word_axes.items():
        assert 0 <= axis < len(shapes[path])


@pytest.mark.parametrize("layer", [*(inputs.make(name, WORDS.tokens) for name in inputs.INPUTS), inputs.no_input()])
def test_every_input_layer_declares_its_flops_and_word_axes(layer):
    params, shapes = shapes_by_path(layer, V, H)
    assert layer.flops(params, PROBABILITIES, 20) >= 0
    assert {path: shapes[path][axis] for path, axis in layer.word_axes.items()} == dict.fromkeys(layer.word_axes, V)


@pytest.mark.parametrize("name", outputs.OUTPUTS)
def test_nats_that_declare_a_gradient_have_that_of_the_total(name):
    layer = outputs.make(name, WORDS, **OPTIONS.get(name, {}))
    if not layer.nats_gradient:
        return
    params = layer.init(jax.random.key(0), H, V)
    hs, targets = jax.random.normal(jax.random.key(1), (5, H)), np.arange(5, dtype=np.int32)
    by_nats = jax.grad(lambda params: layer.nats(params, hs, targets).sum())(params)
    by_total = jax.grad(layer.total_nats)(params, hs, targets, np.ones(5, np.float32))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), by_nats, by_total)

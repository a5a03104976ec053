"""New parameters and states can be donated: no two leaves share a buffer."""

import jax
import jax.numpy as jnp
import pytest

from rnnlm_jax import cells, inputs, outputs
from rnnlm_jax.cells import cell_registry
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs.output_registry import OUTPUTS
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.training.optimizers import RULES
from rnnlm_jax.training.train_state import initial_train_state
from tests.training.tiny import optimizer

WORDS = WordCounts([f"w{i}" for i in range(20)], range(20))
KEY = jax.random.key(0)


@jax.jit
def incremented(tree):
    return jax.tree.map(lambda a: a + jnp.ones((), a.dtype), tree)


donated = jax.jit(lambda tree: jax.tree.map(lambda a: a + jnp.ones((), a.dtype), tree), donate_argnums=0)


def assert_can_be_donated(tree):
    """Donate all buffers to one program, as a training step does: this fails if two leaves share a buffer."""
    wanted = incremented(tree)
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(tree) if leaf.size]
    assert len(set(pointers)) == len(pointers)
    found = donated(tree)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), found, wanted))


CELLS = {
    **{name: cell_registry.make(name, 5) for name in cell_registry.CELLS},
    "narrow": cells.layer_norm_lstm(5, dtype="bfloat16"),
    "bigram": cells.feed_forward(5, order=2),
    "stack": cells.stack(*[cells.layer_norm_lstm(5)] * 3),
    "both directions": cells.bidirectional(cells.lstm(5), cells.lstm(5)),
}


@pytest.mark.parametrize("name", CELLS)
def test_parameters_and_states_of_cells_can_be_donated(name):
    cell = CELLS[name]
    assert_can_be_donated((cell.init(KEY, 3), cell.initial_state((2,))))
    assert_can_be_donated(jax.jit(cell.init, static_argnums=1)(KEY, 3))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("char_cnn", [False, True])
@pytest.mark.parametrize("scale", [None, 0.1])
def test_parameters_and_states_of_models_can_be_donated(output, char_cnn, scale):
    options = {"adaptive": {"cutoffs": "8"}}.get(output, {})
    options |= {"num_samples": 5} if output in ("importance", "nce", "blackout") else {}
    model = language_model(
        cells.lstm(8),
        WORDS.size,
        input_layer=inputs.make("char-cnn", WORDS.tokens, filters="3+4") if char_cnn else None,
        output=outputs.make(output, WORDS, **options),
        init_scale=scale,
    )
    assert_can_be_donated((model.init(KEY), model.initial_state((2,))))


@pytest.mark.parametrize("name", sorted(RULES))
def test_optimiser_states_can_be_donated(name):
    rule, model = optimizer(name, clip_norm=1.0, clip_scope="cells"), language_model(cells.layer_norm_lstm(5), 7)
    assert_can_be_donated(initial_train_state(model, rule, 2))

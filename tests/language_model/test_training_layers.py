"""Word, embedding, state and weight dropout and zoneout in a whole model: what is masked together, and gradients."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, outputs
from rnnlm_jax.arrays.sparse_rows import RowGradient, dense_gradient
from rnnlm_jax.data import Batch
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient, training_loss
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.language_model.training_layers import trained_cell, training_layer, unroll_training_layers
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.unroll import describe_executor
from tests.training.tiny import random_params

V, T, B, H = 40, 5, 3, 4
KEY = jax.random.key(2)
ALL = Dropout(0.1, 0.2, 0.1, locked=True, embedding=0.2, word=0.2, unknown_id=3, state=0.3, weight=0.3)


def layer(**options):
    return cells.lstm(H, **{"param_dtype": "float64", **options})


def zoned(**options):
    return cells.zoneout(layer(**options), hidden=0.1, cell=0.3)


def tokens(seed):
    return np.random.default_rng(seed).integers(0, V, (T, B)).astype(np.int32)


BATCH = Batch(tokens(0), tokens(1), np.random.default_rng(2).random((T, B)) < 0.8)


def stack_model(dropout=ALL, make=zoned, **options):
    return language_model(cells.stack(make(), make(), residual=True), V, dropout=dropout, **options)


@pytest.fixture(scope="module")
def everything():
    """The model with masks of every kind, parameters, a state, and its loss and gradient."""
    model = stack_model()
    params = random_params(model)
    state = jax.tree.map(lambda a: a + 0.3, model.initial_state((B,)))

    def loss(params):
        value, scored = training_loss(model, params, state, BATCH, KEY)
        return value, scored.state

    (value, after), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    return model, params, state, value, after, gradient


def test_the_gradient_is_that_of_central_differences(everything):
    """With every kind of mask at once, and masks that do not change with the parameters."""
    model, params, state, _, after, gradient = everything
    assert jax.tree.structure(after) == jax.tree.structure(state)
    rng, step = np.random.default_rng(0), 1e-5
    direction = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape)), params)
    loss = jax.jit(lambda params: model.loss_fn(params, state, BATCH, KEY)[0])
    around = [float(loss(jax.tree.map(lambda a, d, h=h: a + h * d, params, direction))) for h in (step, -step)]
    slopes = jax.tree.map(lambda g, d: float((g * d).sum()), gradient, direction)
    assert sum(jax.tree.leaves(slopes)) == pytest.approx((around[0] - around[1]) / (2 * step), rel=1e-7)


def test_rematerialised_and_scanned_layers_have_the_same_masks(everything):
    model, params, state, value, _, gradient = everything
    other = dataclasses.replace(model, remat_chunk=2, executor="scan")
    (found, _), of_params = jax.jit(lambda params: loss_and_gradient(other, params, state, BATCH, KEY))(params)
    assert float(found) == pytest.approx(float(value), rel=1e-13)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), of_params, gradient)


def test_without_a_key_and_with_rates_of_zero_nothing_changes(everything):
    """Evaluation has the numbers of the model without dropout; without rates a key changes nothing."""
    model, params, state, *_ = everything
    plain, dropping = stack_model(None), model
    score = [jax.jit(each.token_nll)(params, state, tokens(0), tokens(1)) for each in (plain, dropping)]
    jax.tree.map(np.testing.assert_array_equal, *score)
    off = stack_model(None, make=layer)
    assert not off.draws  # so that a training step has no key
    assert plain.draws  # for zoneout
    loss = [jax.jit(off.loss_fn)(params, state, BATCH, key) for key in (None, KEY)]
    jax.tree.map(np.testing.assert_array_equal, *loss)


def test_the_outputs_of_layers_with_masks_are_summed():
    """The layers above read what they read in a plain stack, and the sum has the lowest layer's outputs besides."""
    rates, xs = Dropout(hidden=0.3, state=0.4), jnp.asarray(np.random.default_rng(3).standard_normal((T, B, H)))
    plain, summed = (cells.stack(layer(), layer(), sum_outputs=added) for added in (False, True))
    params = random_params(stack_model(None, make=layer)).cell
    state = plain.initial_state((B,))

    @functools.partial(jax.jit, static_argnums=0)
    def run(cell, params, state):
        return unroll_training_layers(rates, cell, params, state, xs, key=KEY)

    (last, hs), (after, total) = run(plain, params, state), run(summed, params, state)
    _, lower = run(layer(), params[0], state[0])
    jax.tree.map(np.testing.assert_array_equal, after, last)
    np.testing.assert_allclose(total, hs + lower, rtol=1e-12)
    assert trained_cell(summed, rates).sum_outputs


def test_layers_draw_their_own_masks_once_for_all_steps():
    xs = jnp.ones((T, 50, H))
    params = random_params(stack_model()).cell[0]
    masks = []
    for number in (0, 1):
        found = training_layer(Dropout(state=0.5), number, KEY, layer(), params, xs)
        assert found.params.masks.hidden.shape == (50, H)  # without an axis of time
        masks.append(np.asarray(found.params.masks.hidden))
    assert not np.array_equal(*masks)
    assert len({row.tobytes() for row in masks[0]}) > 10  # of 2^H possible masks


def test_embedding_dropout_drops_equal_words_together():
    dropout, inputs = Dropout(embedding=0.4), jnp.asarray(np.random.default_rng(0).integers(0, 500, (40, 50)))
    found = np.asarray(dropout.embedded(KEY, jnp.ones((40, 50, 3)), inputs, 500))
    assert set(np.unique(found)) == {0.0, 1 / 0.6}
    factors = found[..., 0]
    assert (found == factors[..., None]).all()
    by_word = [np.unique(factors[np.asarray(inputs) == word]) for word in np.unique(inputs)]
    assert all(len(each) == 1 for each in by_word)
    assert abs(np.mean(by_word) - 1) < 5 * np.sqrt(0.4 / 0.6 / len(by_word))
    with pytest.raises(UserError, match="needs the token ids"):
        dropout.embedded(KEY, jnp.ones((4, 5, 3)), None, 500)


@pytest.mark.parametrize("tied", [False, True])
def test_the_gradient_of_the_table_is_right_by_row_and_beside_a_tied_output(tied):
    """Rows of dropped words have none from the inputs; a tied output matrix is not dropped."""
    model = language_model(
        layer(), V, tie_embeddings=tied, dropout=Dropout(embedding=0.3, word=0.3, unknown_id=3, weight=0.5)
    )
    params, state = random_params(model), model.initial_state((2,))
    few = Batch(*(part[:, :2] for part in BATCH))
    _, found = jax.jit(lambda p: loss_and_gradient(model, p, state, few, KEY, by_row=True))(params)
    wanted = jax.jit(jax.grad(lambda p: model.loss_fn(p, state, few, KEY)[0]))(params)
    assert isinstance(found.embedding, RowGradient) == (not tied)
    table = found.embedding if tied else dense_gradient(found.embedding, params.embedding)
    np.testing.assert_allclose(table, wanted.embedding, rtol=0, atol=1e-12)
    read = np.unique(model.dropout.replace_words(KEY, few.inputs))
    from_inputs = np.asarray(wanted.embedding)[read].any(-1)
    assert tied or 0 < from_inputs.sum() < len(read)


def test_word_dropout_replaces_a_share_of_the_inputs_and_nothing_else():
    dropout, inputs = Dropout(word=0.3, unknown_id=7), np.full((60, 50), 5, np.int32)
    found = np.asarray(dropout.replace_words(KEY, inputs))
    assert set(np.unique(found)) == {5, 7}
    assert abs((found == 7).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / found.size)
    assert dropout.replace_words(None, inputs) is inputs
    with pytest.raises(UserError, match="needs `unknown_id`"):
        Dropout(word=0.1)


def test_ngram_features_read_the_replaced_words():
    """Word dropout is the same as other inputs: in the loss, its gradient, and the context of the next window."""
    words = WordCounts([f"w{k}" for k in range(V)], range(1, V + 1))
    output = outputs.make("maxent", words, order=3, table_size=512, dtype="float64", param_dtype="float64")
    model = language_model(layer(), V, output=output, dropout=Dropout(word=0.4, unknown_id=3))
    plain = dataclasses.replace(model, dropout=Dropout())
    params, state = random_params(model), model.initial_state((B,))
    replaced = BATCH._replace(inputs=np.asarray(model.dropout.replace_words(KEY, BATCH.inputs)))
    assert (replaced.inputs != BATCH.inputs).any()
    for function in (loss_and_gradient, training_loss):
        found, wanted = (
            jax.jit(lambda p, model=each, batch=batch, f=function: f(model, p, state, batch, KEY))(params)
            for each, batch in ((model, BATCH), (plain, replaced))
        )
        jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_masks_in_bfloat16():
    wide, narrow = (
        language_model(zoned(dtype=dtype, param_dtype="float32"), V, dropout=Dropout(state=0.3, weight=0.3))
        for dtype in (None, "bfloat16")
    )
    params, state = random_params(wide), wide.initial_state((B,))
    found = [float(jax.jit(each.loss_fn)(params, state, BATCH, KEY)[0]) for each in (wide, narrow)]
    assert found[0] == pytest.approx(found[1], rel=0.02)
    assert found[0] != found[1]


def test_cells_are_described_as_trained_and_refused_without_what_a_rate_refers_to():
    with pytest.raises(UserError, match="a mingru cell has no recurrent matrix"):
        language_model(cells.stack(cells.lstm(H), cells.mingru(H)), V, dropout=Dropout(weight=0.1))
    with pytest.raises(UserError, match="a gru cell does not split"):
        language_model(cells.gru(H, reset="before"), V, dropout=Dropout(state=0.1))
    assert describe_executor(stack_model().trained_cell, H) == "lstm+zoneout+state-dropout: structured"
    pair = language_model(cells.bidirectional(zoned(), zoned()), V)
    with pytest.raises(UserError, match="for cells in one direction of time"):
        jax.eval_shape(lambda p: pair.loss_fn(p, pair.initial_state((B,)), BATCH, KEY), random_params(pair))

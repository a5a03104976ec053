"""The language model against a plain one in NumPy and float64, and the identities that hold between its parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.data import Batch
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.language_model.parameters import parameter_count
from rnnlm_jax.outputs import softmax
from tests.training.tiny import random_params

VOCABULARY, EMBEDDING, HIDDEN, STEPS, BATCH = 7, 5, 6, 5, 3
CELLS = {"elman": cells.elman, "lstm": cells.lstm}
#: Cells, and whether embeddings are tied; "projected": tied, though they are not as wide as the cell's output.
CASES = [*((kind, tied) for kind in CELLS for tied in (False, True)), ("lstm", "projected")]


def make(kind, tied=False, **options):
    """A float64 model and parameters in which every bias counts."""
    cell = CELLS[kind](HIDDEN, param_dtype=jnp.float64)
    model = language_model(
        cell, VOCABULARY, HIDDEN if tied is True else EMBEDDING, tie_embeddings=bool(tied), **options
    )
    return model, random_params(model)


def make_batch(seed=0, steps=STEPS):
    rng = np.random.default_rng(seed)
    inputs, targets = rng.integers(0, VOCABULARY, (2, steps, BATCH))
    return Batch(inputs, targets, rng.random((steps, BATCH)) < 0.7)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def numpy_nats(kind, params, inputs, targets):
    """-log P of each target, one loop and no library: the definition."""
    embedding, cell = np.asarray(params.embedding), [np.asarray(leaf) for leaf in params.cell]
    w = embedding.T if params.output.w is None else np.asarray(params.output.w)
    w = np.asarray(getattr(params.output, "projection", np.eye(len(w)))) @ w
    h = c = np.zeros((inputs.shape[1], HIDDEN))
    nats = np.zeros(targets.shape)
    for t in range(len(inputs)):
        w_x, w_h, b = cell
        a = embedding[inputs[t]] @ w_x + h @ w_h + b
        if kind == "elman":
            h = np.tanh(a)
        else:
            i, f, g, o = (a[:, k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        logits = h @ w + np.asarray(params.output.b)
        for row in range(inputs.shape[1]):
            nats[t, row] = np.log(np.exp(logits[row]).sum()) - logits[row, targets[t, row]]
    return nats


@pytest.mark.parametrize(("kind", "tied"), CASES)
def test_loss_is_that_of_a_plain_model(kind, tied):
    model, params = make(kind, tied)
    batch = make_batch()
    loss, scored = jax.jit(model.loss_fn)(params, model.initial_state((BATCH,)), batch, None)
    expected = numpy_nats(kind, params, batch.inputs, batch.targets)
    np.testing.assert_allclose(loss, expected[batch.mask].sum(), rtol=1e-13)
    assert int(scored.tokens) == batch.mask.sum()
    assert (params.output.w is None) == bool(tied)


@pytest.mark.parametrize(("kind", "tied"), CASES)
def test_gradient_is_that_of_central_differences(kind, tied):
    model, params = make(kind, tied)
    batch, state = make_batch(), model.initial_state((BATCH,))
    loss = jax.jit(lambda params: model.loss_fn(params, state, batch, None)[0])
    gradient = jax.jit(jax.grad(loss))(params)
    leaves, structure = jax.tree.flatten(params)
    rng = np.random.default_rng(3)
    for number, slope in enumerate(jax.tree.leaves(gradient)):  # a random direction in each array of parameters
        direction = rng.normal(size=slope.shape)
        step, around = 1e-4, []
        for distance in (step, -step):
            moved = list(leaves)
            moved[number] = leaves[number] + distance * direction
            around.append(float(loss(jax.tree.unflatten(structure, moved))))
        expected = (np.asarray(slope) * direction).sum()
        np.testing.assert_allclose((around[0] - around[1]) / (2 * step), expected, rtol=1e-6, atol=1e-7)


def test_masked_targets_add_nothing():
    model, params = make("lstm")
    batch, state = make_batch(), model.initial_state((BATCH,))
    other = batch._replace(targets=np.where(batch.mask, batch.targets, (batch.targets + 1) % VOCABULARY))
    assert (other.targets != batch.targets).any()
    loss = jax.jit(jax.value_and_grad(lambda params, batch: model.loss_fn(params, state, batch, None)[0]))
    for one, two in zip(jax.tree.leaves(loss(params, batch)), jax.tree.leaves(loss(params, other)), strict=True):
        np.testing.assert_array_equal(one, two)
    nats, scored = jax.jit(model.loss_fn)(params, state, batch._replace(mask=np.zeros_like(batch.mask)), None)
    assert float(nats) == 0.0
    assert int(scored.tokens) == 0


def test_state_carried_over_windows_is_one_long_window():
    model, params = make("lstm")
    batch, state = make_batch(steps=9), model.initial_state((BATCH,))
    last, nats = jax.jit(model.token_nll)(params, state, batch.inputs, batch.targets)
    parts = []
    for start, stop in ((0, 4), (4, 5), (5, 9)):
        loss, scored = jax.jit(model.loss_fn)(params, state, Batch(*(part[start:stop] for part in batch)), None)
        state = scored.state
        parts.append(float(loss))
    np.testing.assert_allclose(sum(parts), np.asarray(nats)[batch.mask].sum(), rtol=1e-13)
    for one, two in zip(jax.tree.leaves(state), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)


@pytest.mark.parametrize("added", [None, "residual", "sum_outputs"])
def test_one_step_at_a_time_gives_the_same_nats_and_sums_to_one(added):
    layer = cells.gru(HIDDEN, param_dtype=jnp.float64)
    stack = cells.stack(layer, layer, layer, **({} if added is None else {added: True}))
    model = language_model(stack, VOCABULARY, EMBEDDING)
    params = random_params(model)
    step = jax.jit(model.log_probs)
    batch = make_batch()
    last, nats = jax.jit(model.token_nll)(params, model.initial_state((BATCH,)), batch.inputs, batch.targets)
    state = model.initial_state((BATCH,))
    for t in range(STEPS):
        state, log_probs = step(params, state, batch.inputs[t])
        np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1.0, rtol=1e-14)
        np.testing.assert_allclose(-log_probs[np.arange(BATCH), batch.targets[t]], nats[t], rtol=1e-12)
    for one, two in zip(jax.tree.leaves(state), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)


def test_init_scale_bounds_every_parameter():
    model = language_model(cells.lstm(HIDDEN), 50, 20, init_scale=0.1)
    leaves = jax.tree.leaves(jax.jit(model.init)(jax.random.key(0)))
    for leaf in leaves:  # biases and the forget gate's too
        assert 0.08 < np.abs(leaf).max() <= 0.1
        assert np.asarray(leaf).min() < -0.05
        assert leaf.dtype == jnp.float32
    firsts = [float(leaf.ravel()[0]) for leaf in leaves]
    assert len(set(firsts)) == len(firsts)


@pytest.mark.parametrize("chunk", [2, "sqrt"])
def test_rematerialisation_changes_no_number(chunk):
    plain, params = make("elman")
    again, _ = make("elman", remat_chunk=chunk)
    batch, state = make_batch(), plain.initial_state((BATCH,))
    one, two = (
        jax.jit(jax.value_and_grad(lambda params, model=model: model.loss_fn(params, state, batch, None)[0]))(params)
        for model in (plain, again)
    )
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_bfloat16_products_are_close_to_float32():
    narrow = language_model(cells.lstm(HIDDEN, dtype=jnp.bfloat16), VOCABULARY)
    wide = language_model(cells.lstm(HIDDEN), VOCABULARY)
    params = random_params(wide)
    batch = make_batch()
    _, expected = jax.jit(wide.token_nll)(params, wide.initial_state((BATCH,)), batch.inputs, batch.targets)
    _, nats = jax.jit(narrow.token_nll)(params, narrow.initial_state((BATCH,)), batch.inputs, batch.targets)
    assert nats.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(jax.eval_shape(narrow.init, jax.random.key(0)))} == {
        jnp.dtype("float32")
    }
    error = np.abs(np.asarray(nats) - np.asarray(expected)).max()
    assert 0 < error < 0.03  # rounded, but no more than eight bits of mantissa explain


def test_parameter_count_is_that_of_the_formula():
    model, params = make("lstm")
    gates = 4 * HIDDEN * (EMBEDDING + HIDDEN + 1)
    assert parameter_count(params) == VOCABULARY * EMBEDDING + gates + VOCABULARY * (HIDDEN + 1)
    _, tied = make("lstm", tied=True)
    assert parameter_count(tied) == VOCABULARY * HIDDEN + 4 * HIDDEN * (2 * HIDDEN + 1) + VOCABULARY
    _, projected = make("lstm", tied="projected")
    assert parameter_count(projected) == VOCABULARY * EMBEDDING + gates + HIDDEN * EMBEDDING + VOCABULARY


def test_equal_arguments_make_equal_models():
    one, two = (language_model(cells.gru(4), 9, init_scale=0.1) for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)  # static arguments of jit: no second compilation


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"vocab_size": 0}, "vocab_size"),
        ({"vocab_size": 5, "embedding_size": -1}, "embedding_size"),
        (
            {"vocab_size": 5, "embedding_size": 3, "tie_embeddings": True, "output": softmax()},
            "`tie_embeddings` needs `embedding_size` 4, the cell's output, not 3: output 'softmax' has no projection",
        ),
    ],
)
def test_impossible_sizes_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        language_model(cells.lstm(4), **options)

"""The training step: its update and figures, and steps that are not finite."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.cells import cell_registry
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.training.step import make_train_step
from tests.training.tiny import assert_same_bits, fresh_state, optimizer

VOCABULARY, STEPS, BATCH = 6, 4, 3


def make(rule=None, dtype=jnp.float64, dropout=None, **options):
    model = language_model(cells.elman(5, param_dtype=dtype), VOCABULARY, dropout=dropout, init_scale=0.5)
    rule = optimizer("sgd") if rule is None else rule
    return model, make_train_step(model, rule, **options), fresh_state(model, rule, BATCH, seed=1)


def make_batch(seed=0):
    rng = np.random.default_rng(seed)
    inputs, targets = rng.integers(0, VOCABULARY, (2, STEPS, BATCH)).astype(np.int32)
    return Batch(inputs, targets, rng.random((STEPS, BATCH)) < 0.8)


def to_numpy(tree):
    """Return a copy, which donation of the original does not invalidate."""
    return jax.tree.map(lambda leaf: np.array(leaf), tree)


@functools.cache
def loss_and_gradient(model):
    return jax.jit(jax.value_and_grad(lambda params, state, batch: model.loss_fn(params, state, batch, None)[0]))


@pytest.mark.parametrize(
    ("loss_normalization", "clip"), [("token", None), ("token", 0.1), ("sequence", 0.1), ("sequence", 1e6)]
)
def test_a_step_of_sgd_follows_the_formula(loss_normalization, clip):
    model, step, state = make(optimizer("sgd", clip_norm=clip), loss_normalization=loss_normalization)
    batch = make_batch()
    before = to_numpy(state.params)
    nats, summed = loss_and_gradient(model)(before, model.initial_state((BATCH,)), batch)
    over = batch.mask.sum() if loss_normalization == "token" else BATCH
    gradient = [np.asarray(g) / over for g in jax.tree.leaves(summed)]
    norm = np.sqrt(sum((g**2).sum() for g in gradient))
    assert 0.1 < norm < 1e6
    scale = 0.1 / norm if clip == 0.1 else 1.0
    after, info = step(state, batch)
    for new, old, g in zip(jax.tree.leaves(after.params), jax.tree.leaves(before), gradient, strict=True):
        np.testing.assert_allclose(new, old - 0.5 * scale * g, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(info.grad_norm, norm, rtol=1e-12)  # before clipping
    np.testing.assert_allclose(info.nats, nats, rtol=1e-12)
    assert int(info.tokens) == batch.mask.sum()
    assert int(after.step) == 1


def test_state_is_carried_from_batch_to_batch_only_in_streams():
    model, carrying, state = make(optimizer("sgd", 1e-30))
    params = to_numpy(state.params)
    after, _ = carrying(state, make_batch())
    expected, _ = jax.jit(model.token_nll)(
        params, model.initial_state((BATCH,)), make_batch().inputs, make_batch().targets
    )
    np.testing.assert_allclose(after.model_state.hidden, expected.hidden, rtol=1e-12)
    second, info = carrying(after, make_batch())
    _, fresh, state = make(optimizer("sgd", 1e-30), carries_state=False)
    once, first = fresh(state, make_batch())
    _, again = fresh(once, make_batch())
    assert float(first.nats) == float(again.nats) != float(info.nats)


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e300])
def test_a_step_that_is_not_finite_changes_only_the_counters(poison):
    _, step, state = make(optimizer("adam", clip_norm=5.0))
    state, _ = step(state, make_batch(1))  # moments and recurrent state that are not zero
    good = to_numpy(state)
    embedding = good.params.embedding.copy()
    embedding[0, 0] = poison
    w = good.params.output.w * poison
    bad = state._replace(params=good.params._replace(embedding=embedding, output=good.params.output._replace(w=w)))
    expected = to_numpy(bad)
    for count in (1, 2):
        bad, info = step(jax.tree.map(jnp.asarray, bad), make_batch())
        assert not (np.isfinite(info.nats) and np.isfinite(info.grad_norm))
        assert_same_bits(bad.params, expected.params)
        assert_same_bits(bad.opt_state, expected.opt_state)
        assert_same_bits(bad.model_state, expected.model_state)
        assert (int(info.skipped), int(info.skipped_in_row), int(bad.skipped_in_row)) == (count, count, count)
    mended, info = step(bad._replace(params=jax.tree.map(jnp.asarray, good.params)), make_batch())
    assert (int(info.skipped), int(info.skipped_in_row), int(mended.skipped)) == (2, 0, 2)
    assert not np.array_equal(mended.params.embedding, good.params.embedding)


def test_the_step_compiles_once_and_donates_its_state():
    _, step, state = make(optimizer("adam"), dtype=jnp.float32)
    for seed in range(4):
        old, (state, _) = state, step(state, make_batch(seed))
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves((old.params, old.opt_state, old.model_state)))
    assert step.num_compiled() == 1
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}


def test_dropout_depends_on_seed_and_step():
    model, _, _ = make(dropout=Dropout(output=0.5))
    rule = optimizer("sgd")
    steps = {seed: make_train_step(model, rule, seed=seed) for seed in (0, 1)}

    def nats(at, seed=0):
        state = fresh_state(model, rule, BATCH)._replace(step=jnp.asarray(at, jnp.int32))
        return float(steps[seed](state, make_batch())[1].nats)

    assert nats(3) == nats(3)
    assert len({nats(3), nats(4), nats(3, seed=1)}) == 3


@pytest.mark.parametrize(
    ("name", "rate"), [("sgd", 1.0), ("momentum", 0.2), ("adagrad", 0.3), ("adam", 0.05), ("adamw", 0.05)]
)
def test_every_optimiser_learns_a_repetitive_text(name, rate):
    _, step, state = make(optimizer(name, rate, clip_norm=5.0), dtype=jnp.float32)
    ring = np.arange(60, dtype=np.int32).reshape(BATCH, -1).T % VOCABULARY
    batch = Batch(ring, (ring + 1) % VOCABULARY, np.ones(ring.shape, bool))
    nats = []
    for _ in range(60):
        state, info = step(state, batch)
        nats.append(float(info.nats) / int(info.tokens))
    assert nats[0] > 1.5
    assert nats[-1] < 0.3


@pytest.mark.parametrize("name", cell_registry.CELLS)
def test_every_registered_cell_trains(name):
    options = (("projection_size", 3),) if name == "lstm-projected" else ()
    model = build_model(ModelConfig(cell=name, cell_options=options, hidden_size=5, init_scale=0.3), VOCABULARY)
    rule = optimizer("sgd", 0.2, clip_norm=5.0)
    step = make_train_step(model, rule, carries_state=False, loss_normalization="sequence")
    state = fresh_state(model, rule, BATCH)
    before, losses = to_numpy(state.params), []
    for _ in range(3):
        state, info = step(state, make_batch())
        losses.append(float(info.nats))
    assert losses[2] < losses[1] < losses[0]
    assert int(info.skipped) == 0
    for new, old in zip(jax.tree.leaves(state.params), jax.tree.leaves(before), strict=True):
        assert not np.array_equal(new, old)  # every array has a gradient

"""The training step on a large table: row-sparse gradients give the same as dense ones with optax."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnlm_jax import cells
from rnnlm_jax.data import Batch
from rnnlm_jax.language_model import loss_gradient
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.training.loop import Trainer
from rnnlm_jax.training.row_updates import with_promotion
from rnnlm_jax.training.step import make_train_step
from rnnlm_jax.training.train import train
from tests.training.tiny import assert_same_bits, fresh_state, optimizer, tiny_config
from tests.unroll.programs import assert_close, jit

V, T, B, H = 60, 4, 3, 5
BATCHES = ("random", "all equal", "masked")


def make(tied=False):
    return language_model(cells.elman(H, param_dtype=jnp.float64), V, tie_embeddings=tied)


def make_batch(kind):
    rng = np.random.default_rng(2)
    inputs, targets = rng.integers(0, V, (2, T, B)).astype(np.int32)
    inputs[:2] = inputs[2:]  # each token occurs twice
    mask = np.ones((T, B), bool)
    if kind == "all equal":
        inputs = np.full_like(inputs, V - 1)
    if kind == "masked":
        mask[1:, 1:] = False
    return Batch(inputs, targets, mask)


@functools.cache
def reference(model, rule):
    """Return the same step in three lines of optax, with the dense gradient."""

    @jit
    def step(state, batch):
        def loss(params):
            nats, scored = model.loss_fn(params, state.model_state, batch, None)
            return nats / scored.tokens, scored.state

        gradient, after = jax.grad(loss, has_aux=True)(state.params)
        updates, opt_state = with_promotion(rule).update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state._replace(params=params, opt_state=opt_state, model_state=after), optax.tree.norm(gradient)

    return step


@pytest.mark.parametrize(
    ("name", "tied", "sparse"), [("sgd", False, True), ("adagrad", False, True), ("sgd", True, False)]
)
def test_steps_are_those_of_the_dense_gradient(name, tied, sparse, monkeypatch):
    calls = []
    sum_rows = loss_gradient.sum_duplicate_rows
    monkeypatch.setattr(loss_gradient, "sum_duplicate_rows", lambda *args: calls.append(args) or sum_rows(*args))
    model, rule = make(tied), optimizer(name, clip_norm=0.3)
    step = make_train_step(model, rule)
    state = fresh_state(model, rule, B)
    other = jax.tree.map(np.array, state)
    for kind in BATCHES:
        state, info = step(state, make_batch(kind))
        other, norm = reference(model, rule)(other, make_batch(kind))
        np.testing.assert_allclose(info.grad_norm, norm, rtol=1e-12)
        assert norm > 0.3
        assert_close(tuple(state[:3]), tuple(other[:3]))
    assert len(calls) == sparse  # traced once, if row-sparse


def test_rows_do_not_change_in_a_step_that_is_not_finite():
    model, rule = make(), optimizer("adagrad", clip_norm=5.0)
    step = make_train_step(model, rule)
    state, _ = step(fresh_state(model, rule, B), make_batch("random"))
    broken = jax.tree.map(np.array, state)
    broken.params.output.b[3] = np.nan
    expected = jax.tree.map(np.copy, broken)
    after, info = step(jax.tree.map(jnp.asarray, broken), make_batch("random"))
    assert int(info.skipped) == 1
    assert_same_bits(after[:3], expected[:3])


def test_the_table_is_never_copied():
    """The temporaries of a step are far smaller than the table."""
    width = 2000
    model = language_model(cells.elman(2), 1000, width, init_scale=0.1)
    rule = optimizer("adagrad", clip_norm=5.0)
    state = jax.eval_shape(lambda: fresh_state(model, rule, 1))
    batch = Batch(*(jax.ShapeDtypeStruct((2, 1), dtype) for dtype in (np.int32, np.int32, np.bool_)))
    compiled = make_train_step(model, rule).lower(state, batch).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 1000 * width * 4 / 10


def test_a_resumed_run_compiles_its_step_once(corpus, tmp_path, monkeypatch):
    trainers, make_trainer = [], Trainer.__init__

    def recorded(trainer, *arguments, **named):
        make_trainer(trainer, *arguments, **named)
        trainers.append(trainer)

    monkeypatch.setattr(Trainer, "__init__", recorded)
    for epochs in (1, 2):
        train(tiny_config(corpus, training={"epochs": epochs}), tmp_path / "run", resume=epochs > 1)
    assert [trainer.train_step.num_compiled() for trainer in trainers] == [1, 1]

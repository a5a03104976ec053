"""Language models as linen and nnx modules have the outputs, loss and training of the pure functions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

from rnnlm_jax import UserError, cells
from rnnlm_jax.data import Batch
from rnnlm_jax.interop.linen import LinenLanguageModel, from_linen, to_linen
from rnnlm_jax.interop.nnx import NnxLanguageModel, set_params, to_params
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient, training_loss
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs import make
from rnnlm_jax.outputs.word_counts import WordCounts
from tests.training.tiny import random_params
from tests.unroll.programs import assert_close

V, T, B = 11, 6, 3
WORDS = WordCounts([f"w{k}" for k in range(V)], range(2 * V, V, -1))
TEXT = np.random.default_rng(0).integers(0, V, (T + 1, B)).astype(np.int32)
MASK = np.random.default_rng(1).random((T, B)) < 0.7
BATCH = Batch(TEXT[:-1], TEXT[1:], MASK)
KEY = jax.random.key(7)


def model_of(**options):
    return language_model(cells.lstm(5), V, 4, **options)


def modules(model, params, **how):
    """Yield the calls of both modules: of the module, of its loss and of its step."""
    linen, variables = LinenLanguageModel(model, **how), to_linen(params)
    yield (
        lambda *a, **k: linen.apply(variables, *a, **k),
        lambda *a, **k: linen.apply(variables, *a, method="loss", **k),
        lambda *a: linen.apply(variables, *a, method="step"),
    )
    module = NnxLanguageModel.from_params(model, params, **how)
    yield module, module.loss, module.step


def test_log_probs_loss_and_steps_are_the_models():
    model = model_of()
    params = random_params(model)
    state = jax.tree.map(lambda a: a + 0.3, model.initial_state((B,)))
    last, nats = model.token_nll(params, state, BATCH.inputs, BATCH.targets)
    total, scored = model.loss_fn(params, state, BATCH, None)
    for call, loss, step in modules(model, params):
        carry, log_probs = call(BATCH.inputs.T, initial_carry=state, return_carry=True)
        assert log_probs.shape == (B, T, V)
        found = -np.take_along_axis(np.asarray(log_probs), BATCH.targets.T[..., None], -1)[..., 0]
        np.testing.assert_allclose(found, nats.T, rtol=0, atol=2e-6)
        assert_close(carry, last, 1e-6)
        value, also = loss(BATCH.inputs.T, BATCH.targets.T, MASK.T, initial_carry=state)
        np.testing.assert_allclose(value, total, rtol=1e-6)
        assert int(also.tokens) == int(scored.tokens) == MASK.sum()
        first = step(model.initial_state((B,)), BATCH.inputs[0])
        np.testing.assert_allclose(first[1], call(BATCH.inputs[:1].T)[:, 0], rtol=0, atol=2e-6)
    for call, loss, _ in modules(model, params, time_major=True, return_carry=True):
        carry, again = call(BATCH.inputs, initial_carry=state)
        np.testing.assert_array_equal(again, log_probs.swapaxes(0, 1))
        np.testing.assert_allclose(loss(*BATCH[:2], initial_carry=state)[0], nats.sum(), rtol=1e-6)


OUTPUTS = {
    "softmax": {},
    "maxent": {"order": 2, "table_size": 64, "classes": 3, "l2": 0.1},
    "importance": {"num_samples": 4},
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_gradient_of_the_loss_is_that_of_training(name):
    words = None if name == "softmax" else WORDS
    model = model_of(output=make(name, words, **OUTPUTS[name]), dropout=Dropout(0.2, 0.2, 0.2))
    params, state = random_params(model), model.initial_state((B,))
    (expected, scored), gradient = jax.jit(loss_and_gradient, static_argnums=0)(model, params, state, BATCH, KEY)
    found = jax.jit(jax.value_and_grad(training_loss, 1, has_aux=True), static_argnums=0)(
        model, params, state, BATCH, KEY
    )
    np.testing.assert_allclose(found[0][0], expected, rtol=1e-6)
    assert_close(found[0][1], scored, 1e-6)
    assert_close(found[1], gradient, 1e-5)


def test_dropout_and_samples_are_drawn_only_in_training():
    model = model_of(output=make("nce", WORDS, num_samples=4), dropout=Dropout(0.5, 0.5, 0.5))
    params = random_params(model)
    exact = jax.jit(model.loss_fn)(params, model.initial_state((B,)), BATCH, None)[0]
    module, variables = LinenLanguageModel(model, time_major=True), to_linen(params)

    @functools.partial(jax.jit, static_argnums=0)
    def loss(train, seed):
        rngs = {"dropout": jax.random.key(seed)}
        return module.apply(variables, *BATCH, train=train, rngs=rngs, method="loss")[0]

    np.testing.assert_allclose(loss(False, 0), exact, rtol=1e-6)
    assert len({float(loss(train, seed)) for train, seed in ((False, 0), (True, 0), (True, 1))}) == 3
    assert loss(True, 1) == loss(True, 1)

    @nnx.jit
    def nnx_loss(module, rngs):
        return module.loss(*BATCH, rngs=rngs)[0]

    nnx_module, rngs = NnxLanguageModel.from_params(model, params, time_major=True), nnx.Rngs(dropout=0)
    np.testing.assert_allclose(nnx_loss(nnx_module, None), exact, rtol=1e-6)
    assert len({float(exact), *(float(nnx_loss(nnx_module, rngs)) for _ in range(2))}) == 3
    with pytest.raises(UserError, match='rngs={"dropout": key}'):
        module.apply(variables, *BATCH, train=True, method="loss")


def test_both_train_like_the_pure_functions():
    """Three steps of truncated back-propagation with carried state give equal parameters and a falling loss."""
    model = model_of(tie_embeddings=False)
    rule, params = optax.sgd(0.5), random_params(model)
    module = LinenLanguageModel(model, time_major=True)
    linen = TrainState.create(apply_fn=module.apply, params=to_linen(params)["params"], tx=rule)
    module = NnxLanguageModel.from_params(model, jax.tree.map(jnp.copy, params), time_major=True)
    optimizer = nnx.Optimizer(module, rule, wrt=nnx.Param)

    @jax.jit
    def linen_step(state, carry):
        def loss(params):
            nats, scored = state.apply_fn({"params": params}, *BATCH, initial_carry=carry, method="loss")
            return nats / scored.tokens, scored

        (mean, scored), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        return state.apply_gradients(grads=gradient), scored.state, mean

    @nnx.jit
    def nnx_step(module, optimizer, carry):
        def loss(module):
            nats, scored = module.loss(*BATCH, initial_carry=carry)
            return nats / scored.tokens, scored

        (mean, scored), gradient = nnx.value_and_grad(loss, has_aux=True)(module)
        optimizer.update(module, gradient)
        return scored.state, mean

    @jax.jit
    def pure_step(params, carry):
        (mean, scored), gradient = loss_and_gradient(model, params, carry, BATCH, None, normaliser=MASK.sum())
        return jax.tree.map(lambda p, g: p - 0.5 * g, params, gradient), scored.state, mean

    carries, losses = [model.initial_state((B,))] * 3, []
    for _ in range(3):
        linen, carries[0], first = linen_step(linen, carries[0])
        carries[1], second = nnx_step(module, optimizer, carries[1])
        params, carries[2], third = pure_step(params, carries[2])
        np.testing.assert_allclose([first, second], third, rtol=1e-6)
        losses.append(float(third))
    assert losses[2] < losses[1] < losses[0]
    assert_close(from_linen({"params": linen.params}), params, 1e-5)
    assert_close(to_params(module), params, 1e-5)
    assert_close(carries[0], carries[2], 1e-5)


def test_fresh_parameters_are_the_models():
    model = model_of(tie_embeddings=False, init_scale=0.1)
    drawn = LinenLanguageModel(model).init(jax.random.key(0), BATCH.inputs.T)
    assert jax.tree.structure(from_linen(drawn)) == jax.tree.structure(random_params(model))
    module = NnxLanguageModel(model, rngs=nnx.Rngs(3))
    assert_close(to_params(module), model.init(nnx.Rngs(3).params()), 0)
    set_params(module, random_params(model))
    assert_close(to_params(module), random_params(model), 0)
    tied = language_model(cells.elman(4), V, tie_embeddings=True)
    params = random_params(tied)
    assert to_params(NnxLanguageModel.from_params(tied, params)).output.w is None


@pytest.mark.parametrize(
    ("args", "options", "complaint"),
    [
        ((TEXT.astype(np.float32),), {}, "token ids, integers"),
        ((TEXT[0],), {}, r"`tokens` are \(batch, time\), not of shape"),
        ((TEXT,), {"initial_carry": cells.gru(5).initial_state((T + 1,))}, "not a state of this model"),
        ((TEXT,), {"initial_carry": "a state"}, "not a state of this model"),
        (("the cat",), {}, "`tokens` must be an array of numbers, not this str"),
        ((TEXT,), {"initial_carry": cells.lstm(5).initial_state((B,))}, "these tokens need float32"),
    ],
)
def test_impossible_calls_are_refused(args, options, complaint):
    model = model_of()
    for call, loss, step in modules(model, random_params(model)):
        with pytest.raises(UserError, match=complaint):
            call(*args, **options)
        with pytest.raises(UserError, match=r"`targets` has shape \(7, 2\)"):
            loss(TEXT, TEXT[:, :2])
        with pytest.raises(UserError, match="`mask` has shape"):
            loss(TEXT, TEXT, MASK)
        with pytest.raises(UserError, match="`token` are token ids"):
            step(model.initial_state((B,)), np.ones(B))


def test_other_objects_and_parameters_are_refused():
    for build in (lambda m: LinenLanguageModel(m), lambda m: NnxLanguageModel(m, rngs=nnx.Rngs(0))):
        with pytest.raises(UserError, match="takes a model made by language_model, not Cell"):
            build(cells.lstm(5))
    with pytest.raises(UserError, match="this NnxLanguageModel needs"):
        NnxLanguageModel.from_params(model_of(), random_params(language_model(cells.lstm(6), V, 4)))
    with pytest.raises(UserError, match="no weights for this language model"):
        LinenLanguageModel(model_of()).apply({}, TEXT)

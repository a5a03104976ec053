"""Nnx: transforms over our cells, parameters in and out of modules, training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from rnnlm_jax import UserError, cells, unroll
from rnnlm_jax.interop.nnx import NnxCell, NnxRNN, set_params, to_params
from tests.unroll.programs import B, D, H, T, assert_close, make, random_arrays

CELL = make("lstm", param_dtype="float32")
PARAMS, STATE, XS = random_arrays(CELL, "lstm")  # time first


@functools.cache
def of_unroll():
    return unroll(CELL, PARAMS, STATE, XS)


def same(found, expected=None):
    expected = of_unroll() if expected is None else expected
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), found, expected)


def module_of(params=PARAMS):
    return NnxCell.from_params(CELL, params)


def test_nnx_scan_and_remat():
    @nnx.jit
    @nnx.scan(in_axes=(None, nnx.Carry, 0), out_axes=(nnx.Carry, 0))
    @nnx.remat
    def scan(module, carry, x):
        return module(carry, x)

    same(scan(module_of(), STATE, XS))


@pytest.mark.parametrize("rnn_class", [nnx.RNN, NnxRNN])
def test_jit_grad_and_remat_are_those_of_unroll(rnn_class):
    rnn = rnn_class(module_of(), time_major=True)

    @nnx.jit
    @nnx.grad
    def gradient(rnn):
        return jnp.square(nnx.remat(lambda rnn: rnn(XS))(rnn)).sum()

    def loss(params):
        return jnp.square(unroll(CELL, params, CELL.initial_state((B,)), XS)[1]).sum()

    found = gradient(rnn)["cell"]["weights"]
    expected = jax.grad(loss)(PARAMS)
    for name in PARAMS._fields:
        assert_close(found[name].get_value(), getattr(expected, name), 1e-5)


def test_vmap_over_sequences_and_over_models():
    rnn = NnxRNN(module_of(), return_carry=True)
    last, hs = nnx.vmap(lambda rnn, xs, state: rnn(xs, initial_carry=state), in_axes=(None, 1, 0))(rnn, XS, STATE)
    same((last, hs.swapaxes(0, 1)))
    cell = cells.elman(H, recurrent_init="identity")

    @nnx.split_rngs(splits=2)
    @nnx.vmap
    def draw(rngs):
        return NnxCell(cell, D, rngs=rngs)

    ensemble = draw(nnx.Rngs(0))
    hs = nnx.vmap(lambda module: NnxRNN(module, time_major=True)(XS))(ensemble)
    assert np.abs(hs[0] - hs[1]).max() > 0.1
    for k in range(2):
        params = jax.tree.map(lambda a, k=k: a[k], to_params(ensemble))
        same(hs[k], unroll(cell, params, cell.initial_state((B,)), XS)[1])


def test_parameters_in_and_out():
    tower = cells.stack(CELL, make("gru-reset-before", param_dtype="float32"))  # tuples, and a missing bias
    params, state, _ = random_arrays(tower, "tower")
    module = NnxCell.from_params(tower, params)
    assert module.in_features == D
    assert_close(to_params(module), params, 0)
    assert to_params(module)[0].w_h is params[0].w_h
    graph, leaves = nnx.split(NnxRNN(module, return_carry=True, time_major=True))
    assert set(nnx.to_pure_dict(leaves)["cell"]["weights"][0]) == {"w_x", "w_h", "b"}
    merged = nnx.merge(graph, leaves, copy=True)
    same(merged(XS, initial_carry=state), unroll(tower, params, state, XS))
    moved = jax.tree.map(lambda a: np.asarray(a + 1), params)
    set_params(merged, moved)
    assert_close(to_params(merged), moved, 0)
    assert_close(to_params(module), params, 0)  # only the copy has changed


def test_fresh_weights_are_those_of_init():
    key = nnx.Rngs(5).params()
    assert_close(to_params(NnxCell(CELL, D, rngs=nnx.Rngs(5))), CELL.init(key, D), 0)


@pytest.mark.parametrize("rnn_class", [nnx.RNN, NnxRNN])
def test_optimizer_trains_like_the_pure_functions(rnn_class):
    targets = jnp.asarray(np.random.default_rng(1).normal(size=(T, B, H)), jnp.float32)
    rule = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.05))
    rnn = rnn_class(module_of(jax.tree.map(jnp.copy, PARAMS)), time_major=True)
    optimizer = nnx.Optimizer(rnn, rule, wrt=nnx.Param)

    @nnx.jit
    def step(rnn, optimizer):
        value, gradient = nnx.value_and_grad(lambda rnn: jnp.square(rnn(XS) - targets).mean())(rnn)
        optimizer.update(rnn, gradient)
        return value

    @jax.jit
    def pure_step(params, memory):
        def loss(params):
            return jnp.square(unroll(CELL, params, CELL.initial_state((B,)), XS)[1] - targets).mean()

        updates, memory = rule.update(jax.grad(loss)(params), memory, params)
        return optax.apply_updates(params, updates), memory

    params, memory, losses = PARAMS, rule.init(PARAMS), []
    for _ in range(3):
        losses.append(float(step(rnn, optimizer)))
        params, memory = pure_step(params, memory)
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    assert_close(to_params(rnn), params, 1e-5)


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        (make("gru").init(jax.random.key(0), D), "is a GRUParams: this lstm cell needs a LSTMParams"),
        (PARAMS._replace(w_h=PARAMS.w_h.T), rf"parameter w_h has shape \({4 * H}, {H}\)"),
        ({"w_x": PARAMS.w_x}, "lacks w_h, b"),
        (PARAMS._replace(b=None), "parameter b is a NoneType"),
    ],
)
def test_parameters_of_other_cells_are_refused(params, complaint):
    with pytest.raises(UserError, match=complaint):
        NnxCell.from_params(CELL, params)
    module = module_of()
    with pytest.raises(UserError, match=complaint.replace("this lstm cell", "this NnxCell")):
        set_params(module, params)
    assert_close(to_params(module), PARAMS, 0)  # unchanged


def test_impossible_modules_and_calls_are_refused():
    for wrong, complaint in (("lstm", "not str"), (cells.no_cell(), "nothing to run")):
        with pytest.raises(UserError, match=complaint):
            NnxCell(wrong, D, rngs=nnx.Rngs(0))
    with pytest.raises(UserError, match="`in_features` must be a positive whole number"):
        NnxCell(CELL, 0, rngs=nnx.Rngs(0))
    with pytest.raises(UserError, match=r"NnxCell draws its weights from rngs=nnx.Rngs\(seed\), not PRNGKeyArray"):
        NnxCell(CELL, D, rngs=jax.random.key(0))
    with pytest.raises(UserError, match="`inputs` must be an array of numbers, not this str"):
        NnxRNN(module_of())("the cat")
    with pytest.raises(UserError, match="NnxRNN takes an NnxCell"):
        NnxRNN(CELL)
    with pytest.raises(UserError, match="a Linear has no weights"):
        to_params(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    with pytest.raises(UserError, match="not from `carry_init`"):
        module_of().initialize_carry((B, D), carry_init=nnx.initializers.ones)

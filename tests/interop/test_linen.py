"""Linen: transforms over our cells, parameters that stay one tree, training."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import serialization
from flax.core import freeze, unfreeze
from flax.training.train_state import TrainState

from rnnlm_jax import UserError, cells, unroll
from rnnlm_jax.interop.linen import LinenCell, LinenRNN, from_linen, to_linen
from tests.unroll.programs import B, D, H, T, assert_close, make, random_arrays

CELL = make("lstm", param_dtype="float32")
PARAMS, STATE, XS = random_arrays(CELL, "lstm")  # time first
VARIABLES = to_linen(PARAMS)
PLAIN = cells.elman(H, recurrent_init="identity")  # quick to draw


def part(tree, k):
    return jax.tree.map(lambda a: a[k], tree)


@functools.cache
def of_unroll():
    return unroll(CELL, PARAMS, STATE, XS)


def same(found, expected=None):
    expected = of_unroll() if expected is None else expected
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), found, expected)


@pytest.mark.parametrize("cell_class", [LinenCell, nn.remat(LinenCell)])
def test_nn_scan_and_remat(cell_class):
    scan = nn.scan(cell_class, variable_broadcast="params", split_rngs={"params": False})
    same(jax.jit(scan(CELL).apply)(VARIABLES, STATE, XS))
    drawn = jax.eval_shape(scan(CELL).init, jax.random.key(0), STATE, XS)
    assert jax.tree.structure(drawn) == jax.tree.structure(VARIABLES)


def test_remat_inside_rnn_keeps_gradients():
    def loss(cell_class, variables):
        rnn = nn.RNN(cell_class(CELL), time_major=True)
        return jnp.square(rnn.apply({"params": {"cell": variables["params"]}}, XS)).sum()

    gradient = jax.jit(jax.grad(loss, 1), static_argnums=0)
    plain, again = gradient(LinenCell, VARIABLES), gradient(nn.remat(LinenCell), VARIABLES)
    assert isinstance(from_linen(plain), cells.LSTMParams)
    assert_close(again, plain, 1e-6)


def test_vmap_over_sequences_and_over_models():
    rnn = nn.RNN(LinenCell(CELL), return_carry=True)
    variables = to_linen(PARAMS, "cell")
    last, hs = jax.vmap(lambda xs, state: rnn.apply(variables, xs, initial_carry=state), (1, 0))(XS, STATE)
    same((last, hs.swapaxes(0, 1)))
    lifted = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, "in_axes": None, "axis_size": 2}
    ensemble = nn.vmap(LinenRNN, **lifted)(PLAIN, time_major=True)
    variables = ensemble.init(jax.random.key(0), XS)
    hs = jax.jit(ensemble.apply)(variables, XS)
    assert np.abs(hs[0] - hs[1]).max() > 0.1
    for k in range(2):
        params = part(from_linen(variables, "cell"), k)
        same(hs[k], unroll(PLAIN, params, PLAIN.initial_state((B,)), XS)[1])


def test_layers_by_nn_scan():
    """Equal layers with their parameters stacked on a leading axis, as is usual in linen."""

    cell = cells.elman(D, recurrent_init="identity")

    class Layer(nn.Module):
        @nn.compact
        def __call__(self, xs, _):
            return LinenRNN(cell, time_major=True, name="rnn")(xs), None

    layers = nn.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)()
    variables = layers.init(jax.random.key(0), XS, None)
    hs, _ = jax.jit(layers.apply)(variables, XS, None)
    stacked = from_linen(variables, "rnn", "cell")
    assert stacked.w_x.shape == (3, D, D)
    tower = cells.stack(*[cell] * 3)
    params = tuple(part(stacked, k) for k in range(3))
    same(hs, unroll(tower, params, tower.initial_state((B,)), XS)[1])


def test_parameters_survive_serialisation_and_freezing():
    tower = cells.stack(CELL, make("gru-reset-before", param_dtype="float32"))  # tuples, and a missing bias
    params, state, _ = random_arrays(tower, "tower")
    variables, module = to_linen(params, "cell"), LinenRNN(tower, time_major=True, return_carry=True)
    assert from_linen(variables, "cell") is params
    expected = unroll(tower, params, state, XS)
    blank = jax.tree.map(jnp.zeros_like, variables)
    as_bytes = serialization.to_bytes(variables)
    copies = {
        "from_bytes": serialization.from_bytes(blank, as_bytes),
        "state_dict": serialization.from_state_dict(blank, serialization.to_state_dict(variables)),
        "frozen": freeze(variables),
        "unfrozen": unfreeze(freeze(variables)),
        "without its tuples": serialization.msgpack_restore(as_bytes),
    }
    for name, copy in copies.items():
        same(module.apply(copy, XS, initial_carry=state), expected)
        if name != "without its tuples":
            assert_close(from_linen(copy, "cell"), params, 0)
    table = nn.tabulate(module, jax.random.key(0))(XS)
    assert f"{sum(a.size for a in jax.tree.leaves(params)):,}" in table


def test_train_state_trains_like_the_pure_functions():
    """Adam with weight decay on matrices only gives equal parameters after three steps, and a falling loss."""
    targets = jnp.asarray(np.random.default_rng(1).normal(size=(T, B, H)), jnp.float32)
    mask = lambda tree: jax.tree.map(lambda a: a.ndim > 1, tree)  # noqa: E731
    rule = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.05, weight_decay=0.1, mask=mask))
    module = LinenRNN(CELL, time_major=True)

    @jax.jit
    def step(state):
        def loss(params):
            return jnp.square(state.apply_fn({"params": params}, XS) - targets).mean()

        value, gradient = jax.value_and_grad(loss)(state.params)
        return state.apply_gradients(grads=gradient), value

    @jax.jit
    def pure_step(params, memory):
        def loss(params):
            return jnp.square(unroll(CELL, params, CELL.initial_state((B,)), XS)[1] - targets).mean()

        updates, memory = rule.update(jax.grad(loss)(params), memory, params)
        return optax.apply_updates(params, updates), memory

    state = TrainState.create(apply_fn=module.apply, params=to_linen(PARAMS, "cell")["params"], tx=rule)
    params, memory, losses = PARAMS, rule.init(PARAMS), []
    for _ in range(3):
        state, value = step(state)
        params, memory = pure_step(params, memory)
        losses.append(float(value))
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    assert_close(from_linen({"params": state.params}, "cell"), params, 1e-6)


def test_our_rnn_has_the_variables_of_flaxs():
    theirs, ours, wrapped = (
        module.init(jax.random.key(3), XS)
        for module in (nn.RNN(LinenCell(CELL)), LinenRNN(CELL), LinenRNN(LinenCell(CELL)))
    )
    assert_close(ours, theirs, 0)
    assert_close(wrapped, theirs, 0)


WRONG = {
    "another cell's": (make("gru", param_dtype="float32"), "parameters is a LSTMParams: this gru cell .* GRUParams"),
    "another size": (cells.lstm(H + 1), rf"parameter w_x has shape \({D}, {4 * H}\)"),
}


@pytest.mark.parametrize("what", WRONG)
def test_weights_that_do_not_fit_are_refused(what):
    cell, complaint = WRONG[what]
    with pytest.raises(UserError, match=complaint):
        LinenRNN(cell).apply(to_linen(PARAMS, "cell"), XS)


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        ({"w_x": 1, "w_h": 2}, "lacks b: this lstm cell"),
        ({**PARAMS._asdict(), "kernel": 1}, "has kernel, which is unknown"),
        ({**PARAMS._asdict(), "b": "zeros"}, "parameter b is a str"),
        (PARAMS._replace(w_h=PARAMS.w_h.T), rf"parameter w_h has shape \({4 * H}, {H}\).*needs \({H}, {4 * H}\)"),
        (list(PARAMS), "is a list: this lstm cell .* LSTMParams"),
        (PARAMS.w_x, "the whole of the parameters is a"),
    ],
)
def test_trees_that_are_not_parameters_are_refused(weights, complaint):
    with pytest.raises(UserError, match=complaint):
        LinenRNN(CELL).apply(to_linen(weights, "cell"), XS)


def test_other_objects_and_wrong_paths_are_refused():
    for wrong, complaint in (("lstm", "not str"), (cells.lstm, "not function"), (cells.no_cell(), "nothing to run")):
        with pytest.raises(UserError, match=complaint):
            LinenCell(wrong)
        with pytest.raises(UserError, match=complaint):
            LinenRNN(wrong)
    with pytest.raises(UserError, match="no weights for this lstm cell"):
        LinenRNN(CELL).apply({}, XS)
    with pytest.raises(UserError, match="no 'cell' on the way to params/cell/weights: found weights"):
        from_linen(VARIABLES, "cell")

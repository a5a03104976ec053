"""Outputs, final states and every gradient against torch, in float64, where torch has the cell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, unroll
from tests.unroll.programs import assert_close, jit, random_like

try:
    import torch
except ImportError:
    torch = None

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(torch is None, reason="torch is not installed: pip install 'rnnlm_jax[peers]'"),
]

T, B, D, H, P = 6, 3, 4, 5, 2
F64 = {"param_dtype": "float64"}

#: name: our cell, torch's module class and its options, number of gates (their order is the same in both libraries).
PAIRS = {
    "elman-tanh": (lambda: cells.elman(H, "tanh", **F64), "RNN", {"nonlinearity": "tanh"}, 1),
    "elman-relu": (lambda: cells.elman(H, "relu", **F64), "RNN", {"nonlinearity": "relu"}, 1),
    "lstm": (lambda: cells.lstm(H, **F64), "LSTM", {}, 4),
    "lstm-projected": (lambda: cells.projected_lstm(H, P, **F64), "LSTM", {"proj_size": P}, 4),
    "gru": (lambda: cells.gru(H, "after", **F64), "GRU", {}, 3),
}


def layers_of(cell, tree):
    """Yield (our params or state, torch's suffix) of each layer and direction, in torch's order."""
    if isinstance(cell, cells.Stack):
        for k, layer in enumerate(cell.layers):
            for part, suffix in layers_of(layer, tree[k]):
                yield part, suffix.replace("l0", f"l{k}")
    elif isinstance(cell, cells.Bidirectional):
        yield tree.forward, "l0"
        yield tree.backward, "l0_reverse"
    else:
        yield tree, "l0"


def torch_module(name, cell, params, layers, bidirectional):
    """Return torch's module with our parameters.

    Its input bias is our ``b``; its recurrent bias is zero, except for the GRU's candidate, our ``b_n``.
    """
    _, kind, options, gates = PAIRS[name]
    module = getattr(torch.nn, kind)(D, H, num_layers=layers, bidirectional=bidirectional, **options).double()
    with torch.no_grad():
        for p, suffix in layers_of(cell, params):
            getattr(module, f"weight_ih_{suffix}").copy_(as_torch(p.w_x.T))
            getattr(module, f"weight_hh_{suffix}").copy_(as_torch(p.w_h.T))
            getattr(module, f"bias_ih_{suffix}").copy_(as_torch(p.b))
            recurrent_bias = np.zeros((gates, H))
            if name == "gru":
                recurrent_bias[2] = p.b_n
            getattr(module, f"bias_hh_{suffix}").copy_(as_torch(recurrent_bias.ravel()))
            if name == "lstm-projected":
                getattr(module, f"weight_hr_{suffix}").copy_(as_torch(p.w_p.T))
    return module


def torch_gradients(name, cell, params, module):
    """Return torch's gradients in the shape of our parameters."""
    parts = []
    for p, suffix in layers_of(cell, params):
        gradient = {
            "w_x": getattr(module, f"weight_ih_{suffix}").grad.T,
            "w_h": getattr(module, f"weight_hh_{suffix}").grad.T,
            "b": getattr(module, f"bias_ih_{suffix}").grad,
        }
        if name == "gru":
            gradient["b_n"] = getattr(module, f"bias_hh_{suffix}").grad[2 * H :]
        if name == "lstm-projected":
            gradient["w_p"] = getattr(module, f"weight_hr_{suffix}").grad.T
        parts.append(type(p)(**{k: np.asarray(v) for k, v in gradient.items()}))
    return parts


def as_torch(array):
    return torch.tensor(np.asarray(array))


def as_leaf(array):
    return as_torch(array).requires_grad_()


@pytest.mark.parametrize(
    ("layers", "bidirectional"), [(1, False), (2, False), (1, True), (2, True)], ids=["one", "two", "both", "two-both"]
)
@pytest.mark.parametrize("name", PAIRS)
def test_outputs_states_and_gradients_equal_torchs(name, layers, bidirectional):
    single = PAIRS[name][0]()
    layer = cells.bidirectional(single, single) if bidirectional else single
    cell = cells.stack(*[layer] * layers) if layers > 1 else layer

    rng = np.random.default_rng(0)
    params = random_like(jax.eval_shape(lambda: cell.init(jax.random.key(0), D)), rng)
    # Torch's LSTMP keeps the projected state, ours the unprojected one: only zero is equal in both.
    scale = 0.0 if name == "lstm-projected" else 0.5
    state = random_like(jax.eval_shape(lambda: cell.initial_state((B,))), rng, scale)
    xs = jnp.asarray(rng.standard_normal((T, B, D)))
    state_weights = random_like(state, rng)
    weights = jnp.asarray(rng.standard_normal((T, B, cell.spec.output_size)))

    def shown(params, state):
        """Return the states as torch has them: a projected LSTM's hidden state after its projection."""
        parts = [s for s, _ in layers_of(cell, state)]
        if name == "lstm-projected":
            w_ps = [p.w_p for p, _ in layers_of(cell, params)]
            parts = [s._replace(hidden=s.hidden @ w) for s, w in zip(parts, w_ps, strict=True)]
        return parts

    def loss(params, state, xs):
        final, hs = unroll(cell, params, state, xs)
        final = shown(params, final)
        weighted = zip(jax.tree.leaves(final), jax.tree.leaves(shown(params_of_weights, state_weights)), strict=True)
        return (weights * hs).sum() + sum((a * w).sum() for a, w in weighted), (final, hs)

    params_of_weights = params  # fixed numbers, the same for torch
    gradients, (final, hs) = jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(params, state, xs)

    module = torch_module(name, cell, params, layers, bidirectional)
    their_xs = as_leaf(xs)
    start = shown(params, state)
    their_state = [as_leaf(np.stack([getattr(s, field) for s in start])) for field in start[0]._fields]
    their_hs, their_final = module(their_xs, tuple(their_state) if len(their_state) == 2 else their_state[0])
    their_final = their_final if isinstance(their_final, tuple) else (their_final,)
    targets = shown(params, state_weights)
    their_loss = (as_torch(weights) * their_hs).sum()
    for field, value in zip(start[0]._fields, their_final, strict=True):
        their_loss = their_loss + (as_torch(np.stack([getattr(w, field) for w in targets])) * value).sum()
    their_loss.backward()

    assert_close(hs, their_hs.detach().numpy(), 1e-10)
    for k, field in enumerate(start[0]._fields):
        ours = np.stack([getattr(s, field) for s in final])
        assert_close(ours, their_final[k].detach().numpy(), 1e-10)
    assert_close(gradients[2], their_xs.grad.numpy(), 1e-10)
    ours = [part for part, _ in layers_of(cell, gradients[0])]
    assert_close(ours, torch_gradients(name, cell, params, module), 1e-10)
    our_states = [part for part, _ in layers_of(cell, gradients[1])]
    for k, field in enumerate(start[0]._fields):
        theirs = [their_state[k].grad[n].numpy() for n in range(len(our_states))]
        if name == "lstm-projected" and field == "hidden":  # the chain rule through the projection
            theirs = [g @ np.asarray(p.w_p).T for g, (p, _) in zip(theirs, layers_of(cell, params), strict=True)]
        assert_close([getattr(s, field) for s in our_states], theirs, 1e-10)

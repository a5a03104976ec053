"""Initial values: of recurrent matrices by name, of gates' blocks, and of biases."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.cells import initializers
from rnnlm_jax.cells.cell_registry import CELLS
from tests.cells import reference
from tests.unroll.programs import jit

KEY = jax.random.key(0)

#: The order of the gates in the library's parameters, "" for a cell without gates. Cells whose parameters are not
#: blocks of gates, and those with initial values of their own, are tested in ``test_<family>.py``.
ORDER = {
    name: gates
    for name, (_, gates) in reference.CELLS.items()
    if isinstance(gates, str) and name not in reference.OWN_INITIALIZATION
}
GATES = {name: max(1, len(order)) for name, order in ORDER.items()}
FORGETTING = {name: order for name, order in ORDER.items() if "f" in order}

HIDDEN, INPUTS = 40, 30


@functools.cache
def initial_params(name):
    cell = cells.make(name, HIDDEN, param_dtype="float64")
    return jit(lambda key: cell.init(key, INPUTS))(KEY)


def blocks(array, gates):
    return np.split(np.asarray(array), gates, axis=-1)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_orthogonal_matrices_are_orthogonal(dtype):
    w = initializers.orthogonal(KEY, (7, 7), jnp.dtype(dtype))
    assert w.dtype == dtype
    w = np.asarray(w, np.float64)
    error = np.abs(w @ w.T - np.eye(7)).max()
    assert error < {"float64": 1e-14, "float32": 1e-6, "bfloat16": 2e-2}[dtype]


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm-1997", "lstm-layer-norm"])
def test_each_gate_has_an_orthogonal_block_of_its_own(name):
    parts = blocks(initial_params(name).w_h, GATES[name])
    for w in parts:
        np.testing.assert_allclose(w @ w.T, np.eye(HIDDEN), atol=1e-13)
    assert not np.allclose(parts[0], parts[1])


def test_irnn_starts_at_the_identity():
    params = initial_params("irnn")
    np.testing.assert_array_equal(params.w_h, np.eye(HIDDEN))
    np.testing.assert_array_equal(params.b, np.zeros(HIDDEN))


@pytest.mark.parametrize("radius", [0.0, 0.9, 1.0, 1.7])
def test_a_matrix_has_the_given_spectral_radius(radius):
    init = initializers.spectral_radius(radius)
    for draw in (init, jit(init, static_argnums=(1, 2))):
        w = np.asarray(draw(KEY, (12, 12), jnp.float64))
        assert np.abs(np.linalg.eigvals(w)).max() == pytest.approx(radius, rel=1e-12)
    assert init(KEY, (3, 3), jnp.float32).dtype == np.float32


def test_spectral_radius_of_an_ensemble():
    """Each member of a vmap is scaled by its own largest eigenvalue."""
    keys = jax.random.split(KEY, 3)
    init = initializers.spectral_radius(0.5)
    together = jax.vmap(lambda key: init(key, (6, 6), jnp.float64))(keys)
    for key, w in zip(keys, together, strict=True):
        np.testing.assert_allclose(w, init(key, (6, 6), jnp.float64), rtol=1e-13)
        assert np.abs(np.linalg.eigvals(np.asarray(w))).max() == pytest.approx(0.5, rel=1e-12)


def test_spectral_radius_is_named_and_made_once():
    w = cells.elman(6, recurrent_init="spectral_radius", param_dtype="float64").init(KEY, 2).w_h
    assert np.abs(np.linalg.eigvals(np.asarray(w))).max() == pytest.approx(1.0, rel=1e-12)
    once, twice = (cells.elman(6, recurrent_init=initializers.spectral_radius(0.7)) for _ in range(2))
    assert once is twice
    made = cells.elman(6, recurrent_init=initializers.spectral_radius(np.float64(0.7)))
    assert made.init(KEY, 2).w_h.dtype == np.float32


@pytest.mark.parametrize("name", ORDER)
def test_glorot_limits_are_those_of_one_gate(name):
    """Limits from one gate's fan-out, not from the fused matrix's; enough draws to come near them."""
    params = initial_params(name)
    maps = [(params.w_x, INPUTS)]
    if name == "lstm-projected":  # Glorot unless asked otherwise: H/4 = 10 units feed back
        maps.append((params.w_h, 10))
        assert 0.98 < np.abs(params.w_p).max() / np.sqrt(6 / (HIDDEN + 10)) < 1
    for w, fan_in in maps:
        words = 4 if name == "feed-forward" else 1  # whose blocks are one map, from the window to the units
        limit = np.sqrt(6 / (words * fan_in + HIDDEN))
        for block in blocks(w, GATES[name]):
            assert block.shape == (fan_in, HIDDEN)
            assert 0.98 * limit < np.abs(block).max() < limit
            assert abs(block.mean()) < 0.1 * limit


@pytest.mark.parametrize("name", ORDER)
def test_biases_start_at_zero_but_for_the_forget_gate(name):
    """The forget bias is in the forget gate's block and only there; everything else starts at zero, gains at one."""
    if name in FORGETTING:
        params = initial_params(name)
        other = cells.make(name, HIDDEN, param_dtype="float64", forget_bias=2.5)
        for b, value in ((params.b, 1.0), (jit(lambda: other.init(KEY, INPUTS).b)(), 2.5)):
            wanted = [value if gate == "f" else 0.0 for gate in FORGETTING[name] for _ in range(HIDDEN)]
            np.testing.assert_array_equal(b, wanted)
    else:
        assert "forget_bias" not in CELLS.options(name)
        params = initial_params(name)
        if name == "feed-forward":  # four blocks meet in one sum
            np.testing.assert_array_equal(params.b_h, np.zeros(HIDDEN))
        else:
            np.testing.assert_array_equal(params.b, np.zeros(HIDDEN * GATES[name]))
    for field, value in params._asdict().items():
        if field.startswith("gain"):
            np.testing.assert_array_equal(value, np.ones_like(value))
        if field in ("b_c", "b_n") and value is not None:
            np.testing.assert_array_equal(value, np.zeros(HIDDEN))


def test_peepholes_are_drawn_small_and_apart():
    params = initial_params("lstm-peephole")
    peeps = np.stack([params.peep_i, params.peep_f, params.peep_o])
    assert 0 < np.abs(peeps).max() < HIDDEN**-0.5
    assert len(np.unique(peeps)) == peeps.size


def test_an_initializer_may_be_a_function():
    def halves(key, shape, dtype):
        return jnp.full(shape, 0.5, dtype)

    params = cells.gru(4, recurrent_init=halves).init(KEY, 2)
    np.testing.assert_array_equal(params.w_h, np.full((4, 12), 0.5))


def test_the_key_determines_the_parameters():
    """The same key gives the same parameters, under jit too; another key, others, for every layer of a stack."""
    cell = cells.stack(cells.gru(4), cells.gru(4))
    one, jitted, other = cell.init(KEY, 4), jit(lambda k: cell.init(k, 4))(KEY), cell.init(jax.random.key(1), 4)
    np.testing.assert_array_equal(one[0].w_x, jitted[0].w_x)
    np.testing.assert_allclose(one[0].w_h, jitted[0].w_h, atol=1e-6)
    assert not np.allclose(one[0].w_x, other[0].w_x)
    assert not np.allclose(one[0].w_x, one[1].w_x)


def test_parameters_and_states_are_float32_unless_asked():
    for name in cells.names():
        cell = cells.make(name, 4)
        shapes = jax.eval_shape(lambda c=cell: (c.init(KEY, 3), c.initial_state((2,))))
        assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {np.dtype("float32")}

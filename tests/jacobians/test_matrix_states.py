"""Jacobians of cells whose state has parts of any rank: matrices, heads, a number a head; against autodiff."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, unroll
from rnnlm_jax.cells.state_vector import from_vector, state_size, to_vector
from rnnlm_jax.jacobians import (
    controlled,
    fixed_points,
    gradient_by_lag,
    lyapunov_spectrum,
    pascanu_omega,
    spectrum,
    state_cotangents,
    state_product,
    step_log_abs_det,
    top_singular,
)
from rnnlm_jax.jacobians.log_determinant import step_determinant
from rnnlm_jax.jacobians.products import part_of, products, select
from rnnlm_jax.jacobians.step_jacobian import autodiff_jacobian
from tests.unroll.programs import ADMISSIBLE, jit

T, B, D, H = 4, 2, 2, 2
WIDE = {"param_dtype": "float64"}
CELLS = {
    "gla": cells.gla(H, key_size=2, gate_rank=1, **WIDE),
    "deltanet": cells.deltanet(H, key_size=2, **WIDE),
    "mlstm": cells.mlstm(H, heads=2, key_size=2, **WIDE),
    "slstm": cells.slstm(H, heads=2, recurrent_init="orthogonal", **WIDE),
    "stack": cells.stack(cells.deltanet(H, **WIDE), cells.slstm(H, recurrent_init="orthogonal", **WIDE)),
}


@functools.cache
def case(name):
    """A cell, parameters, a batch of states, inputs, and the gradient of a loss by the outputs."""
    cell, rng = CELLS[name], np.random.default_rng(5)
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), D), cell.initial_state((B,))))
    params, state = jax.tree.map(lambda s: jnp.asarray(0.7 * rng.normal(size=s.shape)), shapes)
    if name == "stack":
        state = (state[0], ADMISSIBLE["slstm"](None, state[1])[1])
    elif name in ADMISSIBLE:
        params, state = ADMISSIBLE[name](params, state)
    return cell, params, state, jnp.asarray(rng.normal(size=(T, B, D))), jnp.asarray(rng.normal(size=(T, B, H)))


def one_sequence(name):
    cell, params, state, xs, _ = case(name)
    return cell, params, jax.tree.map(lambda a: a[0], state), xs[:, 0]


@functools.partial(jax.jit, static_argnums=0)
def jacobian_of_unroll(cell, params, state, xs):
    """``∂s_T / ∂s_0`` by reverse mode."""
    unravel = from_vector(cell)
    return jax.jacrev(lambda s: to_vector(unroll(cell, params, unravel(s), xs)[0]))(to_vector(state))


@functools.cache
def product_by_autodiff(name):
    return np.asarray(jacobian_of_unroll(*one_sequence(name)))


def with_changes(name, weight_of_last=0.0):
    """The loss of all outputs, or of the last one, as a function of a change of each state and each input."""
    cell, params, state, xs, errors = case(name)

    def loss(changes, input_changes):
        s = jax.tree.map(lambda a, change: a + change[0], state, changes)
        total = 0.0
        for t in range(T):
            z = cell.input_projection(params, xs[t] + input_changes[t])
            s = jax.tree.map(lambda a, change, t=t: a + change[t + 1], cell.step(params, s, z), changes)
            if not weight_of_last or t == T - 1:
                total += (cell.output(params, s, z) * errors[t]).sum()
        return total

    nothing = jax.tree.map(lambda a: jnp.zeros((T + 1, *a.shape)), state)
    return jit(jax.grad(loss, argnums=(0, 1)))(nothing, jnp.zeros_like(xs))


def of_sequences(part, leading):
    """A part of a state as vectors, after its leading axes."""
    return np.asarray(part).reshape(*part.shape[:leading], -1)


@pytest.mark.parametrize("name", CELLS)
def test_products_are_jacobians_of_unroll(name):
    found = state_product(*one_sequence(name), i=T, j=0).plain()
    np.testing.assert_allclose(found, product_by_autodiff(name), rtol=0, atol=1e-12)
    together = products(*case(name)[:4]).plain()
    np.testing.assert_allclose(together[T - 1, 0], product_by_autodiff(name), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_norms_by_lag_are_those_of_gradients_by_autodiff(name):
    cell, params, state, xs, errors = case(name)
    found = jit(
        lambda params: gradient_by_lag(cell, params, state, xs, loss_of_output=lambda h: (h * errors[-1]).sum(-1))
    )(params)
    by_state, by_input = with_changes(name, weight_of_last=1.0)
    for one, log_norm in zip(jax.tree.leaves(by_state), jax.tree.leaves(found.state), strict=True):
        with np.errstate(divide="ignore"):
            wanted = np.log(np.linalg.norm(of_sequences(one, 2), axis=-1))[::-1]
        assert log_norm.shape == (T + 1, B)
        np.testing.assert_allclose(log_norm, wanted, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.inputs, np.log(np.linalg.norm(by_input, axis=-1))[::-1], rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["gla", "deltanet", "mlstm", "slstm"])
def test_state_cotangents_are_gradients_with_respect_to_added_changes(name):
    cell, params, state, xs, errors = case(name)
    found = jit(state_cotangents, static_argnums=0)(cell, params, state, xs, output_cotangents=errors)
    by_state, _ = with_changes(name)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(by_state), strict=True):
        np.testing.assert_allclose(one, other[1:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["gla", "deltanet", "mlstm", "slstm"])
def test_log_determinants_are_those_of_the_matrices(name):
    """By the closed form, by a LU of each matrix, and their sum over a sequence by the spectrum."""
    cell, params, state, xs, _ = case(name)
    zs = cell.input_projection(params, xs)
    states = jax.tree.map(lambda a: jnp.broadcast_to(a, (T, *a.shape)), state)  # leading axes: time and batch
    if name in ("mlstm", "slstm"):  # where forget gates set the scale of the state, the Jacobian is regular
        states = states._replace(stabilizer=states.stabilizer + 10.0)
    one = functools.partial(autodiff_jacobian, cell, params)
    wanted = np.linalg.slogdet(jit(jax.vmap(jax.vmap(one)))(states, zs))[1]
    np.testing.assert_allclose(step_log_abs_det(cell, params, states, zs), wanted, rtol=0, atol=1e-10)
    without_facts = step_determinant(cell.with_facts(type(cell.facts)()), params, states, zs)
    np.testing.assert_allclose(without_facts.log_abs_det, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["gla", "deltanet"])
def test_spectra_are_singular_values_of_the_product(name):
    cell, params, state, xs = one_sequence(name)
    values = np.linalg.svd(product_by_autodiff(name), compute_uv=False)
    found = spectrum(cell, params, state, xs)
    np.testing.assert_allclose(found.log_singular_values[-1], np.log(values), rtol=0, atol=1e-9)
    top = top_singular(cell, params, state, xs, k=2, key=jax.random.key(0))
    np.testing.assert_allclose(top.log_singular_values, np.log(values[:2]), rtol=0, atol=1e-9)


def test_the_spectrum_of_gated_linear_attention_is_its_decays():
    """Each number of the memory decays by itself: singular values are the products of gates, one key d_v times."""
    cell, params, state, xs = one_sequence("gla")
    a = np.asarray(cell.input_projection(params, xs))[:, -2:]
    decays = -np.log1p(np.exp(-a)).sum(axis=0) / 16
    wanted = np.sort(np.repeat(decays, H))[::-1]
    found = spectrum(cell, params, state, xs)
    np.testing.assert_allclose(found.log_singular_values[-1], wanted, rtol=0, atol=1e-12)
    exponents = lyapunov_spectrum(cell, params, state, xs, key=jax.random.key(0)).exponents
    np.testing.assert_allclose(exponents.sum(), wanted.sum() / T, rtol=1e-12)  # each by itself only in the limit


@pytest.mark.parametrize("name", ["deltanet", "mlstm", "slstm"])
def test_omega_is_the_ratio_of_norms_over_the_whole_state(name):
    cell, params, state, xs, errors = case(name)
    found = pascanu_omega(cell, params, state, xs, loss_of_outputs=lambda hs: (hs * errors).sum())
    deltas, _ = with_changes(name)
    total, s = 0.0, state
    for t in range(T):
        z = cell.input_projection(params, xs[t])
        delta = jax.tree.map(lambda d, t=t: d[t + 1], deltas)
        (pulled,) = jax.vjp(lambda s, z=z: cell.step(params, s, z), s)[1](delta)
        norms = [
            np.sqrt(sum(np.square(of_sequences(part, 1)).sum(-1) for part in jax.tree.leaves(tree)))
            for tree in (pulled, delta)
        ]
        total += np.mean((norms[0] / norms[1] - 1) ** 2)
        s = cell.step(params, s, z)
    np.testing.assert_allclose(found, total, rtol=1e-10)


@pytest.mark.parametrize("name", ["gla", "mlstm"])
def test_masked_steps_have_the_identity_and_resets_have_zero(name):
    cell, params, state, xs = one_sequence(name)
    n = state_size(cell)
    for control, wanted in (
        ({"mask": np.zeros(T, bool)}, np.eye(n)),
        ({"resets": np.arange(T) == 2}, np.zeros((n, n))),
    ):
        changed = controlled(cell, xs, **control)
        found = state_product(changed.cell, params, state, changed.xs, i=T, j=0).plain()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


def test_parts_of_a_state_of_any_rank():
    """C, n and m of an mLSTM stand one after the other; ``∂C/∂m`` is a block of the product."""
    cell, params, state, xs = one_sequence("mlstm")
    slices = [part_of(cell, part) for part in ("memory", "normalizer", "stabilizer")]
    assert [(s.start, s.stop) for s in slices] == [(0, 4), (4, 8), (8, 10)]
    product = state_product(cell, params, state, xs, i=T, j=0)
    block = select(product, slices[0], slices[2]).plain()
    np.testing.assert_allclose(block, product_by_autodiff("mlstm")[:4, 8:], rtol=0, atol=1e-12)


def test_fixed_points_of_a_matrix_state():
    """A constant input stores v kᵀ / (1 - α) in the end."""
    cell, params, state, xs, _ = case("gla")
    x = xs[0, 0]
    found = fixed_points(cell, params, x, starts=state)
    z = np.asarray(cell.input_projection(params, x))
    k, v, a = z[2:4], z[4:6], z[-2:]
    wanted = np.outer(v, k) / (1 - (1 / (1 + np.exp(-a))) ** (1 / 16))
    assert found.converged.all()
    np.testing.assert_allclose(found.states.memory, np.tile(wanted, (B, 1, 1, 1)), rtol=1e-9)

"""Derivatives where gates and cells are saturated, against 60 digits; jax's rule for tanh loses them (jax#40315)."""

import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, unroll
from rnnlm_jax.arrays.activations import tanh
from rnnlm_jax.cells import LSTMState
from tests.cells import hyper_dual, reference
from tests.unroll.programs import ADMISSIBLE

T, D, H = 3, 2, 3
EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52}
EXECUTORS = ("scan", "structured", "native")


@pytest.fixture(autouse=True)
def digits():
    with mpmath.workdps(hyper_dual.DIGITS):
        yield


def drawn_like(tree, rng):
    """Numbers that float32 holds exactly, so that both precisions are held to one truth."""
    return jax.tree.map(lambda a: jnp.asarray(np.float32(rng.standard_normal(a.shape)), a.dtype), tree)


def problem(name, scale, dtype):
    """A cell whose preactivations are of the order of ``scale``, two directions, and the weights of a loss."""
    options = {"projection_size": 2} if name == "lstm-projected" else {}
    cell = cells.make(name, H, param_dtype=dtype, **options)
    rng = np.random.default_rng(int(scale))
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), D), cell.initial_state((1,))))
    params, state = drawn_like(shapes, rng)
    if name in ADMISSIBLE:
        params, state = ADMISSIBLE[name](params, state)
    if isinstance(state, LSTMState):
        state = state._replace(cell=jnp.asarray([[scale, -scale, -scale]], dtype))
    signs = np.float32(rng.choice([-1.0, 1.0], (T, 1, D)) * rng.uniform(0.9, 1.1, (T, 1, D)))
    arguments = (params, state, jnp.asarray(scale * signs, dtype))
    return cell, arguments, drawn_like(arguments, rng), drawn_like(arguments, rng), rng.standard_normal(50)


def exact(name, arguments, along_u, along_v, weights):
    """The loss, its derivatives along u and v, and the second one along both."""
    step = reference.CELLS[name][0]
    p, *directions = (reference.papers_parameters(name, tree[0]) for tree in (arguments, along_u, along_v))
    p = {key: hyper_dual.arrays(value, *(d[key] for d in directions)) for key, value in p.items()}

    def moving(pick):
        return hyper_dual.arrays(*(np.asarray(pick(tree)) for tree in (arguments, along_u, along_v)))

    state = tuple(moving(lambda tree, k=k: tree[1][k][0]) for k in range(len(arguments[1])))
    outputs = []
    for x in moving(lambda tree: tree[2][:, 0]):
        state, h = step(p, x, state)
        outputs.extend(h)
    flat = np.concatenate([part.reshape(-1) for part in state])
    total = sum((entry * w for entry, w in zip([*outputs, *flat], weights, strict=False)), 0)
    return [float(part) for part in total.parts]


def dot(a, b):
    return sum(jnp.sum(x * y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def derivatives(cell, executor, orders, arguments, along_u, along_v, weights):
    """The first derivative along u, and the second along u and v, by forward and reverse mode in some orders."""

    def loss(params, state, xs):
        final, hs = unroll(cell, params, state, xs, executor=executor)
        flat = jnp.concatenate([part.reshape(-1) for part in (hs, *jax.tree.leaves(final))])
        return (flat * weights[: flat.size].astype(flat.dtype)).sum()

    every = (0, 1, 2)

    gradient = jax.grad(loss, every)
    pushed = lambda *a: jax.jvp(loss, a, along_u)[1]  # noqa: E731
    every_order = {
        "first": lambda: dot(gradient(*arguments), along_u),
        "forward, forward": lambda: jax.jvp(pushed, arguments, along_v)[1],
        "forward, reverse": lambda: dot(jax.jvp(gradient, arguments, along_v)[1], along_u),
        "reverse, forward": lambda: dot(jax.grad(pushed, every)(*arguments), along_v),
        "reverse, reverse": lambda: dot(jax.grad(lambda *a: dot(gradient(*a), along_u), every)(*arguments), along_v),
    }
    return {order: every_order[order]() for order in ("first", *orders)}


SECOND = ("forward, forward", "reverse, reverse", "forward, reverse", "reverse, forward")

#: Every cell in one type, one of each family in both.
CASES = [(name, "float64") for name in cells.names()] + [(name, "float32") for name in ("elman-tanh", "lstm", "gru")]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_derivatives_of_saturated_cells(name, dtype):
    """Finite and right in every order of forward and reverse mode; rounding is relative to the inputs' squares.

    A member of each family is differentiated twice in all four orders, every other cell in two by turns.
    """
    index = list(cells.names()).index(name)
    turn = index + (dtype == "float64")  # the rest of the executors are held to each other
    orders = SECOND if dtype == "float32" else SECOND[2 * (index % 2) :][:2]
    room = 1e3 * EPSILON[dtype]
    for scale in (20.0, 100.0, 1e4):
        cell, *rest = problem(name, scale, dtype)
        _, first, _, second = exact(name, *rest)
        try:
            found = derivatives(cell, EXECUTORS[turn % 3], orders, *rest)
        except UserError:  # no kernel for it
            found = derivatives(cell, "structured", orders, *rest)
        for order, value in found.items():
            wanted, powers = (first, scale**2) if order == "first" else (second, scale**3)
            assert abs(float(value) - wanted) <= room * max(abs(wanted), powers), (scale, order)


LSTMS = ("lstm-1997", "lstm", "lstm-peephole", "lstm-coupled", "lstm-projected")


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("name", LSTMS)
def test_a_saturated_cell_passes_small_gradients_on(name, sign, executor):
    """``dL/dc_0 = 1e-3`` for ``L = 1e6 Σ h_t + 1e-3 Σ c_T`` where nothing is forgotten and tanh(c) is flat.

    With jax's rule for tanh scan and structured gave 0 at c = -40: 1e6 goes into the same sum and out again.
    """
    cell = cells.make(name, H)
    params = jax.tree.map(jnp.zeros_like, cell.init(jax.random.key(0), D))
    gates = {"lstm-1997": "igo", "lstm-coupled": "fgo"}.get(name, "ifgo")
    biases = [{"f": 30.0, "i": -30.0}.get(gate, 0.0) for gate in gates]
    params = params._replace(b=jnp.repeat(jnp.asarray(biases, jnp.float32), H))
    if name == "lstm-projected":
        params = params._replace(w_p=jnp.ones_like(params.w_p))
    state = cell.initial_state((1,))._replace(cell=jnp.full((1, H), 40.0 * sign, jnp.float32))
    xs = jnp.zeros((T, 1, D), jnp.float32)

    def loss(state):
        final, hs = unroll(cell, params, state, xs, executor=executor)
        return 1e6 * hs.sum() + 1e-3 * final.cell.sum()

    try:
        found = jax.jit(jax.grad(loss))(state).cell
    except UserError:
        pytest.skip("no kernel for it")
    np.testing.assert_allclose(found, np.full((1, H), 1e-3), rtol=1e-5)


ORDERS = {
    "forward, forward": lambda f: jax.jacfwd(jax.jacfwd(f)),
    "forward, reverse": lambda f: jax.jacfwd(jax.jacrev(f)),
    "reverse, forward": lambda f: jax.jacrev(jax.jacfwd(f)),
    "reverse, reverse": lambda f: jax.grad(jax.grad(f)),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", EPSILON)
def test_second_derivatives_of_jax_issue_40315(order, dtype):
    """jax#40315: with ``jnp.tanh`` it is 0 wherever reverse mode is outermost."""

    def f(v):
        u = -1e8 * v
        return tanh(u) * u * u

    found = ORDERS[order](f)(jnp.asarray(1.0, dtype))
    assert float(found) == pytest.approx(-2e16, rel=1e-6)


@pytest.mark.parametrize("x", [-40.0, -9.01, -1.0, -1e-3, 0.0, 1e-3, 0.5, 3.0, 18.0, 40.0])
def test_derivatives_of_tanh_are_exact_to_rounding(x):
    """First and second derivative, to the rounding of tanh itself."""
    value = tanh(jnp.asarray(x, jnp.float64))
    assert value == jnp.tanh(jnp.asarray(x, jnp.float64))
    slope = float(mpmath.sech(x) ** 2)
    curve = float(-2 * mpmath.tanh(x) * mpmath.sech(x) ** 2)
    for first in (jax.grad, jax.jacfwd):
        assert float(first(tanh)(x)) == pytest.approx(slope, rel=1e-14, abs=2e-15)
        for second in (jax.grad, jax.jacfwd):
            assert float(second(first(tanh))(x)) == pytest.approx(curve, rel=1e-13, abs=4e-15)

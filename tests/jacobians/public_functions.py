"""One call of every public function of ``jacobians``, for tests of properties that all of them have."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, jacobians

T, D, H = 6, 3, 4
CELL, SIMPLE = cells.lstm(H), cells.elman(H)
KEY = jax.random.key(2)


@functools.cache
def arrays():
    """Return random parameters, a state, T states, inputs and matrices, in float32."""
    rng = np.random.default_rng(0)

    def draw(tree):
        return jax.tree.map(lambda s: jnp.asarray(0.5 * rng.normal(size=s.shape), s.dtype), tree)

    shapes = jax.eval_shape(lambda: (CELL.init(KEY, D), CELL.initial_state(()), CELL.initial_state((T,))))
    params, state, states = draw(shapes)
    xs = jnp.asarray(rng.normal(size=(T, D)), jnp.float32)
    return params, state, states, xs, rng.normal(size=(5, H, H)).astype(np.float32)


def loss_of_output(h):
    return (h * h).sum(axis=-1)


def loss_of_outputs(hs):
    return (hs * hs).sum()


def squared(h):
    return h * h


def quartic(params):
    return sum((jnp.arange(1, p.size + 1, dtype=p.dtype) * p.ravel() ** 4).sum() for p in jax.tree.leaves(params))


def log_scale(product):
    return product.log_scale


def step_operator(cell, params, state, z):
    """Return ``Jᵀ J 1``, by both products of the operator."""
    operator = jacobians.step_operator(cell, params, state, z)
    return operator.vjp(operator.jvp(jnp.ones(2 * H, jnp.float32)))


def plain_step(params, state, x):
    """Return the state after a step of the cell, as a plain function."""
    return CELL.step(params, state, CELL.input_projection(params, x))


def calls_with_inputs(params, state, xs):
    """Return a call of each function that takes inputs over time, by the function's name."""
    return {
        "spectrum": lambda: jacobians.spectrum(CELL, params, state, xs, lags=[2, T]),
        "singular_vectors": lambda: jacobians.singular_vectors(CELL, params, state, xs, lags=[2, T]),
        "eigenvalue_moduli": lambda: jacobians.eigenvalue_moduli(CELL, params, state, xs),
        "top_singular": lambda: jacobians.top_singular(CELL, params, state, xs, k=2, key=KEY),
        "lyapunov_spectrum": lambda: jacobians.lyapunov_spectrum(CELL, params, state, xs, key=KEY),
        "covariant_vectors": lambda: jacobians.covariant_vectors(
            CELL, params, state, xs, key=KEY, burn_in=2, burn_out=1, count=3
        ),
        "finite_time_exponents": lambda: jacobians.finite_time_exponents(CELL, params, state, xs, window=2, key=KEY),
        "gradient_by_lag": lambda: jacobians.gradient_by_lag(CELL, params, state, xs, loss_of_output=loss_of_output),
        "gradient_flossing": lambda: jacobians.gradient_flossing(CELL, params, state, xs, count=2, key=KEY),
        "pascanu_omega": lambda: jacobians.pascanu_omega(CELL, params, state, xs, loss_of_outputs=loss_of_outputs),
        "input_to_state": lambda: jacobians.input_to_state(CELL, params, state, xs, i=5, j=2),
        "input_to_output": lambda: jacobians.input_to_output(CELL, params, state, xs, i=5, j=2),
        "state_to_output": lambda: jacobians.state_to_output(CELL, params, state, xs, i=5, j=2, output=squared),
        "products": lambda: jacobians.products(CELL, params, state, xs, reduce=log_scale),
        "products_to_end": lambda: jacobians.products_to_end(CELL, params, state, xs),
        "state_product": lambda: jacobians.state_product(CELL, params, state, xs, i=5, j=2),
        "state_cotangents": lambda: jacobians.state_cotangents(
            CELL, params, state, xs, output_cotangents=jnp.ones((*np.shape(xs)[:-1], H), jnp.float32)
        ),
    }


def calls_with_matrices(matrices):
    """Return a call of each function that takes a stack of matrices, by the function's name."""
    return {
        "product_spectrum": lambda: jacobians.product_spectrum(matrices),
        "covariant_of_matrices": lambda: jacobians.covariant_of_matrices(matrices, key=KEY, burn_in=0, burn_out=1),
        "log_eigenvalue_moduli": lambda: jacobians.log_eigenvalue_moduli(matrices),
        "lyapunov_of_matrices": lambda: jacobians.lyapunov_of_matrices(matrices, key=KEY),
    }


def calls_with_one_input(params, state, states, x):
    """Return a call of each function that takes one input, by the function's name."""
    return {
        "step_jacobian": lambda: jacobians.step_jacobian(CELL, params, state, x),
        "input_jacobian": lambda: jacobians.input_jacobian(CELL, params, state, x),
        "output_jacobian": lambda: jacobians.output_jacobian(CELL, params, state, x, output=squared),
        "fixed_points": lambda: jacobians.fixed_points(CELL, params, x, starts=states),
        "slow_points": lambda: jacobians.slow_points(CELL, params, x, starts=states, max_steps=20),
        "fixed_point_eigenvalues": lambda: jacobians.fixed_point_eigenvalues(CELL, params, x, states=states),
    }


def calls():
    """Return one call of each public function, by its name."""
    params, state, states, xs, matrices = arrays()
    zs = CELL.input_projection(params, xs)
    product = jacobians.state_product(CELL, params, state, xs, i=5, j=2)
    basis = jacobians.eigenbasis(matrices[0])
    points = jacobians.fixed_points(CELL, params, xs[0], starts=states)
    part = jacobians.part_of
    others = {
        "controlled": lambda: jacobians.controlled(CELL, xs, mask=np.arange(T) > 2).xs,
        "decay_rates": lambda: jacobians.decay_rates(SIMPLE, SIMPLE.init(KEY, D)),
        "distinct": lambda: jacobians.distinct(points),
        "eigenbasis": lambda: jacobians.eigenbasis(matrices[0]),
        "from_step": lambda: jacobians.from_step(plain_step, state).initial_state((2,)),
        "hessian_eigenvalues": lambda: jacobians.hessian_eigenvalues(quartic, params, 2, key=KEY),
        "kaplan_yorke_dimension": lambda: jacobians.kaplan_yorke_dimension([1.0, -0.5, -2.0]),
        "log_component_moduli": lambda: jacobians.log_component_moduli(basis, [0, 3]),
        "part_of": lambda: part(CELL, "hidden"),
        "power": lambda: jacobians.power(basis, 3),
        "select": lambda: jacobians.select(product, part(CELL, "hidden"), part(CELL, "cell")),
        "state_size": lambda: jacobians.state_size(CELL),
        "step_log_abs_det": lambda: jacobians.step_log_abs_det(CELL, params, states, zs),
        "step_operator": lambda: step_operator(CELL, params, state, zs[0]),
    }
    return (
        calls_with_inputs(params, state, xs)
        | calls_with_matrices(matrices)
        | calls_with_one_input(params, state, states, xs[0])
        | others
    )

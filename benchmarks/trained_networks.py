"""Step Jacobians of small trained cells; the task is to repeat the input of one or two steps before."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnnlm_jax import cells, unroll
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.jacobians.products import step_jacobians

#: Cell -> delay in steps of the input that it has to repeat; all have five units.
CELLS = {"elman-tanh": 1, "elman-sigmoid": 1, "gru": 2, "elman-relu": 1}
UNITS, INPUTS, UPDATES, LENGTH, BATCH = 5, 2, 400, 40, 32


@functools.cache
def trained(name: str, seed: int) -> tuple[Cell, object]:
    """Return a cell and its parameters after ``UPDATES`` updates by Adam."""
    cell, delay = cells.make(name, UNITS), CELLS[name]
    key = jax.random.key(seed)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.02))

    def loss(params: tuple, xs: jax.Array) -> jax.Array:
        _, hs = unroll(cell, params[0], cell.initial_state((BATCH,)), xs)
        return jnp.square(hs[delay:] @ params[1] - xs[:-delay]).mean()

    @jax.jit
    def train(params: tuple) -> tuple:
        def update(carry: tuple, key: jax.Array) -> tuple[tuple, None]:
            params, state = carry
            grads = jax.grad(loss)(params, jax.random.rademacher(key, (LENGTH, BATCH, INPUTS), jnp.float32))
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(update, (params, optimizer.init(params)), jax.random.split(key, UPDATES))[0][0]

    readout = jax.random.normal(key, (cell.spec.output_size, INPUTS), jnp.float32)
    return cell, train((cell.init(key, INPUTS), readout))[0]


def jacobians_of_trained(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Return step Jacobians ``[steps, 5, 5]`` along random inputs of size 1, or of 5, at which units saturate."""
    cell, params = trained(str(rng.choice(list(CELLS))), int(rng.integers(3)))
    gain = float(rng.choice([1.0, 5.0]))
    xs = jnp.asarray(gain * rng.choice([-1.0, 1.0], size=(steps, INPUTS)), jnp.float32)
    return np.asarray(step_jacobians(cell, params, cell.initial_state(()), xs), np.float64)

"""What the tests share: the cells, their random arrays, and a few jitted functions, so that each compiles once."""

import functools
import importlib
import pkgutil
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, unroll
from tests.cells import references

#: All different, so that no axis can pass for another.
T, B, D, H = 8, 4, 3, 5


#: Names of cells to functions ``(params, state) -> (params, state)`` that move random draws to where the cell is
#: defined and smooth: a normaliser above zero, a product away from the kink of a maximum.
ADMISSIBLE = {}
#: Names of cells made by options of a registered one, to its name and the options.
OPTIONS = {}
for _found in pkgutil.iter_modules(references.__path__):
    _family = importlib.import_module(f"{references.__name__}.{_found.name}")
    ADMISSIBLE |= getattr(_family, "ADMISSIBLE", {})
    OPTIONS |= getattr(_family, "OPTIONS", {})


def make(name, **options):
    """A zoo member of H units, or one of the stacks; float64 unless asked otherwise."""
    options = {"param_dtype": "float64", **options}
    if name == "stack":
        return cells.stack(cells.lstm(H, **options), cells.gru(H - 1, **options))
    if name == "residual-stack":
        return cells.stack(*(make(part, **options) for part in ("elman-tanh", "lstm", "gru")), residual=True)
    if name == "summed-stack":
        return cells.stack(*(make(part, **options) for part in ("elman-tanh", "lstm", "gru")), sum_outputs=True)
    if name == "lstm-capped":
        return cells.lstm(H, input_gate="capped", **options)
    if name == "lstm-projected":
        options = {"projection_size": 2, **options}
    if name in OPTIONS:
        name, own = OPTIONS[name]
        options = {**own, **options}
    return cells.make(name, H, **options)


ZOO = cells.names()
NAMES = (*ZOO, "stack", "residual-stack")
CELLS = {name: make(name) for name in (*NAMES, "summed-stack", "lstm-capped", *OPTIONS)}


def seed_of(name):
    return zlib.crc32(name.encode())


def random_like(tree, rng, scale=0.5):
    """A tree of the same shapes and dtypes, every entry random: no bias, gain or peephole stays zero or one."""
    return jax.tree.map(lambda a: jnp.asarray(scale * rng.standard_normal(a.shape), a.dtype), tree)


def drawn_once(function):
    """Keep the arrays that a function gives, and give arrays where it is called while a program is traced too."""
    return functools.cache(jax.ensure_compile_time_eval()(function))


@drawn_once
def random_arrays(cell, name="", batch=(B,), steps=T, input_size=D):
    """Parameters, initial state and inputs."""
    rng = np.random.default_rng(seed_of(name))
    params = random_like(jax.eval_shape(lambda: cell.init(jax.random.key(0), input_size)), rng)
    state = random_like(jax.eval_shape(lambda: cell.initial_state(batch)), rng)
    xs = rng.standard_normal((steps, *batch, input_size))
    if name in ADMISSIBLE:
        params, state = ADMISSIBLE[name](params, state)
    return params, state, jnp.asarray(xs, cell.spec.param_dtype)


@drawn_once
def random_weights(cell, name="", batch=(B,), steps=T):
    """The weights of a loss that sees every entry of the final state and of the outputs."""
    rng = np.random.default_rng(seed_of(name) + 1)
    state = random_like(jax.eval_shape(lambda: cell.initial_state(batch)), rng, 1.0)
    hs = rng.standard_normal((steps, *batch, cell.spec.output_size))
    return state, jnp.asarray(hs, cell.spec.param_dtype)


STATIC = ("cell", "reverse", "scan_unroll", "remat_chunk", "executor")
jit = jax.jit


@functools.partial(jax.jit, static_argnames=STATIC)
def run(cell, params, state, xs, **options):
    """``unroll`` under jit."""
    return unroll(cell, params, state, xs, **options)


def dot(weights, outputs):
    return sum(jnp.sum(w * o) for w, o in zip(jax.tree.leaves(weights), jax.tree.leaves(outputs), strict=True))


@functools.partial(jax.jit, static_argnames=STATIC)
def run_with_gradients(cell, params, state, xs, weights, **options):
    """``((final state, outputs), gradients)`` of ``dot(weights, (final state, outputs))``."""

    def loss(params, state, xs):
        outputs = unroll(cell, params, state, xs, **options)
        return dot(weights, outputs), outputs

    gradients, outputs = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(params, state, xs)
    return outputs, gradients


@functools.partial(jax.jit, static_argnames="cell")
def one_step(cell, params, state, x):
    z = cell.input_projection(params, x)
    state = cell.step(params, state, z)
    return state, cell.output(params, state, z)


def walk(cell, params, state, xs):
    """A cell stepped by hand through one sequence ``[T, D]``: its state after each step, and its outputs."""
    states, hs = [state], []
    for x in xs:
        state, h = one_step(cell, params, state, x)
        states.append(state)
        hs.append(h)
    return states, np.array(hs).reshape(len(hs), cell.spec.output_size)


def example(tree, b):
    """Sequence ``b`` of a state with one batch axis."""
    return jax.tree.map(lambda a: a[b], tree)


@drawn_once
def everything(steps=T, batch=(B,)):
    """A mask, lengths and resets that change nothing."""
    return {
        "mask": jnp.ones((steps, *batch), bool),
        "lengths": jnp.full(batch, steps, jnp.int32),
        "resets": jnp.zeros((steps, *batch), bool),
    }


def assert_close(actual, wanted, tolerance=1e-12):
    """Trees equal in structure, and in their numbers to a relative ``tolerance`` of each array's largest entry."""
    assert jax.tree.structure(actual) == jax.tree.structure(wanted)
    for (path, a), w in zip(jax.tree.leaves_with_path(actual), jax.tree.leaves(wanted), strict=True):
        a, w = np.asarray(a, np.float64), np.asarray(w, np.float64)
        assert a.shape == w.shape, jax.tree_util.keystr(path)
        scale = max(np.abs(w).max(initial=0.0), 1e-3)
        np.testing.assert_allclose(a, w, rtol=0, atol=tolerance * scale, err_msg=jax.tree_util.keystr(path))

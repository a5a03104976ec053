"""One table: what unrolling promises, for every member of the zoo, a stack and a residual stack.

The yardstick is the cell stepped by hand (``walk``); expectations about masks, lengths and resets are built from it by
cutting sequences into pieces, never by masking.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import unroll
from tests.unroll.programs import (
    CELLS,
    NAMES,
    B,
    D,
    H,
    T,
    assert_close,
    dot,
    everything,
    example,
    jit,
    make,
    random_arrays,
    random_weights,
    run,
    run_with_gradients,
    seed_of,
    walk,
)

LENGTHS = np.array([T, 5, 0, 1], np.int32)
NO_STEP = 2  # the sequence of length zero

MASK = np.array(  # [T, B]: all, some in the middle, none, all but the first
    [[1, 1, 0, 0], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 0, 1], [1, 0, 0, 1]],
    bool,
)
RESETS = np.array(  # [T, B]: none, at the first step, in the middle, several
    [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1]],
    bool,
)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def cell(name):
    return CELLS[name]


@pytest.fixture
def arrays(cell, name):
    return random_arrays(cell, name)


def outputs_and_gradients(cell, name, params, state, xs, **control):
    """One compiled program a cell: everything is passed, and what the test does not mention changes nothing."""
    control = {**everything(), **{k: jnp.asarray(v) for k, v in control.items()}}
    return run_with_gradients(cell, params, state, xs, random_weights(cell, name), **control)


def expected(cell, params, state, xs, steps_of):
    """Final state and outputs when sequence b walks through ``steps_of(b)``, pieces ``(starts anew?, its steps)``.

    Steps that no piece mentions have zero outputs.
    """
    state, xs = jax.tree.map(np.asarray, (state, xs))
    finals, hs = [], np.zeros((xs.shape[0], xs.shape[1], cell.spec.output_size))
    for b in range(xs.shape[1]):
        s = example(state, b)
        for fresh, steps in steps_of(b):
            if fresh:
                s = cell.initial_state(())
            states, outputs = walk(cell, params, s, xs[np.array(steps, int), b])
            hs[steps, b] = outputs
            s = states[-1]
        finals.append(s)
    return jax.tree.map(lambda *parts: np.stack(parts), *finals), hs


def pieces(resets, steps):
    """The steps cut before each one that has a reset: (whether it starts anew, its steps)."""
    cut = [(False, [])]
    for t in steps:
        if resets[t]:
            cut.append((True, []))
        cut[-1][1].append(t)
    return cut


def test_equals_stepping_by_hand(cell, name, arrays):
    """The scan, without any control, is the step applied T times: outputs and final state."""
    wanted = expected(cell, *arrays, lambda b: [(False, list(range(T)))])
    assert_close(run(cell, *arrays), wanted)
    assert_close(outputs_and_gradients(cell, name, *arrays)[0], wanted)


def test_mask_runs_the_unmasked_subsequence(cell, name, arrays):
    wanted = expected(cell, *arrays, lambda b: [(False, list(np.flatnonzero(MASK[:, b])))])
    actual, _ = outputs_and_gradients(cell, name, *arrays, mask=MASK)
    assert_close(actual, wanted)
    assert np.all(np.asarray(actual[1])[~MASK] == 0)
    assert_close(example(actual[0], NO_STEP), example(arrays[1], NO_STEP), 0.0)


def test_lengths_run_the_leading_steps(cell, name, arrays):
    wanted = expected(cell, *arrays, lambda b: [(False, list(range(LENGTHS[b])))])
    actual, _ = outputs_and_gradients(cell, name, *arrays, lengths=LENGTHS)
    assert_close(actual, wanted)
    assert np.all(np.asarray(actual[1])[:, NO_STEP] == 0)
    assert_close(example(actual[0], NO_STEP), example(arrays[1], NO_STEP), 0.0)


def test_lengths_and_mask_join(cell, name, arrays):
    both = MASK & (np.arange(T)[:, None] < LENGTHS)
    actual = outputs_and_gradients(cell, name, *arrays, lengths=LENGTHS, mask=MASK)
    assert_close(actual, outputs_and_gradients(cell, name, *arrays, mask=both), 0.0)


def test_resets_run_the_pieces_separately(cell, name, arrays):
    wanted = expected(cell, *arrays, lambda b: pieces(RESETS[:, b], range(T)))
    assert_close(outputs_and_gradients(cell, name, *arrays, resets=RESETS)[0], wanted)


def test_a_masked_reset_does_nothing(cell, name, arrays):
    actual = outputs_and_gradients(cell, name, *arrays, mask=MASK, resets=RESETS)
    wanted = expected(cell, *arrays, lambda b: pieces(RESETS[:, b], np.flatnonzero(MASK[:, b])))
    assert_close(actual[0], wanted)
    assert (RESETS & ~MASK).any()
    assert_close(actual, outputs_and_gradients(cell, name, *arrays, mask=MASK, resets=RESETS & MASK), 0.0)


@pytest.mark.parametrize("content", [np.nan, np.inf, 1e30])
def test_padding_content_never_matters(cell, name, arrays, content):
    params, state, xs = arrays
    control = {"mask": MASK, "lengths": LENGTHS, "resets": RESETS}
    padding = ~(MASK & (np.arange(T)[:, None] < LENGTHS))
    padded = jnp.where(padding[:, :, None], content, xs)
    wanted = outputs_and_gradients(cell, name, params, state, xs, **control)
    actual = outputs_and_gradients(cell, name, params, state, padded, **control)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(actual))
    assert_close(actual, wanted, 0.0)
    assert np.all(np.asarray(actual[1][2])[padding] == 0)


def test_a_reset_stops_the_gradient(cell, name, arrays):
    """Nothing before a reset reaches a loss after it, not even through a state that is not finite."""
    params, state, xs = arrays
    resets = np.zeros((T, B), bool)
    resets[0] = True
    spoilt = jax.tree.map(lambda a: a * np.nan, state)
    outputs, gradients = outputs_and_gradients(cell, name, params, spoilt, xs, resets=resets)
    assert_close((outputs, gradients), outputs_and_gradients(cell, name, params, state, xs, resets=resets), 0.0)
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(gradients[1]))


def test_state_carries_over(cell, arrays):
    """[0:T] in one run is [0:k] and then [k:T]."""
    params, state, xs = arrays
    k = T // 2
    middle, first = run(cell, params, state, xs[:k])
    final, last = run(cell, params, middle, xs[k:])
    assert_close((final, np.concatenate([first, last])), run(cell, params, state, xs))


def test_reverse_flips_inputs_and_outputs(cell, name, arrays):
    params, state, xs = arrays
    actual = run(cell, params, state, xs, mask=MASK, resets=RESETS, reverse=True)
    (final, hs), _ = outputs_and_gradients(cell, name, params, state, xs[::-1], mask=MASK[::-1], resets=RESETS[::-1])
    assert_close(actual, (final, hs[::-1]))


def test_scan_unroll_changes_nothing(cell, name, arrays):
    actual = run(cell, *arrays, mask=MASK, resets=RESETS, scan_unroll=3)
    assert_close(actual, outputs_and_gradients(cell, name, *arrays, mask=MASK, resets=RESETS)[0], 1e-14)


@pytest.mark.parametrize("batch", [(), (2, 2)], ids=["no-batch", "two-batch-axes"])
def test_batch_axes(cell, name, arrays, batch):
    """No batch axis, or several: each sequence as it would run in a flat batch."""
    params, state, xs = arrays
    final, hs = run(cell, params, state, xs)
    if batch:
        shape = lambda a: a.reshape(*batch, *a.shape[1:])  # noqa: E731
        over_time = lambda a: a.reshape(T, *batch, *a.shape[2:])  # noqa: E731
    else:
        shape = lambda a: a[1]  # noqa: E731
        over_time = lambda a: a[:, 1]  # noqa: E731
    control = {"mask": over_time(MASK), "lengths": shape(LENGTHS), "resets": over_time(RESETS)}
    noop = {"mask": control["mask"] | True, "lengths": shape(LENGTHS) * 0 + T, "resets": control["resets"] & False}
    inputs = (params, jax.tree.map(shape, state), over_time(xs))
    assert_close(run(cell, *inputs, **noop), (jax.tree.map(shape, final), over_time(hs)), 1e-14)
    (flat, flat_hs), _ = outputs_and_gradients(cell, name, *arrays, mask=MASK, lengths=LENGTHS, resets=RESETS)
    assert_close(run(cell, *inputs, **control), (jax.tree.map(shape, flat), over_time(flat_hs)), 1e-14)


def test_no_steps_at_all(cell, arrays):
    params, state, xs = arrays
    final, hs = run(cell, params, state, xs[:0])
    assert hs.shape == (0, B, cell.spec.output_size)
    assert hs.dtype == np.float64
    assert_close(final, state, 0.0)


def test_vmap_and_forward_mode(cell, name, arrays):
    """An ensemble of parameters under vmap, batch-less runs under vmap, and jvp against the gradient."""
    params, state, xs = arrays
    rng = np.random.default_rng(seed_of(name) + 2)
    tangents = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape)), arrays)

    @jit
    def all_three(params, state, xs, tangents):
        ensemble = jax.tree.map(lambda a, d: jnp.stack([a, a + 0.1 * d]), params, tangents[0])
        members = jax.vmap(lambda p: unroll(cell, p, state, xs))(ensemble)
        sequences = jax.vmap(lambda s, x: unroll(cell, params, s, x), in_axes=(0, 1), out_axes=(0, 1))(state, xs)
        pushed = jax.jvp(lambda *a: unroll(cell, *a), (params, state, xs), tangents)
        return members, sequences, pushed

    members, sequences, (outputs, pushed) = all_three(params, state, xs, tangents)
    wanted = run(cell, *arrays)
    assert_close(sequences, wanted)
    assert_close(outputs, wanted)
    assert_close(example(members, 0), wanted)
    other = jax.tree.map(lambda a, d: a + 0.1 * d, params, tangents[0])
    assert_close(example(members, 1), run(cell, other, state, xs))
    _, gradients = outputs_and_gradients(cell, name, *arrays)
    forwards = float(dot(random_weights(cell, name), pushed))
    assert forwards == pytest.approx(float(dot(gradients, tangents)), rel=1e-11)


def test_float32_stays_float32_and_is_traced_once(name):
    """In 64-bit mode too; and the second call, with the cell made anew, is not a second trace."""
    traces = []

    def traced(cell, params, state, xs):
        traces.append(cell)
        return unroll(cell, params, state, xs)

    jitted = jax.jit(traced, static_argnums=0)
    params, state, xs = random_arrays(make(name, param_dtype="float32"), name)
    for param_dtype in ("float32", jnp.float32, np.dtype("f4")):
        final, hs = jitted(make(name, param_dtype=param_dtype), params, state, xs)
        state = jax.tree.map(lambda a, f: f.astype(a.dtype), state, final)  # what was carried fits the same program
    assert len(traces) == 1
    assert {leaf.dtype for leaf in jax.tree.leaves((final, hs))} == {np.dtype("float32")}


# Wide inputs, and narrow products in chunks: each cell one of them, and two cells (one splits, one does not) both.
TYPES = (("float32", "float64", None), ("bfloat16", "bfloat16", 3))
BOTH = ("elman-tanh", "gru-reset-before")


@pytest.mark.parametrize(
    ("name", "dtype", "xs_dtype", "remat_chunk"),
    [(name, *TYPES[k]) for n, name in enumerate(NAMES) for k in (0, 1) if name in BOTH or n % 2 == k],
)
def test_dtypes(name, dtype, xs_dtype, remat_chunk):
    """Parameters, states, outputs and gradients keep ``param_dtype``, whatever the compute dtype or the inputs'."""
    cell = make(name, param_dtype="float32", dtype=dtype)
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), D))
    state = jax.eval_shape(lambda: cell.initial_state((B,)))
    xs = jax.ShapeDtypeStruct((T, B, D), xs_dtype)

    def loss(params, state, xs):
        final, hs = unroll(cell, params, state, xs, lengths=LENGTHS, remat_chunk=remat_chunk)
        return sum(leaf.sum() for leaf in jax.tree.leaves(final)) + hs.sum(), (final, hs)

    gradients, outputs = jax.eval_shape(jax.grad(loss, argnums=(0, 1), has_aux=True), params, state, xs)
    kept = jax.tree.leaves((params, state, gradients, outputs))
    assert {leaf.dtype for leaf in kept} == {np.dtype("float32")}


def test_bfloat16_products_come_close(name):
    half = make(name, param_dtype="float32", dtype="bfloat16")
    arrays = random_arrays(half, name)
    exact = jax.tree.map(lambda a: a.astype("float64"), arrays)
    wanted = run(CELLS[name], *exact)
    actual = run(half, *arrays)
    assert_close(actual, wanted, tolerance=0.03)
    with pytest.raises(AssertionError):  # else nothing was computed in bfloat16
        assert_close(actual, wanted, tolerance=1e-5)


# Chunks know nothing of what is inside a cell: every cell takes one that leaves a rest, in one direction or the other,
# and two cells (one splits, one does not) take all the others, each in the direction that the
# other cell does not, ⌈√T⌉ = 3 included.
CHUNKS = [(name, 5, bool(k % 2)) for k, name in enumerate(NAMES)]
CHUNKS += [
    (name, chunk, bool(k % 2) == (name == "elman-tanh"))
    for name in ("elman-tanh", "gru-reset-before")
    for k, chunk in enumerate((1, "sqrt", T // 2, T, T + 3))
]


@pytest.mark.parametrize(("name", "chunk", "reverse"), CHUNKS)
def test_rematerialised_chunks(name, chunk, reverse):
    """Outputs and gradients are those of the plain scan, masks, lengths and resets included."""
    cell = CELLS[name]
    params, state, xs = random_arrays(cell, name)
    weights = random_weights(cell, name)
    control = {**everything(), "mask": jnp.asarray(MASK), "resets": jnp.asarray(RESETS)}
    actual = run_with_gradients(cell, params, state, xs, weights, remat_chunk=chunk, reverse=reverse, **control)
    if not reverse:
        assert_close(actual, run_with_gradients(cell, params, state, xs, weights, **control))
        return
    flipped = {**control, "mask": control["mask"][::-1], "resets": control["resets"][::-1]}
    weights = (weights[0], weights[1][::-1])
    outputs, gradients = run_with_gradients(cell, params, state, xs[::-1], weights, **flipped)
    wanted = ((outputs[0], outputs[1][::-1]), (gradients[0], gradients[1], gradients[2][::-1]))
    assert_close(actual, wanted)


def test_hidden_size_is_what_the_tests_think(name):
    spec = CELLS[name].spec
    assert spec.hidden_size == (H - 1 if name == "stack" else H)

"""Functions of a user's own that call ``unroll``, exported and read back: known and symbolic sizes, with gradients."""

import jax
import numpy as np
import pytest
from jax import export

from rnnlm_jax import UserError, cells, unroll
from tests.unroll.programs import CELLS, NAMES, random_arrays

#: Sizes that no axis of a state has, so that they can be recognised and replaced by symbols.
T, B = 9, 7
LENGTHS = np.arange(B, dtype=np.int32) + 2
CASES = [(name, None) for name in NAMES] + [("lstm", "native"), ("lstm", "structured"), ("gru", "scan")]


def shapes(tree, sizes):
    """Shapes and dtypes of a tree in which the sizes T and B may be symbols."""
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct([sizes.get(n, n) for n in a.shape], a.dtype), tree)


@pytest.mark.parametrize(("name", "executor"), CASES)
def test_every_cell_is_exported_with_gradients(name, executor):
    cell = CELLS[name]
    params, state, xs = random_arrays(cell, name, batch=(B,), steps=T)

    def loss(params, state, xs, lengths):
        last, hs = unroll(cell, params, state, xs, lengths=lengths, executor=executor)
        return sum((a * a).sum() for a in jax.tree.leaves((last, hs)))

    gradient = jax.value_and_grad(loss, (0, 1, 2))
    wanted = jax.jit(gradient)(params, state, xs, LENGTHS)
    t, b = export.symbolic_shape("T, B")
    described = (shapes(params, {}), *shapes((state, xs, LENGTHS), {T: t, B: b}))
    file = export.export(jax.jit(loss))(*described).serialize(vjp_order=1)
    found = jax.value_and_grad(export.deserialize(file).call, (0, 1, 2))(params, state, xs, LENGTHS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), found, wanted)


@pytest.mark.parametrize("symbols", ["none", "T", "B"])
def test_exported_programs_call_no_kernel(symbols):
    """A layer whose products would be a kernel's, as its recurrence: neither is called from an exported program."""
    cell = cells.lstm(128)
    params, state, xs = random_arrays(cell, "large", batch=(4,), steps=40)
    params = jax.tree.map(lambda a: 0.1 * a, params)  # else rounding errors grow from step to step
    t, b = export.symbolic_shape("T, B")
    sizes = {"none": {}, "T": {40: t}, "B": {4: b}}[symbols]

    def run(params, state, xs):
        return unroll(cell, params, state, xs)

    file = export.export(jax.jit(run))(shapes(params, {}), *shapes((state, xs), sizes)).serialize()
    found = export.deserialize(file).call(params, state, xs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, run(params, state, xs))


def test_chunks_need_a_known_length():
    cell = CELLS["gru"]
    params, state, xs = random_arrays(cell, "gru", steps=T)
    (t,) = export.symbolic_shape("T")
    described = (params, state, shapes(xs, {T: t}))
    with pytest.raises(UserError, match="`remat_chunk` needs a known number of steps: leave it out"):
        export.export(jax.jit(lambda *a: unroll(cell, *a, remat_chunk="sqrt")))(*described)
    with pytest.raises(UserError, match="newton executor cannot run this: it needs a known number of steps"):
        export.export(jax.jit(lambda *a: unroll(cell, *a, executor="newton")))(*described)

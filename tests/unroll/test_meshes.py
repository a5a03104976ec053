"""On a mesh of explicit axes and inside ``shard_map``, every cell gives what it gives on its own, with gradients.

One device has the types of many: each test here would fail by an error of types. Numbers over several devices are
those of ``docs/inside-jax-programs.md``, which ``tests/test_documentation.py`` runs.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from rnnlm_jax import cells, unroll
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.cudnn import why_not_cudnn
from tests.unroll.programs import (
    CELLS,
    NAMES,
    B,
    T,
    assert_close,
    dot,
    everything,
    make,
    random_arrays,
    random_weights,
    run_with_gradients,
)

MESH = jax.make_mesh((1,), ("data",), devices=jax.devices()[:1])
WHOLE, BATCH, TIME_BATCH = PartitionSpec(), PartitionSpec("data"), PartitionSpec(None, "data")
PAIR = cells.bidirectional(make("lstm"), make("gru-reset-before"))
EXECUTORS = ("structured", "scan")
CONTROL = {"lengths": np.arange(B, dtype=np.int32) + 3, "resets": np.arange(T * B).reshape(T, B) % 5 == 3}
SPECS = {"mask": TIME_BATCH, "lengths": BATCH, "resets": TIME_BATCH}
PARALLEL = [("mingru", "associative"), ("feed-forward", "associative-backward"), ("lstm", "newton")]
#: A cell, an executor, and whether it runs inside ``shard_map``: each cell both ways, each executor of each way.
CASES = [(name, executor, (k + j) % 2 == 0) for k, name in enumerate(NAMES) for j, executor in enumerate(EXECUTORS)]
CASES += [(name, "native", inside) for name, inside in (("lstm", True), ("gru", False), ("elman-tanh", True))]
CASES += [(name, executor, inside) for name, executor in PARALLEL for inside in (True, False)]
CASES += [("residual-stack", "native", False), ("pair", None, True), ("pair", None, False)]


def outputs_and_gradients(cell, executor, params, state, xs, weights, control):
    """What ``run_with_gradients`` gives, which is compiled for each cell once, for all tests of this folder."""

    def loss(params, state, xs):
        outputs = unroll(cell, params, state, xs, executor=executor, **control)
        return dot(weights, outputs), outputs

    gradients, outputs = jax.grad(loss, (0, 1, 2), has_aux=True)(params, state, xs)
    return outputs, gradients


def place(tree, spec):
    return jax.device_put(tree, NamedSharding(MESH, spec))


@pytest.mark.parametrize(("name", "executor", "inside"), CASES)
def test_every_cell_runs_on_a_mesh_of_explicit_axes(name, executor, inside):
    cell = PAIR if name == "pair" else CELLS[name]
    control = {**everything(), **jax.tree.map(jnp.asarray, CONTROL)}
    arguments = (*random_arrays(cell, name), random_weights(cell, name))
    wanted = run_with_gradients(cell, *arguments, **control)

    def local(*arguments):
        return outputs_and_gradients(cell, executor, *arguments)

    results = (BATCH, TIME_BATCH)
    specs = (WHOLE, BATCH, TIME_BATCH, results, SPECS)
    placed = jax.tree.map(lambda spec, tree: place(tree, spec), specs, (*arguments, control))
    function = jax.shard_map(local, mesh=MESH, in_specs=specs, out_specs=(results, specs[:3])) if inside else local
    assert_close(jax.jit(function)(*placed), wanted)


@pytest.mark.parametrize("remat_chunk", [None, 3])
def test_a_state_made_inside_shard_map(remat_chunk):
    """It is the same on every device, the inputs are not; in chunks, too."""
    cell = CELLS["stack"]
    params, _, xs = random_arrays(cell, "stack")

    def outputs(params, xs):
        state = cell.initial_state((xs.shape[1],))
        return unroll(cell, params, state, xs, remat_chunk=remat_chunk)[1]

    inside = jax.shard_map(outputs, mesh=MESH, in_specs=(WHOLE, TIME_BATCH), out_specs=TIME_BATCH)
    found = jax.jit(inside)(params, place(xs, TIME_BATCH))
    np.testing.assert_allclose(found, jax.jit(outputs)(params, xs), rtol=1e-12)


def test_results_are_sharded_as_the_inputs():
    cell = make("lstm")
    params, state, xs = random_arrays(cell, "lstm", batch=(2, B))
    with jax.set_mesh(MESH):
        xs = jax.device_put(xs, PartitionSpec(None, None, "data"))
        last, hs = jax.jit(lambda *a: unroll(cell, *a))(params, state, xs)
        assert jax.typeof(hs).sharding.spec == PartitionSpec(None, None, "data", None)
        assert jax.typeof(last.cell).sharding.spec == PartitionSpec(None, "data", None)
        eagerly = unroll(cell, params, state, xs)
        stepped = cell.step(params, last, cell.input_projection(params, xs[0]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), eagerly, (last, hs))
    assert stepped.hidden.shape == last.hidden.shape


def test_many_equal_layers_run_on_meshes():
    """They run as one loop over layers."""
    cell = cells.stack(*[cells.elman(3)] * 34)
    params, xs = cell.init(jax.random.key(0), 3), jnp.ones((2, 2, 3), jnp.float32)

    def outputs(params, xs):
        return unroll(cell, params, cell.initial_state((xs.shape[1],)), xs)[1]

    wanted = jax.jit(outputs)(params, xs)
    inside = jax.shard_map(outputs, mesh=MESH, in_specs=(WHOLE, TIME_BATCH), out_specs=TIME_BATCH)
    for function in (outputs, inside):
        np.testing.assert_allclose(jax.jit(function)(params, place(xs, TIME_BATCH)), wanted, rtol=1e-6)


def test_cudnn_says_what_to_do():
    cell = cells.lstm(4)
    reasons = []

    def local(xs):
        params = cell.init(jax.random.key(0), 3)
        reasons.append(why_not_cudnn(cell, params, xs, Control(None, None), "cuda"))
        return xs

    xs = place(jnp.ones((2, 2, 3), jnp.float32), TIME_BATCH)
    jax.eval_shape(jax.shard_map(local, mesh=MESH, in_specs=TIME_BATCH, out_specs=TIME_BATCH), xs)
    assert "check_vma=False" in reasons[0]

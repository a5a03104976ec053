"""Losses of twenty steps on meshes, as a program: what the tests start in processes of their own.

python -m tests.jobs.sharding.losses FILE MESH:OUTPUT … [--job COORDINATOR PROCESSES PROCESS_ID]

MESH "one" is one device.
"""

import functools
import json
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from rnnlm_jax.config import ModelConfig
from rnnlm_jax.data import StreamBatches
from rnnlm_jax.jobs import distributed
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.jobs.sharding.data_parallel import sharded_loss_and_gradient
from rnnlm_jax.jobs.sharding.gather import in_blocks
from rnnlm_jax.jobs.sharding.mesh import executor_on_mesh, make_mesh
from rnnlm_jax.jobs.sharding.parameter_sharding import parameter_shardings
from rnnlm_jax.jobs.sharding.placement import (
    model_state_shardings,
    own_columns,
    placed,
    placed_batch,
    placed_tree,
    replicated,
)
from rnnlm_jax.jobs.sharding.sharded_scoring import sharded_scoring_function, stream_sharding
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.regularizers import make_regularizers
from rnnlm_jax.training.averaging import ExponentialAverage
from rnnlm_jax.training.step import make_train_step
from rnnlm_jax.training.train_state import state_shardings
from tests.training.tiny import fresh_state, optimizer

STEPS, BATCH, WINDOW, WORDS = 20, 8, 5, 164
#: Masks of every kind; kernels cannot run them.
MASKS = {"dropout_word": 0.1, "dropout_embedding": 0.1, "dropout_state": 0.1, "weight_drop": 0.1}
MASKS |= {"dropout_locked": True, "zoneout": 0.1, "zoneout_cell": 0.1}
#: Output layer -> its options, optimiser, learning rate, parts of a batch, options of the model: dense gradients, and
#: gradients by row of both tables.
CASES = {
    "softmax": ((), "adam", 0.01, 1, {}),
    "importance": ((("num_samples", 16),), "adagrad", 0.2, 2, MASKS),
    # 164 words: a head of 61 columns, a tail of 104
    "adaptive": ((("cutoffs", 60), ("div_value", 2)), "sgd", 1.0, 1, {}),
}


#: The average of the parameters that training keeps.
AVERAGE = ExponentialAverage(0.9)

COLLECTIVE = re.compile(r"(all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(-start)?\(")


def words():
    """Words by falling count."""
    return WordCounts([f"w{k}" for k in range(WORDS)], np.maximum(1000 // np.arange(1, WORDS + 1), 1))


def losses(output, mesh):
    """Nats, tokens and norm of the gradient of each step, ``[STEPS, 3]``, with dropout; whether it calls kernels."""
    options, name, rate, accumulate, further = CASES[output]
    rule = optimizer(name, rate, clip_norm=1.0)
    shape = ModelConfig(
        cell="lstm",
        hidden_size=8,
        output=output,
        output_options=options,
        init_scale=0.3,
        dropout_input=0.1,
        dropout_output=0.2,
        **further,
    )
    executor = None if mesh is None else executor_on_mesh(None, mesh)
    model = build_model(shape, WORDS, executor, words=words(), unknown_id=0)
    # More text than steps, and padding in the last window.
    tokens = (np.random.default_rng(0).zipf(1.2, STEPS * BATCH * WINDOW - 7) % WORDS).astype(np.int32)
    batches = StreamBatches(tokens, BATCH, WINDOW, columns=None if mesh is None else own_columns(mesh, BATCH))
    state = fresh_state(model, rule, BATCH)  # almost without compilations; tests of whole jobs have the usual one
    state = state._replace(opt_state=rule.init(state.params), average=AVERAGE.start(state.params))
    if mesh is not None:
        state = jax.tree.map(placed, state, state_shardings(model, rule, mesh, averaged=True))
    step = make_train_step(model, rule, seed=3, accumulate=accumulate, average=AVERAGE, mesh=mesh)
    found = []
    on_mesh = (batch if mesh is None else placed_batch(batch, mesh, BATCH) for batch in batches)
    for batch in on_mesh:
        if not found:
            kernels = "rnnlm_jax_lstm" in step.lower(state, batch).as_text()
        state, info = step(state, batch)
        found.append([float(info.nats), int(info.tokens), float(info.grad_norm)])
    assert len(found) == STEPS
    return found, kernels


def gathers(mesh):
    """Whether arrays come back from a mesh as they were put there, in blocks of some rows, the last one shorter."""
    values = np.arange(24 * 16, dtype=np.float32).reshape(24, 16)
    for spec in (PartitionSpec("data"), PartitionSpec("model"), PartitionSpec(None, "model")):
        array = placed(values, NamedSharding(mesh, spec))
        assert not array.is_fully_replicated
        for size in (1, 5 * values.nbytes // 24, values.nbytes):
            if not np.array_equal(in_blocks(array, size), values):
                return False
    return True


def scoring(mesh, streams):
    """How far nats on a mesh are from those of one device, and how many collectives are within its loops.

    The number of words does not divide over ``model``: tables are divided by their width.
    """
    count = WORDS + 1
    shape = ModelConfig(cell="lstm", hidden_size=8, init_scale=0.3)
    model = build_model(shape, count, executor_on_mesh(None, mesh))
    params, state = model.init(jax.random.key(0)), model.initial_state((streams,))
    ids = np.random.default_rng(0).integers(0, count, (16, streams)).astype(np.int32)
    _, wanted = model.token_nll(params, state, ids, ids)
    on_mesh = jax.tree.map(placed, params, parameter_shardings(model, mesh))
    state = placed_tree(state, stream_sharding(mesh, streams))
    tokens = placed(ids, replicated(mesh))
    score = sharded_scoring_function(mesh, model, streams)
    computations = score.lower(on_mesh, state, tokens, tokens).compile().as_text().split("\n\n")
    within = sum(len(COLLECTIVE.findall(each)) for each in computations if "ENTRY" not in each)
    _, nats = score(on_mesh, state, tokens, tokens)
    return float(np.abs(np.asarray(nats) - np.asarray(wanted)).max()), within


def penalties(mesh):
    """How far terms of the loss, and the gradient with them, are on a mesh from those of one device."""
    model = build_model(
        ModelConfig(cell="lstm", hidden_size=8, init_scale=0.3, dropout_input=0.1, dropout_output=0.2),
        WORDS,
        executor_on_mesh(None, mesh),
    )
    params, state = model.init(jax.random.key(0)), model.initial_state((BATCH,))
    tokens = np.random.default_rng(0).integers(0, WORDS, STEPS * BATCH).astype(np.int32)
    batch = next(iter(StreamBatches(tokens, BATCH, WINDOW)))
    pairs = (("activation", 2), ("temporal_activation", 1), ("omega", 2), ("flossing", 1), ("flossing_every", 2))
    options = {"normaliser": 9, "regularizers": make_regularizers(pairs), "label_smoothing": 0.1}

    def found(differentiate, params, state, batch):
        options_of_step = {"by_row": False, "step": jnp.zeros((), jnp.int32), **options}
        (_, scored), gradient = differentiate(model, params, state, batch, jax.random.key(1), **options_of_step)
        return scored.penalties, gradient

    wanted = jax.jit(functools.partial(found, loss_and_gradient))(params, state, batch)
    on_mesh = (
        jax.tree.map(placed, params, parameter_shardings(model, mesh)),
        jax.tree.map(placed, state, model_state_shardings(model, mesh)),
        placed_batch(batch, mesh, BATCH),
    )
    ours = jax.jit(functools.partial(found, functools.partial(sharded_loss_and_gradient, mesh)))(*on_mesh)
    assert len(ours[0]) == 5
    assert all(value != 0 for value in ours[0].values())
    return max(float(jnp.abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (ours, wanted)), strict=True))


def main(arguments):
    """Write the losses of all cases on all meshes, the first process of a job for all."""
    job = None
    if "--job" in arguments:
        at = arguments.index("--job")
        coordinator, processes, process_id = arguments[at + 1 :]
        job = distributed.join_job(coordinator, int(processes), int(process_id))
        arguments = arguments[:at]
    file, *words = arguments
    found = {"kernels": {}, "gathers": [], "scoring": []}
    for mesh, output in (word.split(":") for word in words):
        made = None if mesh == "one" else make_mesh(mesh)
        found[f"{mesh}:{output}"], kernels = losses(output, made)
        if not CASES[output][-1]:
            found["kernels"].setdefault(mesh, []).append(kernels)
        if "model" in mesh:
            found["gathers"].append(gathers(made))
            found["scoring"] += [scoring(made, streams) for streams in (1, 8)]
    if job is None:
        count = jax.device_count()
        meshes = [f"data={count}", f"data={count // 2},model=2"]
        found["penalties"] = [penalties(make_mesh(mesh)) for mesh in meshes]
    found["devices"] = jax.device_count()
    found["processes"] = jax.process_count()
    if distributed.is_primary():
        with open(file, "w") as out:
            json.dump(found, out)
    if job is not None:
        job.leave()


if __name__ == "__main__":
    main(sys.argv[1:])

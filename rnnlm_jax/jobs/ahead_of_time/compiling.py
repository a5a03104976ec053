"""The real training step, lowered and compiled for devices of a topology; no parameter is allocated."""

import math
import re
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from rnnlm_jax.config import Config
from rnnlm_jax.data import Batch
from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.ahead_of_time.report import Memory, StepReport, count_collectives
from rnnlm_jax.jobs.ahead_of_time.topology import Topology
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.jobs.sharding.mesh import check_divides, make_mesh, parse_mesh
from rnnlm_jax.jobs.sharding.parameter_sharding import describe_shardings
from rnnlm_jax.jobs.sharding.placement import batch_sharding, replicated
from rnnlm_jax.language_model.flops import training_flops
from rnnlm_jax.language_model.model import LanguageModel, parameter_count
from rnnlm_jax.outputs.automatic_cutoffs import has_automatic_cutoffs
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.training.step import initial_train_state, make_train_step, state_shardings
from rnnlm_jax.unroll import describe_executor

#: How XLA says that a program does not fit: what it needs and what there is, "20.05G of 15.75G hbm" or in more words.
_TOO_LARGE = (
    re.compile(r"[Uu]sed ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm"),
    re.compile(r"required [^()]*\(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)"),
)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def compile_step(name: str, config: Config, words: Words, topology: Topology) -> StepReport:
    """Compile a configuration's training step for a topology, and say what it takes of each device.

    Args:
        name: of the configuration, to be told.
        config: the experiment; its mesh must be of all devices.
        words: its vocabulary, with counts.
        topology: the devices.

    Raises:
        UserError: for a mesh or a batch that does not fit the devices, or a configuration that cannot be compiled.
    """
    model = _model(config, words)
    mesh = _mesh(config.parallel.mesh, topology)
    steps, batch_size, seed = config.data.bptt, config.data.batch_size, config.training.seed
    check_divides(mesh, batch_size)
    shapes = jax.eval_shape(lambda: initial_train_state(model, config.optimizer, batch_size, seed))
    state = _placed(shapes, state_shardings(model, config.optimizer, mesh))
    tokens: Any = [jax.ShapeDtypeStruct((steps, batch_size), kind) for kind in ("int32", "int32", "bool")]
    batch = Batch(*(_placed(part, batch_sharding(mesh)) for part in tokens))
    rate = _placed(jax.ShapeDtypeStruct((), np.float32), replicated(mesh))
    carries_state = config.data.batching == "stream"
    one_device = mesh.size == 1  # for which training has no mesh
    step: Any = make_train_step(model, config.optimizer, seed, carries_state, None if one_device else mesh)
    with jax.disable_jit(False):  # as the device would run it
        memory, collectives = _compiled(step.lower(state, batch, rate), topology)
    return StepReport(
        config=name,
        topology=str(topology.name),
        device_kind=topology.devices[0].device_kind,
        devices=len(topology.devices),
        mesh=dict(mesh.shape),
        divided=describe_shardings(model, mesh),
        vocabulary=words.size,
        parameters=parameter_count(shapes.params),
        batch_size=batch_size,
        bptt=steps,
        flops_per_token=training_flops(model, words, steps * batch_size),
        parameter_bytes=_bytes_a_device(state.params),
        optimizer_bytes=_bytes_a_device(state.opt_state),
        memory=memory,
        collectives=collectives,
    )


def _mesh(text: str | None, topology: Topology) -> Mesh:
    devices = len(topology.devices)
    wanted = devices if text is None else math.prod(parse_mesh(text).values())
    if wanted != devices:
        raise UserError(f"--mesh {text} is of {wanted} devices, and {topology.name} has {devices}: change either")
    return make_mesh(text, topology.devices)


def _placed(shapes: Any, shardings: Any) -> Any:
    """Descriptions of arrays, with where they lie."""
    return jax.tree.map(lambda a, where: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=where), shapes, shardings)


def _model(config: Config, words: Words) -> LanguageModel:
    """The model as a TPU would run it, whatever this machine is."""
    if has_automatic_cutoffs(config.model.output, config.model.output_options):
        raise UserError(
            "the cut-offs of an adaptive softmax are measured on the device: give --output-options cutoffs=…"
        )
    model = build_model(config.model, words.size, "scan", words)
    executor = None if config.model.executor == "auto" else config.model.executor
    chosen = describe_executor(model.cell, model.embedding_size, executor, platform="tpu")
    executor = chosen.split(", ")[0].rpartition(": ")[2]  # the layers of a configuration are alike
    return build_model(config.model, words.size, executor, words)


def _compiled(lowered: Any, topology: Topology) -> tuple[Memory, dict[str, int] | None]:
    available = round((topology.accelerator.memory or 0) * 2**30)
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        needed = next((found for pattern in _TOO_LARGE if (found := pattern.search(str(error)))), None)
        if needed is None:
            raise UserError(f"libtpu cannot compile this step ({str(error).splitlines()[0]}): change it") from error
        need, unit, there, its = needed.groups()
        return Memory(peak=_size(need, unit), available=_size(there, its)), None
    found = compiled.memory_analysis()
    parts = {
        "arguments": found.argument_size_in_bytes,
        "outputs": found.output_size_in_bytes,
        "aliased": found.alias_size_in_bytes,
        "temporaries": found.temp_size_in_bytes,
        "program": found.generated_code_size_in_bytes,
    }
    peak = sum(parts.values()) - 2 * parts["aliased"]
    return Memory(peak=peak, available=available, **parts), count_collectives(compiled.as_text())


def _size(number: str, unit: str) -> int:
    return round(float(number) * _UNITS[unit])


def _bytes_a_device(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(int(np.prod(leaf.sharding.shard_shape(leaf.shape))) * leaf.dtype.itemsize for leaf in leaves)

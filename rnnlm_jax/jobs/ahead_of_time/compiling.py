"""Compile the training step for the devices of a topology; no parameters are allocated."""

import math
import re
from typing import Any

import jax
from jax.sharding import Mesh

from rnnlm_jax.config import Config
from rnnlm_jax.data import Batch
from rnnlm_jax.errors import ConfigError, DeviceError
from rnnlm_jax.jobs.ahead_of_time.report import CompiledMemory, StepReport, count_collectives
from rnnlm_jax.jobs.ahead_of_time.topology import Topology
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.jobs.sharding.mesh import check_divides, make_mesh, parse_mesh
from rnnlm_jax.jobs.sharding.parameter_sharding import describe_shardings
from rnnlm_jax.jobs.sharding.placement import batch_sharding
from rnnlm_jax.language_model.flops import training_flops
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import parameter_count
from rnnlm_jax.outputs.automatic_cutoffs import has_automatic_cutoffs
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.system.machine_memory import bytes_on_each_device
from rnnlm_jax.training.texts import batch_lengths
from rnnlm_jax.training.training_program import training_program
from rnnlm_jax.unroll import describe_executor

#: XLA's messages that a program does not fit, with the memory that it needs and the memory of the device.
_TOO_LARGE = (
    re.compile(r"[Uu]sed ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm"),
    re.compile(r"required [^()]*\(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)"),
)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def compile_step(name: str, config: Config, words: WordCounts, *, topology: Topology) -> StepReport:
    """Compile a configuration's training step for a topology, and report the memory and operations that it needs.

    Args:
        name: the name of the configuration, for the report.
        config: the experiment; its mesh must have as many devices as the topology.
        words: the vocabulary's words with their counts.
        topology: the devices.

    Raises:
        ConfigError: if the mesh or the batch size does not fit the devices.
        DeviceError: if libtpu cannot compile the step.
    """
    model = _tpu_model(config, words)
    mesh = _mesh(config.parallel.mesh, topology)
    steps, batch_size = batch_lengths(config.data)[-1], config.data.batch_size
    check_divides(mesh, batch_size, config.optimizer.accumulate)
    one_device = mesh.size == 1  # then training uses no mesh
    program = training_program(model, config, mesh=None if one_device else mesh)
    shapes = jax.eval_shape(training_program(model, config).initial_state)
    state = _with_shardings(shapes, program.shardings(mesh))
    tokens: Any = [jax.ShapeDtypeStruct((steps, batch_size), kind) for kind in ("int32", "int32", "bool")]
    batch = Batch(*(_with_shardings(part, batch_sharding(mesh)) for part in tokens))
    step: Any = program.step
    with jax.disable_jit(False):  # JAX_DISABLE_JIT must not change the program
        memory, collectives = _compiled(step.lower(state, batch), topology)
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
        parameter_bytes=bytes_on_each_device(state.params),
        optimizer_bytes=bytes_on_each_device(state.opt_state),
        memory=memory,
        collectives=collectives,
    )


def _mesh(text: str | None, topology: Topology) -> Mesh:
    devices = len(topology.devices)
    wanted = devices if text is None else math.prod(parse_mesh(text).values())
    if wanted != devices:
        raise ConfigError(f"`mesh` {text} is of {wanted} devices, and {topology.name} has {devices}: change either")
    return make_mesh(text, topology.devices)


def _with_shardings(shapes: Any, shardings: Any) -> Any:
    """Add shardings to descriptions of arrays."""
    return jax.tree.map(
        lambda a, sharding: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), shapes, shardings
    )


def _tpu_model(config: Config, words: WordCounts) -> LanguageModel:
    """Return the model with the executor that a TPU would use."""
    if has_automatic_cutoffs(config.model.output, config.model.output_options):
        raise ConfigError(
            "the cut-offs of an adaptive softmax are measured on the device: give `output_options` cutoffs=…"
        )
    model = build_model(config.model, words.size, "scan", words=words, unknown_id=0)  # any word: nothing is run
    executor = None if config.model.executor == "auto" else config.model.executor
    chosen = describe_executor(model.trained_cell, model.embedding_size, executor, platform="tpu")
    executor = chosen.split(", ")[0].rpartition(": ")[2]  # all layers of a configuration are equal
    return build_model(config.model, words.size, executor, words=words, unknown_id=0)


def _compiled(lowered: Any, topology: Topology) -> tuple[CompiledMemory, dict[str, int] | None]:
    """Compile a lowered program, and return its memory and its collectives; None if it does not fit."""
    available = round((topology.accelerator.memory or 0) * 2**30)
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        needed = next((found for pattern in _TOO_LARGE if (found := pattern.search(str(error)))), None)
        if needed is None:
            raise DeviceError(f"libtpu cannot compile this step ({str(error).splitlines()[0]}): change it") from error
        peak, peak_unit, limit, limit_unit = needed.groups()
        return CompiledMemory(peak=_size(peak, peak_unit), available=_size(limit, limit_unit)), None
    found = compiled.memory_analysis()
    parts = {
        "arguments": found.argument_size_in_bytes,
        "outputs": found.output_size_in_bytes,
        "aliased": found.alias_size_in_bytes,
        "temporaries": found.temp_size_in_bytes,
        "program": found.generated_code_size_in_bytes,
    }
    peak = sum(parts.values()) - 2 * parts["aliased"]
    return CompiledMemory(peak=peak, available=available, **parts), count_collectives(compiled.as_text())


def _size(number: str, unit: str) -> int:
    return round(float(number) * _UNITS[unit])

"""The report on a compiled training step: memory of each device, operations, communication."""

import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rnnlm_jax.system.machine_memory import size_text

COLLECTIVES = (
    *("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all"),
    *("collective-permute", "collective-broadcast"),
)
#: A collective instruction in a program's text; of a pair of start and end, the start.
_INSTRUCTION = re.compile(rf"= [^=]*?[\s)}}]({'|'.join(COLLECTIVES)})(?:-start)?\(")


@dataclass(frozen=True)
class CompiledMemory:
    """Memory of a program in bytes on each device; for programs that do not fit, the compiler reports only the peak."""

    peak: int
    """Arguments, outputs that do not reuse their memory, temporaries and the program itself."""
    available: int
    """Memory of the device that a program may use."""
    arguments: int | None = None
    outputs: int | None = None
    aliased: int | None = None
    """Outputs that reuse the memory of arguments: parameters and optimiser state, which are updated in place."""
    temporaries: int | None = None
    program: int | None = None

    @property
    def shortfall(self) -> int:
        """Missing bytes; 0 if the program fits."""
        return max(self.peak - self.available, 0)


@dataclass(frozen=True)
class StepReport:
    """The report on a training step, compiled for the devices of a topology."""

    config: str
    topology: str
    device_kind: str
    devices: int
    mesh: dict[str, int]
    divided: str
    """The arrays that are divided over the axis ``model``, as text."""
    vocabulary: int
    parameters: int
    batch_size: int
    bptt: int
    flops_per_token: float | None
    """Operations of the forward and backward pass; None if the input or output layer does not declare them."""
    parameter_bytes: int
    """Bytes on each device."""
    optimizer_bytes: int
    """Bytes on each device."""
    memory: CompiledMemory
    collectives: dict[str, int] | None
    """Collective instructions by kind, those in a loop's body counted once; None if the program does not fit."""

    @property
    def fits(self) -> bool:
        """Whether each device has enough memory."""
        return not self.memory.shortfall

    def summary(self) -> dict[str, Any]:
        """Return the figures by name, as JSON values."""
        return asdict(self) | {"fits": self.fits, "shortfall_gib": self.memory.shortfall / 2**30}


def count_collectives(program: str) -> dict[str, int]:
    """Count the instructions that move values between devices in a compiled program, by kind."""
    found = Counter(_INSTRUCTION.findall(program))
    return {kind: found[kind] for kind in COLLECTIVES if found[kind]}


def _operations(report: StepReport) -> str:
    if report.flops_per_token is None:
        return "FLOPs not declared by the input or output layer"
    flops = report.flops_per_token * report.bptt * report.batch_size
    return f"{flops / 1e12:.3g} TFLOP a step, forward and backward"


def describe(report: StepReport) -> str:
    """Return the report as lines of text."""
    axes = ", ".join(f"{name}={length}" for name, length in report.mesh.items())
    tokens, memory = report.bptt * report.batch_size, report.memory
    lines = [
        f"{report.config} on {report.topology}: {report.devices} x {report.device_kind}, mesh {axes}",
        *([report.divided] if report.divided else []),
        _line("parameters", f"{report.parameters:,}, vocabulary of {report.vocabulary:,}"),
        _line("batch", f"{tokens:,} tokens, {report.batch_size} x {report.bptt}"),
        _line("operations", _operations(report)),
        "memory of each device",
        _line("  parameters", size_text(report.parameter_bytes)),
        _line("  optimiser", size_text(report.optimizer_bytes)),
    ]
    for name in ("arguments", "outputs", "aliased", "temporaries", "program"):
        size = getattr(memory, name)
        if size is not None:
            lines.append(_line(f"  {name}", size_text(size)))
    lines.append(_line("  peak", f"{size_text(memory.peak)} of {size_text(memory.available)}"))
    if report.collectives is not None:
        counted = ", ".join(f"{count} {kind}" for kind, count in report.collectives.items())
        lines.append(_line("collectives", counted or "none"))
    verdict = "fits" if report.fits else f"does not fit: {memory.shortfall / 2**30:.2f} GiB short on each device"
    return "\n".join([*lines, verdict])


def _line(name: str, value: str) -> str:
    return f"{name:<16} {value}"

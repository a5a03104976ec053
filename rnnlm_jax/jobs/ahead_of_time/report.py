"""What a compiled training step takes of each device, as numbers and as lines to read."""

import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rnnlm_jax.system.machine_memory import size_text

COLLECTIVES = (
    *("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all"),
    *("collective-permute", "collective-broadcast"),
)
#: One instruction of a program's text; of a pair that starts and ends, the start.
_INSTRUCTION = re.compile(rf"= [^=]*?[\s)}}]({'|'.join(COLLECTIVES)})(?:-start)?\(")


@dataclass(frozen=True)
class Memory:
    """Bytes on each device; what the compiler does not tell of a program that does not fit is None."""

    peak: int
    """Arguments, outputs that are not aliased to them, temporaries and the program itself."""
    available: int
    arguments: int | None = None
    outputs: int | None = None
    aliased: int | None = None
    """Outputs in the memory of arguments: parameters and optimiser are updated in place."""
    temporaries: int | None = None
    program: int | None = None

    @property
    def shortfall(self) -> int:
        """Bytes that are missing; 0 if it fits."""
        return max(self.peak - self.available, 0)


@dataclass(frozen=True)
class StepReport:
    """A training step on the devices of a topology."""

    config: str
    topology: str
    device_kind: str
    devices: int
    mesh: dict[str, int]
    divided: str
    """What lies over its axis ``model``, in words."""
    vocabulary: int
    parameters: int
    batch_size: int
    bptt: int
    flops_per_token: float | None
    """Of training, forward and backward (``rnnlm_jax.language_model.flops``); None if a layer does not declare them."""
    parameter_bytes: int
    """On each device, as are those of the optimiser."""
    optimizer_bytes: int
    memory: Memory
    collectives: dict[str, int] | None
    """Instructions of the program by kind, those of a loop's body once; None if it was not compiled to the end."""

    @property
    def fits(self) -> bool:
        """Whether each device has the memory."""
        return not self.memory.shortfall

    def summary(self) -> dict[str, Any]:
        """The figures by name."""
        return asdict(self) | {"fits": self.fits, "shortfall_gib": self.memory.shortfall / 2**30}


def count_collectives(program: str) -> dict[str, int]:
    """How many instructions of a compiled program move values between devices, by kind."""
    found = Counter(_INSTRUCTION.findall(program))
    return {kind: found[kind] for kind in COLLECTIVES if found[kind]}


def _operations(report: StepReport) -> str:
    if report.flops_per_token is None:
        return "FLOPs not declared by the input or output layer"
    flops = report.flops_per_token * report.bptt * report.batch_size
    return f"{flops / 1e12:.3g} TFLOP a step, forward and backward"


def describe(report: StepReport) -> str:
    """The report as a table."""
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

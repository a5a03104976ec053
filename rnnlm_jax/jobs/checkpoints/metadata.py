"""The metadata of a checkpoint, which is all but its arrays: position, run identity and digests of the arrays."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from rnnlm_jax.jobs.run_identity import RunIdentity


@dataclass(frozen=True)
class Position:
    """The position of a run in training: the next batch, and sums over the current epoch."""

    step: int
    """Steps done."""
    epoch: int
    """Epochs done."""
    batch: int
    """Batches done in the current epoch."""
    epoch_nats: float
    """Summed training loss of the current epoch."""
    epoch_tokens: int
    best_valid_nats: float | None
    """Validation loss of the best epoch so far, in nats per token."""
    seconds: float
    """Training time so far."""
    best_step: int | None = None
    """Step at which the best epoch so far ended."""
    records: int | None = None
    """Number of lines in the metrics file."""
    records_digest: str = ""
    """SHA-256 of those lines."""
    interval: dict[str, Any] | None = None
    """Sums for the next line of metrics, as ``IntervalMetrics.sums`` returns them."""
    seconds_by_use: dict[str, float] | None = dataclasses.field(default=None, compare=False)
    """What the wall time was used for when the checkpoint was saved, as ``TimeUse.sums`` returns it; two checkpoints of
    one position differ in it."""


#: The position before the first step.
START = Position(step=0, epoch=0, batch=0, epoch_nats=0.0, epoch_tokens=0, best_valid_nats=None, seconds=0.0)


@dataclass(frozen=True)
class CheckpointMetadata:
    """All of a checkpoint but its arrays."""

    position: Position
    identity: RunIdentity
    """Identity of the run: a position is valid only with the run's own options and text."""
    digests: dict[str, dict[str, str]]
    """Name of a tree -> name of a leaf -> digest of the array."""


def to_text(metadata: CheckpointMetadata) -> str:
    """Return the metadata as JSON text with a digest of its content."""
    content = dataclasses.asdict(metadata)
    return json.dumps(content | {"seal": _seal(content)})


def from_text(text: str | bytes) -> CheckpointMetadata:
    """Return the metadata that ``to_text`` wrote.

    Raises:
        ValueError, TypeError, KeyError: if the text is anything else.
    """
    content: dict[str, Any] = json.loads(text)
    if content.pop("seal") != _seal(content):
        raise ValueError("wrong digest of the position")
    return CheckpointMetadata(
        position=Position(**content["position"]),
        identity=RunIdentity.from_entry(content["identity"]),
        digests={name: dict(leaves) for name, leaves in content["digests"].items()},
    )


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

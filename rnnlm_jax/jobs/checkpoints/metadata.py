"""The metadata of a checkpoint, which is all but its arrays: position, run identity and digests of the arrays."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from rnnlm_jax.jobs.run_identity import RunIdentity


@dataclass(frozen=True)
class Position:
    """The position of a run in training: the next batch, and what was measured up to it."""

    step: int = 0
    """Steps done."""
    epoch: int = 0
    """Epochs done."""
    batch: int = 0
    """Batches done in the current epoch."""
    nats: float = 0.0
    """Training loss summed since the last validation."""
    tokens: int = 0
    """Tokens that it was summed over."""
    all_tokens: int = 0
    """Tokens of all steps."""
    seconds: float = 0.0
    """Training time so far."""
    validated: bool = True
    """Whether the validation that was due after this step has been made."""
    valid_nats: tuple[float, ...] = ()
    """Loss of each validation in nats per token, the newest one last."""
    best_valid_nats: float | None = None
    """Least validation loss so far, in nats per token."""
    best_step: int | None = None
    """Step of that validation."""
    since_best: int = 0
    """Number of validations since then."""
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
START = Position()


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
        position=position_from_json(content["position"]),
        identity=RunIdentity.from_entry(content["identity"]),
        digests={name: dict(leaves) for name, leaves in content["digests"].items()},
    )


def position_from_json(content: dict[str, Any]) -> Position:
    """Return the position from its JSON object.

    Raises:
        TypeError, KeyError: if the object is anything else.
    """
    values: dict[str, Any] = content | {"valid_nats": tuple(content["valid_nats"])}
    return Position(**values)


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

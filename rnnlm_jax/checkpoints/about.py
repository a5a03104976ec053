"""What a checkpoint holds besides arrays: the position of the run, the digests, and a digest of all that."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Position:
    """Where a run stands: the next batch to train on, and the sums of the running epoch."""

    step: int
    epoch: int
    batch: int
    epoch_nats: float
    epoch_tokens: int
    best_valid_nats: float | None
    """Per token, of the best epoch so far."""
    seconds: float
    """Spent training so far."""
    text: str
    """Digest of the training tokens: a position means something in the same text only."""
    best_step: int | None = None
    """At which the best epoch so far ended."""
    records: int | None = None
    """Lines of metrics written so far."""
    records_digest: str = ""
    """SHA-256 of those lines."""
    interval: dict[str, Any] | None = None
    """The sums of the line of metrics that is not written yet."""
    reads: dict[str, Any] | None = None
    """What the order of the text's tokens in batches is a function of; earlier versions have not kept it."""


@dataclass(frozen=True)
class About:
    """All of a checkpoint but its arrays."""

    position: Position
    vocabulary: str
    """Content hash of the vocabulary that the run is trained with."""
    digests: dict[str, dict[str, str]]
    """Of each leaf of each tree, by the names of both."""


def to_text(about: About) -> str:
    """As JSON, sealed by its own digest."""
    content = dataclasses.asdict(about)
    return json.dumps(content | {"seal": _seal(content)})


def from_text(text: str | bytes) -> About:
    """What ``to_text`` wrote.

    Raises:
        ValueError, TypeError, KeyError: if it is no such text, or not as it was written.
    """
    content: dict[str, Any] = json.loads(text)
    found = About(
        position=Position(**content["position"]),
        vocabulary=str(content["vocabulary"]),
        digests={name: dict(leaves) for name, leaves in content["digests"].items()},
    )
    seal = content.pop("seal", None)  # checkpoints of the first version have none
    if content.keys() - {"position", "vocabulary", "digests"}:
        raise ValueError("an entry of an unknown name")
    if seal is not None and seal != _seal(content):
        raise ValueError("wrong digest of the position")
    return found


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

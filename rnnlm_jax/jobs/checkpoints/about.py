"""What a checkpoint holds besides arrays: the position of the run, the digests, and a digest of all that."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from rnnlm_jax.jobs.run_identity import RunIdentity


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
    best_step: int | None = None
    """At which the best epoch so far ended."""
    records: int | None = None
    """Lines of metrics written so far."""
    records_digest: str = ""
    """SHA-256 of those lines."""
    interval: dict[str, Any] | None = None
    """The sums of the line of metrics that is not written yet."""


@dataclass(frozen=True)
class About:
    """All of a checkpoint but its arrays."""

    position: Position
    identity: RunIdentity
    """Of the run: a position means something with the same options and in the same text only."""
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
    if content.pop("seal") != _seal(content):
        raise ValueError("wrong digest of the position")
    return About(
        position=Position(**content["position"]),
        identity=RunIdentity.from_entry(content["identity"]),
        digests={name: dict(leaves) for name, leaves in content["digests"].items()},
    )


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

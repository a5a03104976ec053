"""The identity that all files of a run contain, with which files of another run are detected."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnnlm_jax.config import Config, fixed_options_digest
from rnnlm_jax.errors import CheckpointError

_RESTORE = "restore the one that does not belong from a copy"


@dataclass(frozen=True)
class RunIdentity:
    """The identity of a run, written into its configuration, checkpoints and results.

    Attributes:
        run_id: random hexadecimal string, drawn when the run begins.
        options: digest of the options that a resumed run must not change.
        vocabulary: content hash of the vocabulary.
        counts: digest of the words and their counts; None if the run has none.
        texts: split -> digest of its tokens; empty if the run's text is unknown.
        init: digest of the parameters that training started from; None if they were drawn.
    """

    run_id: str
    options: str
    vocabulary: str
    counts: str | None
    texts: Mapping[str, str]
    init: str | None = None

    @classmethod
    def begin(
        cls,
        config: Config,
        vocabulary: str,
        *,
        counts: str | None = None,
        texts: Mapping[str, str] | None = None,
        init: str | None = None,
    ) -> RunIdentity:
        """Return the identity of a new run, with a random ``run_id``."""
        return cls(secrets.token_hex(16), fixed_options_digest(config), vocabulary, counts, dict(texts or {}), init)

    @classmethod
    def from_entry(cls, entry: Any) -> RunIdentity:
        """Return the identity from its JSON object.

        Raises:
            ValueError: if the object is not the ``entry()`` of an identity.
        """
        try:
            found = cls(**entry)
            strings = (found.run_id, found.options, found.vocabulary, *found.texts.values())
            if not all(isinstance(value, str) for value in strings):
                raise ValueError("not the identity of a run")
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not the identity of a run ({error})") from error
        return found

    def entry(self) -> dict[str, Any]:
        """Return the identity as a JSON object."""
        return dataclasses.asdict(self)


def require_same_run(found: RunIdentity, own: RunIdentity, what: str) -> None:
    """Check that a file belongs to a run.

    Args:
        found: the identity in the file.
        own: the identity in the run's ``config.json``.
        what: the file, for errors.

    Raises:
        CheckpointError: if the file is of another run, or was written with another configuration.
    """
    require_run_id(found.run_id, own, what)
    for name, difference in _DIFFERENCES.items():
        if getattr(found, name) != getattr(own, name):
            raise CheckpointError(
                f"{what} was written with {difference} than the run's config.json says: restore config.json from a "
                "copy, or begin another run"
            )


def require_run_id(found: str, own: RunIdentity, what: str, *, remedy: str = _RESTORE) -> None:
    """Check that a file has the ``run_id`` of a run.

    Args:
        found: the ``run_id`` in the file.
        own: the identity in the run's ``config.json``.
        what: the file, for errors.
        remedy: what to do if it is of another run, for errors.

    Raises:
        CheckpointError: if it is of another run.
    """
    if found != own.run_id:
        raise CheckpointError(
            f"{what} is of another run ({found[:8]}… there, {own.run_id[:8]}… in config.json): the folder mixes files "
            f"of two runs; {remedy}"
        )


#: Field of an identity -> what differs if it does.
_DIFFERENCES = {
    "options": "other options",
    "vocabulary": "another vocabulary",
    "counts": "other word counts",
    "texts": "another text",
    "init": "other initial parameters",
}

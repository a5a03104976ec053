"""What all files of one run have in common, and how a file of another run is found out."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnnlm_jax.config import Config, kept_digest
from rnnlm_jax.errors import UserError

_RESTORE = "restore the one that does not belong from a copy"


@dataclass(frozen=True)
class RunIdentity:
    """Written into the configuration, every checkpoint and the results of a run.

    Attributes:
        run_id: drawn at random when the run begins, hexadecimal.
        options: the digest of the options that a resumed run keeps.
        vocabulary: the content hash of the vocabulary.
        counts: the digest of the words and their counts; None if the run has none.
        texts: split -> the digest of its tokens; empty if the run's text is not known.
    """

    run_id: str
    options: str
    vocabulary: str
    counts: str | None
    texts: Mapping[str, str]

    @classmethod
    def begin(
        cls, config: Config, vocabulary: str, counts: str | None = None, texts: Mapping[str, str] | None = None
    ) -> RunIdentity:
        """The identity of a run that begins now."""
        return cls(secrets.token_hex(16), kept_digest(config), vocabulary, counts, dict(texts or {}))

    @classmethod
    def from_entry(cls, entry: Any) -> RunIdentity:
        """What ``entry`` gave, back from JSON.

        Raises:
            ValueError: if it is something else.
        """
        try:
            found = cls(**entry)
            strings = (found.run_id, found.options, found.vocabulary, *found.texts.values())
            if not all(isinstance(value, str) for value in strings):
                raise ValueError("no identity of a run")
        except (TypeError, AttributeError) as error:
            raise ValueError(f"no identity of a run ({error})") from error
        return found

    def entry(self) -> dict[str, Any]:
        """As JSON has it."""
        return dataclasses.asdict(self)


def require_own(found: RunIdentity, own: RunIdentity, what: str) -> None:
    """Check that a file belongs to a run.

    Args:
        found: what the file says.
        own: what the run's ``config.json`` says.
        what: the file, for errors.

    Raises:
        UserError: if it is of another run, or was written with another configuration.
    """
    require_own_id(found.run_id, own, what)
    for name, said in _DIFFERENT.items():
        if getattr(found, name) != getattr(own, name):
            raise UserError(
                f"{what} was written with {said} than the run's config.json says: restore config.json from a copy, "
                "or begin another run"
            )


def require_own_id(found: str, own: RunIdentity, what: str, remedy: str = _RESTORE) -> None:
    """Check that a file belongs to a run, by the run's random name alone.

    Args:
        found: the name in the file.
        own: what the run's ``config.json`` says.
        what: the file, for errors.
        remedy: what to do where it is of another run, for errors.

    Raises:
        UserError: if it is of another run.
    """
    if found != own.run_id:
        raise UserError(
            f"{what} is of another run ({found[:8]}… there, {own.run_id[:8]}… in config.json): the folder mixes files "
            f"of two runs; {remedy}"
        )


#: Field of an identity -> what differs where it does.
_DIFFERENT = {
    "options": "other options",
    "vocabulary": "another vocabulary",
    "counts": "other word counts",
    "texts": "another text",
}

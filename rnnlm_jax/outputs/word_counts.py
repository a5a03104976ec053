"""What input and output layers may know of a vocabulary: how its words are written, and how often each was seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnlm_jax.errors import UserError

_FORMAT = "rnnlm_jax counts 1"
_AT_ONCE = 2**20  # ids of a text that are counted together


class Words:
    """The words of a vocabulary by id, and their counts in the training text.

    Hashable and equal by content, so that a layer made from equal words is the same layer.

    Attributes:
        tokens: id -> how the word is written.
        counts: int64 `[V]`, how often each word stands in the training text; 0 for one that does not.
        digest: the sha256 (hexadecimal) of both.

    Raises:
        UserError: if there is not one count a word, or a count is negative.
    """

    def __init__(self, tokens: Sequence[str], counts: Sequence[int] | np.ndarray):
        """Keep a copy of both, which nobody can change."""
        self.tokens: tuple[str, ...] = tuple(tokens)
        self.counts: np.ndarray = np.array(counts, np.int64)
        if self.counts.shape != (len(self.tokens),) or (self.counts < 0).any():
            raise UserError(f"{len(self.tokens)} words need as many counts, none of them negative")
        self.counts.setflags(write=False)
        spelled = json.dumps(self.tokens, ensure_ascii=True, separators=(",", ":")).encode("ascii")
        self.digest: str = hashlib.sha256(spelled + self.counts.astype("<i8").tobytes()).hexdigest()

    @classmethod
    def counted(cls, tokens: Sequence[str], text: np.ndarray) -> Words:
        """The words with their counts in a text of ids `[N]`."""
        counts = np.zeros(len(tokens), np.int64)
        for start in range(0, text.size, _AT_ONCE):
            counts += np.bincount(text[start : start + _AT_ONCE], minlength=len(tokens))
        return cls(tokens, counts)

    @property
    def size(self) -> int:
        """V."""
        return len(self.tokens)

    @property
    def by_rank(self) -> np.ndarray:
        """The ids by falling count, equal counts by id: int64 `[V]`."""
        return np.argsort(-self.counts, kind="stable")

    def to_json(self) -> str:
        """The counts, with the digest that says of which words they are; the vocabulary's own file has the words."""
        return json.dumps({"format": _FORMAT, "sha256": self.digest, "counts": self.counts.tolist()}) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, tokens: Sequence[str], name: str = "the counts") -> Words:
        """The words with the counts that ``to_json`` wrote.

        Raises:
            UserError: if it is no such text, or is damaged, or of other words.
        """
        damaged = UserError(
            f"{name} is damaged, or the run was trained with another vocabulary: restore it from a copy, or train again"
        )
        try:
            content = json.loads(text)
            if content["format"] != _FORMAT:
                raise damaged
            found = cls(tokens, content["counts"])
        except (ValueError, TypeError, KeyError, OverflowError, UserError):
            raise damaged from None
        if found.digest != content.get("sha256"):
            raise damaged
        return found

    def __eq__(self, other: object) -> bool:
        """Whether words and counts are the same."""
        return isinstance(other, Words) and self.digest == other.digest

    def __hash__(self) -> int:
        """By content."""
        return hash(self.digest)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle; NumPy forgets that an array cannot be changed."""
        self.__dict__.update(state)
        self.counts.setflags(write=False)

    def __repr__(self) -> str:
        """Size and digest: the words themselves would fill pages."""
        return f"Words({self.size:,} types, {self.digest[:12]}…)"

"""The frozen list of tokens that a model reads and predicts, and its policies for other tokens and ends of lines."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm_jax.data import subwords
from rnnlm_jax.data.encoded_text import EncodedText
from rnnlm_jax.data.encoding import BlockIds, append_eos, byte_ids, character_ids, count_words, token_at, word_ids
from rnnlm_jax.data.spooled_array import SpooledArray
from rnnlm_jax.data.text_blocks import TextBlock, blocks_of
from rnnlm_jax.data.word_table import WordTable
from rnnlm_jax.errors import ArgumentError, DataError, UserError
from rnnlm_jax.system.atomic_write import written_whole
from rnnlm_jax.system.input_files import read_input

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LEVELS = ("word", "char", "byte", "subword")
_FORMAT = "rnnlm_jax vocabulary 1"
_NOUNS = {"word": "words", "char": "characters", "byte": "bytes", "subword": "subwords"}


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, their level, and the policies for unknown tokens and ends of lines.

    Perplexities are comparable only between models with the same vocabulary and policies, that is with the same
    `content_hash`; `describe()` returns them in words.

    Attributes:
        level: `"word"` (split at ASCII white space, see `split_words`), `"char"` (Unicode characters), `"byte"` (UTF-8
            bytes) or `"subword"` (split by `tokenizer`).
        tokens: token of each id. Bytes are written as the characters `chr(0)` to `chr(255)`; subwords as the tokenizer
            writes them.
        unk: token that replaces unknown tokens; `None`: an unknown token is an error.
        eos: token appended to each line; `None`: nothing is appended.
        tokenizer: at the subword level the JSON of a tokenizer of Hugging Face's `tokenizers`, complete in itself; at
            other levels `None`.

    Raises:
        ArgumentError: the level is unknown, a token is repeated, a policy token is not among the tokens, or subwords
            come without a tokenizer or other levels with one.
    """

    level: str
    tokens: tuple[str, ...]
    unk: str | None
    eos: str | None
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        """Check that the attributes fit together."""
        if self.level not in LEVELS:
            raise ArgumentError(f"unknown level {self.level!r}: choose one of {', '.join(LEVELS)}")
        if len(self.index) != len(self.tokens):
            raise ArgumentError("a vocabulary holds each token once, but some token is repeated")
        for role, token in (("unk", self.unk), ("eos", self.eos)):
            if token is not None and token not in self.index:
                raise ArgumentError(f"the {role} token {token!r} is not among the tokens of the vocabulary: add it")
        if self.unk is not None and self.unk == self.eos:
            raise ArgumentError(f"`unk` and `eos` are both {self.unk!r}: give them different tokens")
        if self.level == "byte" and (self.tokens != tuple(map(chr, range(256))) or self.unk is not None):
            raise ArgumentError("a byte vocabulary is the 256 bytes in order, without an unknown token")
        if (self.level == "subword") != (self.tokenizer is not None):
            raise ArgumentError("the subword level, and only that level, has a `tokenizer`: give both or neither")

    @cached_property
    def index(self) -> dict[str, int]:
        """The id of each token."""
        return {token: i for i, token in enumerate(self.tokens)}

    @property
    def size(self) -> int:
        """The number of types, policy tokens included."""
        return len(self.tokens)

    @property
    def unk_id(self) -> int | None:
        """The id of the unknown token, or None."""
        return None if self.unk is None else self.index[self.unk]

    @property
    def eos_id(self) -> int | None:
        """The id of the end-of-line token, or None."""
        return None if self.eos is None else self.index[self.eos]

    @property
    def start_id(self) -> int:
        """The input id before the first token of a text: that of the end-of-line token, or 0 without one."""
        return 0 if self.eos_id is None else self.eos_id

    @property
    def tokenizer_entry(self) -> dict[str, str]:
        """The entry for the tokenizer in files and hashes; empty at levels without one."""
        return {} if self.tokenizer is None else {"tokenizer": self.tokenizer}

    @cached_property
    def content_hash(self) -> str:
        """The sha256 (hexadecimal) of all attributes; equal vocabularies have equal hashes."""
        content = {"level": self.level, "unk": self.unk, "eos": self.eos, "tokens": self.tokens} | self.tokenizer_entry
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def describe(self) -> str:
        """Return the level, size and policies in one line, to print beside a perplexity."""
        noun = _NOUNS[self.level]
        unknown = f"no unknown {noun} allowed" if self.unk is None else f"{self.unk} for unknown {noun}"
        if self.level == "byte":
            unknown = "no byte is unknown"
        if self.level == "subword" and self.unk is None:
            unknown = "no unknown token"
        newline = subwords.BYTE_LEVEL_NEWLINE if self.level == "subword" else "\n"
        shown = {None: "nothing", "\n": "\\n", newline: "\\n"}.get(self.eos, self.eos)
        counted = ", counted as a token, a word and a character" if self.level == "subword" else ""
        return f"{self.level} level, {self.size:,} types, {unknown}, {shown} ends each line{counted}"

    def encode(self, lines: Iterable[str]) -> EncodedText:
        """Encode the lines of a text, appending `eos` to each.

        The text is read about a megabyte at a time. An id takes two bytes if the vocabulary has at most 65,536 types,
        else four; ids beyond `spooled_array.MOST_IN_MEMORY` bytes are kept in a memory-mapped temporary file in the
        cache folder.

        Args:
            lines: lines without their newlines.

        Returns:
            The ids with their line ends and counts.

        Raises:
            DataError: a token is unknown and the vocabulary has no unknown token, `tokenizers` is needed and not
                installed, or the temporary file cannot be written.
        """
        ids, ends = SpooledArray(np.uint16 if self.size <= 2**16 else np.int32), SpooledArray(np.int64)
        characters = words = oov = lossy = 0
        try:
            for block in blocks_of(lines, "surrogateescape" if self.level == "byte" else "surrogatepass"):
                found, unknown, changed = self._block_ids(block)
                if self.eos_id is not None:
                    found = append_eos(found, self.eos_id)
                    characters += block.ends.size
                    words += block.ends.size
                ends.append(found.line_ends + ids.size)
                ids.append(found.ids)
                words += 0 if self.level == "word" else count_words(block)
                characters += block.characters
                oov += unknown
                lossy += changed
        except UnicodeEncodeError as error:
            raise _not_text(error) from None
        words = ids.size if self.level == "word" else words
        return EncodedText(ids.finish(np.int32), ends.finish(np.int64), oov, characters, words, lossy)

    def encode_line(self, line: str) -> list[int]:
        """Return the ids of one line without `eos`, e.g. of a prompt to continue.

        Bytes of a command line that are not UTF-8 (U+DC80 to U+DCFF in Python) are encoded at the byte level only.

        Raises:
            DataError: a token is unknown and the vocabulary has no unknown token, or the line has a lone surrogate,
                or at another level bytes that are not UTF-8.
        """
        try:
            (block,) = blocks_of([line], "surrogateescape" if self.level == "byte" else "strict")
        except UnicodeEncodeError as error:
            raise _not_text(error) from None
        return self._block_ids(block._replace(line=0))[0].ids.tolist()

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of some ids, with words joined by spaces and `eos` as a newline.

        Bytes that are not valid UTF-8, as in a sampled sequence, become the replacement character U+FFFD.

        Raises:
            ArgumentError: an id is not between 0 and `size - 1`.
        """
        numbers = [int(i) for i in ids]
        if numbers and not (min(numbers) >= 0 and max(numbers) < self.size):
            wrong = next(i for i in numbers if not 0 <= i < self.size)
            raise ArgumentError(f"{wrong} is not a token id: the vocabulary has ids 0 to {self.size - 1}")
        if self.level == "subword":
            return subwords.decode(self.subword_tokenizer, numbers, self.eos_id)
        words = ["\n" if self.tokens[i] == self.eos else self.tokens[i] for i in numbers]
        if self.level == "byte":
            return "".join(words).encode("latin-1").decode("utf-8", errors="replace")
        if self.level == "char":
            return "".join(words)
        # a newline stands for the space on both of its sides
        return " ".join(words).replace(" \n", "\n").replace("\n ", "\n")

    def to_json(self) -> str:
        """Return the content of the vocabulary's file, with its hash."""
        content = {"format": _FORMAT, "level": self.level, "unk": self.unk, "eos": self.eos}
        content |= {"sha256": self.content_hash, "tokens": self.tokens} | self.tokenizer_entry
        return json.dumps(content, indent=0)

    def save(self, path: str | Path) -> None:
        """Write the vocabulary to a JSON file atomically: readers see the old file or the complete new one.

        Raises:
            UserError: the path is a folder or a device.
        """
        with written_whole(path) as temporary:
            temporary.write_text(self.to_json(), encoding="ascii")

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read a vocabulary that `save` wrote, and verify its hash.

        Raises:
            DataError: the file cannot be read, is not a vocabulary file, or its content does not fit its hash.
        """
        return cls.from_json(read_input(path, "vocabulary file"), str(path))

    @classmethod
    def from_json(cls, text: str | bytes, name: str) -> Vocabulary:
        """Return the vocabulary that `to_json` wrote; `name` is the file's name in error messages.

        Raises:
            DataError: the text is not a vocabulary, or its content does not fit its hash.
        """
        try:
            content = json.loads(text)
        except ValueError:  # not JSON, or not text
            raise DataError(f"{name} is not a readable vocabulary file: build the vocabulary again") from None
        if isinstance(content, dict) and "format" not in content and "model" in content:
            raise DataError(f"{name} is not a vocabulary file of this library: give a tokenizer.json as `tokenizer`")
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise DataError(f"{name} is not a vocabulary file of this version: build the vocabulary again")
        corrupt = DataError(f"the vocabulary file {name} is corrupt (its sha256 does not fit): build it again")
        try:
            tokens, tokenizer = tuple(content["tokens"]), content.get("tokenizer")
            found = cls(content["level"], tokens, content["unk"], content["eos"], tokenizer)
        except (KeyError, TypeError, UserError):
            raise corrupt from None
        if found.content_hash != content.get("sha256"):
            raise corrupt
        return found

    @cached_property
    def subword_tokenizer(self) -> Tokenizer:
        """The tokenizer of a vocabulary of subwords."""
        assert self.tokenizer is not None, self.level
        return subwords.load_tokenizer(self.tokenizer)

    @cached_property
    def _word_table(self) -> WordTable:
        return WordTable([token.encode("utf-8", "surrogatepass") for token in self.tokens])

    @cached_property
    def _character_table(self) -> np.ndarray:
        """The id of each code point, -1 if it has none, and -1 as the last entry."""
        known = {ord(token): i for token, i in self.index.items() if len(token) == 1}
        table = np.full(max(known, default=0) + 2, -1, np.int32)
        table[list(known)] = list(known.values())
        return table

    def _block_ids(self, block: TextBlock) -> tuple[BlockIds, int, int]:
        """Return the ids of a block without ends of lines, its number of unknown tokens, and of lossy lines."""
        if self.level == "subword":
            return subwords.block_ids(self.subword_tokenizer, block, self.unk_id)
        if self.level == "byte":
            return byte_ids(block), 0, 0
        words = self.level == "word"
        found = word_ids(block, self._word_table) if words else character_ids(block, self._character_table)
        unknown = np.flatnonzero(found.ids < 0)
        if unknown.size and self.unk_id is None:
            raise self._unknown_token(block, int(unknown[0]))
        if unknown.size:
            found.ids[unknown] = self.unk_id
        return found, unknown.size, 0

    def _unknown_token(self, block: TextBlock, number: int) -> DataError:
        """Return the error for token `number` of a block, which is unknown."""
        token, offset = token_at(block, number, self.level)
        where = f" in {block.describe_position(offset)}" if block.line else ""
        return DataError(
            f"{token!r}{where} is not in the vocabulary ({self.describe()}): use a vocabulary that has it, or one with "
            "an unknown token"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes only; an unpickled copy builds its own tables."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def _not_text(error: UnicodeEncodeError) -> DataError:
    """Return the error for a lone surrogate, which also stands for a byte of a command line that is not UTF-8."""
    return DataError(
        f"{error.object[error.start]!r} at character {error.start + 1} is not a character, or not UTF-8: "
        "give text in UTF-8; only a byte-level model takes other bytes"
    )

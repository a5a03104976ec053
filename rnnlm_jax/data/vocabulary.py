"""The frozen list of tokens a model can read and predict, and what happens to a text that has others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rnnlm_jax.data import subwords
from rnnlm_jax.data.encoded import EncodedText
from rnnlm_jax.data.encoding import BlockIds, byte_ids, character_ids, count_words, token_at, with_ends, word_ids
from rnnlm_jax.data.spooled import SpooledArray
from rnnlm_jax.data.text_blocks import Block, blocks_of
from rnnlm_jax.data.word_table import WordTable
from rnnlm_jax.errors import UserError
from rnnlm_jax.system.atomic_write import atomic_write
from rnnlm_jax.system.input_files import read_input

LEVELS = ("word", "char", "byte", "subword")
_FORMAT = "rnnlm_jax vocabulary 1"
_NOUNS = {"word": "words", "char": "characters", "byte": "bytes", "subword": "subwords"}


@dataclass(frozen=True)
class Vocabulary:
    """Token ids, the level they stand for, and the policies for unknown tokens and ends of lines.

    Perplexities compare only between models with the same vocabulary and policies: `content_hash` says whether they
    are the same, `describe()` says what they are.

    Attributes:
        level: `"word"` (split at ASCII white space only, see `split_words`), `"char"` (Unicode characters), `"byte"`
            (UTF-8 bytes) or `"subword"` (whatever `tokenizer` cuts a line into).
        tokens: id -> token. Bytes are written as the characters of the same number, `chr(0)` to `chr(255)`; subwords as
            the tokenizer writes them.
        unk: the token that unknown tokens become; `None`: an unknown token is an error.
        eos: the token appended to each line; `None`: nothing is appended.
        tokenizer: of subwords, the JSON by which Hugging Face's `tokenizers` cuts text; it is all there is to know, so
            that a vocabulary needs no other file. `None` at every other level.

    Raises:
        UserError: an unknown level, a repeated token, a policy token that is not among the tokens, subwords without
            their tokenizer, or a tokenizer of something else.
    """

    level: str
    tokens: tuple[str, ...]
    unk: str | None
    eos: str | None
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        """Refuse a vocabulary that could not encode or decode what it says."""
        if self.level not in LEVELS:
            raise UserError(f"unknown level {self.level!r}: choose one of {', '.join(LEVELS)}")
        if len(self.index) != len(self.tokens):
            raise UserError("a vocabulary holds each token once, but some token is repeated")
        for role, token in (("unk", self.unk), ("eos", self.eos)):
            if token is not None and token not in self.index:
                raise UserError(f"the {role} token {token!r} is not among the tokens of the vocabulary: add it")
        if self.unk is not None and self.unk == self.eos:
            raise UserError(f"unk and eos are both {self.unk!r}: give them different tokens")
        if self.level == "byte" and (self.tokens != tuple(map(chr, range(256))) or self.unk is not None):
            raise UserError("a byte vocabulary is the 256 bytes in order, without an unknown token")
        if (self.level == "subword") != (self.tokenizer is not None):
            raise UserError("subwords have a tokenizer, and no other level has one: give both or neither")

    @cached_property
    def index(self) -> dict[str, int]:
        """Token -> id; built once."""
        return {token: i for i, token in enumerate(self.tokens)}

    @property
    def size(self) -> int:
        """The number of types, policy tokens included."""
        return len(self.tokens)

    @property
    def unk_id(self) -> int | None:
        """The id of the unknown token, if there is one."""
        return None if self.unk is None else self.index[self.unk]

    @property
    def eos_id(self) -> int | None:
        """The id of the token that ends a line, if there is one."""
        return None if self.eos is None else self.index[self.eos]

    @property
    def start_id(self) -> int:
        """The id that stands before the first token of a text: the end of a line, or 0 where there is none."""
        return 0 if self.eos_id is None else self.eos_id

    @property
    def rules(self) -> dict[str, str]:
        """The entry of files and hashes that says how text is cut; none where the level says it."""
        return {} if self.tokenizer is None else {"tokenizer": self.tokenizer}

    @cached_property
    def content_hash(self) -> str:
        """The sha256 (hexadecimal) of all attributes: equal exactly when the vocabularies are equal."""
        content = {"level": self.level, "unk": self.unk, "eos": self.eos, "tokens": self.tokens} | self.rules
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def describe(self) -> str:
        """Return level, size and policies in one line, to print beside any perplexity."""
        noun = _NOUNS[self.level]
        unknown = f"no unknown {noun} allowed" if self.unk is None else f"{self.unk} for unknown {noun}"
        if self.level == "byte":
            unknown = "no byte is unknown"
        if self.level == "subword" and self.unk is None:
            unknown = "no unknown token"
        newline = subwords.NEWLINE if self.level == "subword" else "\n"
        shown = {None: "nothing", "\n": "\\n", newline: "\\n"}.get(self.eos, self.eos)
        counted = ", counted as a token, a word and a character" if self.level == "subword" else ""
        return f"{self.level} level, {self.size:,} types, {unknown}, {shown} ends each line{counted}"

    def encode(self, lines: Iterable[str]) -> EncodedText:
        """Encode the lines of a text, which come without their newline, appending `eos` to each.

        The lines are read about a megabyte at a time. Ids are kept once, two bytes each in a vocabulary of at most
        65,536 types and four in others; a text beyond `spooled.MOST_IN_MEMORY` bytes of them is kept in a temporary
        file in the cache folder, which is mapped.

        Returns:
            The ids with their line ends and counts.

        Raises:
            UserError: a token is unknown and the vocabulary has no unknown token; subwords without `tokenizers`; there
                is no room for the temporary file.
        """
        ids, ends = SpooledArray(np.uint16 if self.size <= 2**16 else np.int32), SpooledArray(np.int64)
        characters = words = oov = lossy = 0
        try:
            for block in blocks_of(lines, "surrogateescape" if self.level == "byte" else "surrogatepass"):
                found, unknown, changed = self._block_ids(block)
                if self.eos_id is not None:
                    found = with_ends(found, self.eos_id)
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
        """Return the ids of one line, without `eos`: a prompt to continue, say.

        Bytes of a command line that are not UTF-8, which Python has as U+DC80 to U+DCFF, are bytes at the byte level.

        Raises:
            UserError: a token is unknown and the vocabulary has no unknown token, or there are bytes that are not
                UTF-8 at another level, or half of a surrogate pair.
        """
        try:
            (block,) = blocks_of([line], "surrogateescape" if self.level == "byte" else "strict")
        except UnicodeEncodeError as error:
            raise _not_text(error) from None
        return self._block_ids(block._replace(line=0))[0].ids.tolist()

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of some ids: words joined by spaces, characters and bytes as they follow, `eos` as a newline.

        Bytes that are not valid UTF-8 (a cut or sampled sequence) become the replacement character U+FFFD.

        Raises:
            UserError: an id is not between 0 and `size - 1`.
        """
        numbers = [int(i) for i in ids]
        if numbers and not (min(numbers) >= 0 and max(numbers) < self.size):
            wrong = next(i for i in numbers if not 0 <= i < self.size)
            raise UserError(f"{wrong} is no token id: the vocabulary has ids 0 to {self.size - 1}")
        if self.tokenizer is not None:
            return subwords.decode(self.tokenizer, numbers, self.eos_id)
        words = ["\n" if self.tokens[i] == self.eos else self.tokens[i] for i in numbers]
        if self.level == "byte":
            return "".join(words).encode("latin-1").decode("utf-8", errors="replace")
        if self.level == "char":
            return "".join(words)
        # a newline stands for the space on both of its sides
        return " ".join(words).replace(" \n", "\n").replace("\n ", "\n")

    def to_json(self) -> str:
        """The vocabulary as the text of its file, with its hash."""
        content = {"format": _FORMAT, "level": self.level, "unk": self.unk, "eos": self.eos}
        content |= {"sha256": self.content_hash, "tokens": self.tokens} | self.rules
        return json.dumps(content, indent=0)

    def save(self, path: str | Path) -> None:
        """Write the vocabulary to a JSON file; a reader sees the old file or the whole new one, never a part.

        Raises:
            UserError: the path is a folder's or a device's.
        """
        with atomic_write(path) as temporary:
            temporary.write_text(self.to_json(), encoding="ascii")

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read a vocabulary that `save` wrote, and check that it is the one that was written.

        Raises:
            UserError: there is no such file, it is no vocabulary file, or its content does not fit its hash.
        """
        return cls.from_json(read_input(path, "vocabulary file"), str(path))

    @classmethod
    def from_json(cls, text: str | bytes, name: str) -> Vocabulary:
        """Return the vocabulary that `to_json` gave as a text; errors call it `name`.

        Raises:
            UserError: it is no vocabulary, or its content does not fit its hash.
        """
        try:
            content = json.loads(text)
        except ValueError:  # no JSON, or not even text
            raise UserError(f"{name} is no readable vocabulary file: build the vocabulary again") from None
        if isinstance(content, dict) and "format" not in content and "model" in content:
            raise UserError(f"{name} is no vocabulary file of ours: give a tokenizer.json as --tokenizer")
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise UserError(f"{name} is not a vocabulary file of this version: build the vocabulary again")
        corrupt = UserError(f"the vocabulary file {name} is corrupt (its sha256 does not fit): build it again")
        try:
            rules = content.get("tokenizer")
            found = cls(content["level"], tuple(content["tokens"]), content["unk"], content["eos"], rules)
        except (KeyError, TypeError, UserError):
            raise corrupt from None
        if found.content_hash != content.get("sha256"):
            raise corrupt
        return found

    @cached_property
    def _table(self) -> WordTable:
        return WordTable([token.encode("utf-8", "surrogatepass") for token in self.tokens])

    @cached_property
    def _character_table(self) -> np.ndarray:
        """Code point -> id, and -1 at the end."""
        known = {ord(token): i for token, i in self.index.items() if len(token) == 1}
        table = np.full(max(known, default=0) + 2, -1, np.int32)
        table[list(known)] = list(known.values())
        return table

    def _block_ids(self, block: Block) -> tuple[BlockIds, int, int]:
        """Return a block as ids, without ends of lines; its unknown tokens; its lines that do not come back."""
        if self.tokenizer is not None:
            return subwords.block_ids(self.tokenizer, block, self.unk_id)
        if self.level == "byte":
            return byte_ids(block), 0, 0
        words = self.level == "word"
        found = word_ids(block, self._table) if words else character_ids(block, self._character_table)
        unknown = np.flatnonzero(found.ids < 0)
        if unknown.size and self.unk_id is None:
            raise self._unknown(block, int(unknown[0]))
        if unknown.size:
            found.ids[unknown] = self.unk_id
        return found, unknown.size, 0

    def _unknown(self, block: Block, number: int) -> UserError:
        """Return what to say of token `number` of a block, which is unknown."""
        token, at = token_at(block, number, self.level)
        where = f" in {block.place(at)}" if block.line else ""
        return UserError(
            f"{token!r}{where} is not in the vocabulary ({self.describe()}): use a vocabulary that has it, or one with "
            "an unknown token"
        )


def _not_text(error: UnicodeEncodeError) -> UserError:
    """Return what to say of half a surrogate pair, the form too of a command line's byte that is not UTF-8."""
    return UserError(
        f"{error.object[error.start]!r} at character {error.start + 1} is no character, or a byte that is not UTF-8: "
        "give text in UTF-8; only a model of bytes takes other bytes"
    )

"""Encode and decode subwords by Hugging Face's `tokenizers`, which is imported on first use."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from rnnlm_jax.data.encoding import BlockIds
from rnnlm_jax.data.text_blocks import TextBlock
from rnnlm_jax.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: The newline in the alphabet of byte-level tokenizers (GPT-2).
BYTE_LEVEL_NEWLINE = "\u010a"
#: Lines encoded in one call, in parallel threads of the library.
_LINES_PER_CALL = 4096


def import_tokenizers() -> ModuleType:
    """Return the module `tokenizers`.

    Raises:
        DataError: it is not installed.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise DataError(
            "subwords need the package tokenizers, which is not installed: pip install 'rnnlm_jax[subwords]'"
        ) from error
    return tokenizers


def load_tokenizer(text: str) -> Tokenizer:
    """Return the tokenizer that the content of a `tokenizer.json` describes.

    The letters of a special token in a text are encoded as letters, so that a text cannot end a line by itself.

    Raises:
        DataError: the content does not describe a tokenizer, or `tokenizers` is not installed.
    """
    tokenizers = import_tokenizers()
    try:
        tokenizer = tokenizers.Tokenizer.from_str(text)
    except BaseException as error:
        reason = _reason(error)
        raise DataError(f"the tokenizer cannot be read ({reason}): give a whole tokenizer.json") from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def block_ids(tokenizer: Tokenizer, block: TextBlock, unk_id: int | None) -> tuple[BlockIds, int, int]:
    """Encode the lines of a block, without end-of-line tokens.

    Returns:
        The ids; how many of them are `unk_id`; how many lines are not reproduced when decoded.

    Raises:
        DataError: the tokenizer cannot encode a line.
    """
    lines, ids, ends = block.lines(), array("i"), array("q")
    unknown = lossy = 0
    for first in range(0, len(lines), _LINES_PER_CALL):
        part = lines[first : first + _LINES_PER_CALL]
        found = _encode_lines(tokenizer, part, block, first=first)
        for pieces in found:
            ids.extend(pieces)
            ends.append(len(ids))
        if unk_id is not None:
            unknown += sum(pieces.count(unk_id) for pieces in found)
        if block.line:
            back = tokenizer.decode_batch(found, skip_special_tokens=False)
            lossy += sum(one != other for one, other in zip(part, back, strict=True))
    return BlockIds(np.array(ids, np.int32), np.array(ends, np.int64)), unknown, lossy


def decode(tokenizer: Tokenizer, ids: Sequence[int], eos_id: int | None) -> str:
    """Return the text of some ids, with a newline for each `eos_id`; bytes that are not UTF-8 become U+FFFD."""
    pieces: list[list[int]] = [[]]
    for i in ids:
        if i == eos_id:
            pieces.append([])
        else:
            pieces[-1].append(i)
    return "\n".join(tokenizer.decode_batch(pieces, skip_special_tokens=False))


def _encode_lines(tokenizer: Tokenizer, lines: list[str], block: TextBlock, *, first: int) -> list[list[int]]:
    """Return the ids of each line; the first of them is line `first` of the block."""
    try:
        return [found.ids for found in tokenizer.encode_batch_fast(lines, add_special_tokens=False)]
    except BaseException as error:
        reason = _reason(error)
        if len(lines) > 1:  # find the line that failed
            for k, line in enumerate(lines):
                _encode_lines(tokenizer, [line], block, first=first + k)
        where = block.describe_position(int(block.ends[first])) if block.line else "a line"
        raise DataError(f"the tokenizer cannot encode {where} ({reason}): use one of bytes, or repair it") from error


def _reason(error: BaseException) -> str:
    """Return the message of an error of the library; raise any other error again.

    The library raises plain `Exception`, and for its own failures a `PanicException`, which is not an `Exception` and
    cannot be imported.
    """
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    return " ".join(str(error).split())[:120]

"""Text to subwords and back, by Hugging Face's `tokenizers`, which is imported when it is asked for."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm_jax.data.encoding import BlockIds
from rnnlm_jax.data.text_blocks import TextBlock
from rnnlm_jax.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: How tokenizers of bytes write the newline.
BYTE_LEVEL_NEWLINE = "\u010a"
#: Lines that are encoded side by side, in the import_tokenizers's threads.
_AT_ONCE = 4096


def import_tokenizers() -> Any:
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


@lru_cache(maxsize=4)
def opened(text: str) -> Tokenizer:
    """Return the tokenizer that a `tokenizer.json` describes.

    Its special tokens are those of a model's own making: where a text has the same letters they are letters, so that no
    text can end a line where it has none.

    Raises:
        DataError: the text is no tokenizer's, or `tokenizers` is not installed.
    """
    tokenizers = import_tokenizers()
    try:
        tokenizer = tokenizers.Tokenizer.from_str(text)
    except BaseException as error:
        reason = _reason(error)
        raise DataError(f"the tokenizer cannot be read ({reason}): give a whole tokenizer.json") from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def block_ids(text: str, block: TextBlock, unk_id: int | None) -> tuple[BlockIds, int, int]:
    """Encode the lines of a block with the tokenizer that `text` describes, without ends of lines.

    Returns:
        The ids; how many of them are `unk_id`; how many lines do not come back as they were when decoded.

    Raises:
        DataError: the tokenizer refuses a line, or `tokenizers` is not installed.
    """
    tokenizer = opened(text)
    lines, ids, ends = block.lines(), array("i"), array("q")
    unknown = lossy = 0
    for first in range(0, len(lines), _AT_ONCE):
        part = lines[first : first + _AT_ONCE]
        found = _encoded(tokenizer, part, block, first)
        for pieces in found:
            ids.extend(pieces)
            ends.append(len(ids))
        if unk_id is not None:
            unknown += sum(pieces.count(unk_id) for pieces in found)
        if block.line:
            back = tokenizer.decode_batch(found, skip_special_tokens=False)
            lossy += sum(one != other for one, other in zip(part, back, strict=True))
    return BlockIds(np.array(ids, np.int32), np.array(ends, np.int64)), unknown, lossy


def decode(text: str, ids: Sequence[int], eos_id: int | None) -> str:
    """Return the text of some ids, with a newline for each `eos_id`; bytes that are no UTF-8 become U+FFFD."""
    tokenizer = opened(text)
    pieces: list[list[int]] = [[]]
    for i in ids:
        if i == eos_id:
            pieces.append([])
        else:
            pieces[-1].append(i)
    return "\n".join(tokenizer.decode_batch(pieces, skip_special_tokens=False))


def _encoded(tokenizer: Tokenizer, lines: list[str], block: TextBlock, before: int) -> list[list[int]]:
    """Return the ids of each line; `before` lines of the block came earlier."""
    try:
        return [found.ids for found in tokenizer.encode_batch_fast(lines, add_special_tokens=False)]
    except BaseException as error:
        reason = _reason(error)
        if len(lines) > 1:  # find the line that it is about
            for k, line in enumerate(lines):
                _encoded(tokenizer, [line], block, before + k)
        where = block.place(int(block.ends[before])) if block.line else "a line"
        raise DataError(f"the tokenizer cannot encode {where} ({reason}): use one of bytes, or mend it") from error


def _reason(error: BaseException) -> str:
    """Return what the import_tokenizers says is wrong; anything that is not the import_tokenizers's is raised on.

    It raises plain `Exception`, and where its own code fails a panic, which is none and has no name to import.
    """
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    return " ".join(str(error).split())[:120]

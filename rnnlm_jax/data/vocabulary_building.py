"""A vocabulary from the counts of a training text."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from rnnlm_jax.data import subword_building
from rnnlm_jax.data.encoding import code_points, word_spans
from rnnlm_jax.data.text_blocks import TextBlock, blocks_of
from rnnlm_jax.data.vocabulary import LEVELS, Vocabulary
from rnnlm_jax.data.word_table import WordTable
from rnnlm_jax.errors import DataError


class _Default(enum.Enum):
    """Stands for "what this level usually has", since `None` already means "without"."""

    OF_LEVEL = enum.auto()


def build_vocabulary(
    lines: Iterable[str],
    level: str = "word",
    *,
    min_count: int = 1,
    max_size: int | None = None,
    unk: str | None | _Default = _Default.OF_LEVEL,
    eos: str | None | _Default = _Default.OF_LEVEL,
) -> Vocabulary:
    """Build the vocabulary of a text: its tokens by falling count, equal counts in code point order.

    The unknown and the end-of-line token take their place by count like any other (a line counts one end; the unknown
    token counts where it stands in the text and for each token that was cut), so that frequency-binned output
    layers can take ids as ranks. The byte level is the exception: id and byte are the same number. Subwords are those
    of `subword_building.train_byte_pairs`, bytes first and then merges in their order.

    Args:
        lines: the training text without newlines; not read for the byte level.
        level: `"word"`, `"char"`, `"byte"` or `"subword"`.
        min_count: tokens seen less often are cut; pairs of subwords seen less often are not merged.
        max_size: at most this many types, policy tokens included; the rarest are cut. Of subwords 8,000 unless given.
        unk: what unknown tokens become; `None`: unknown tokens are errors. Default: `<unk>` for words; for
            characters `<unk>` only if `min_count` or `max_size` is given; none for bytes and subwords.
        eos: what ends each line; `None`: nothing. Default: `<eos>` for words, a newline otherwise.

    Raises:
        DataError: an unknown level, a size that is not positive, a text without tokens, or a cut without `unk`.
    """
    if level not in LEVELS:
        raise DataError(f"unknown level {level!r}: choose one of {', '.join(LEVELS)}")
    if min_count <= 0 or (max_size is not None and max_size <= 0):
        wrong = f"min_count={min_count}" if min_count <= 0 else f"max_size={max_size}"
        raise DataError(f"{wrong} is not positive: give a number of at least 1")
    if level == "subword":
        if not (isinstance(unk, _Default) and isinstance(eos, _Default)):
            raise DataError("subwords of bytes end lines with a newline and know every byte: leave unk and eos out")
        return subword_building.train_byte_pairs(lines, max_size, min_count)
    cutting = min_count > 1 or max_size is not None
    if isinstance(unk, _Default):
        unk = "<unk>" if level == "word" or (level == "char" and cutting) else None
    if isinstance(eos, _Default):
        eos = "<eos>" if level == "word" else "\n"
    if level == "byte":
        if cutting:
            raise DataError("a byte vocabulary always has 256 types: leave min_count and max_size out")
        return Vocabulary("byte", tuple(map(chr, range(256))), unk, eos)
    if cutting and unk is None:
        raise DataError("min_count and max_size cut tokens, which need an unknown token to become: give unk")

    counts, seen = _count(lines, level)
    if not counts:
        raise DataError("the text has no tokens to build a vocabulary from: give a text that is not empty")
    if eos is not None:
        counts[eos] += seen
    specials = {token for token in (unk, eos) if token is not None}
    kept = {token: count for token, count in counts.items() if count >= min_count and token not in specials}
    if max_size is not None:
        room = max_size - len(specials)
        if room <= 0:
            raise DataError(f"max_size={max_size} leaves no room beside {len(specials)} policy tokens: give more")
        kept = dict(_by_rank(kept)[:room])
    for token in specials:
        kept[token] = counts[token]
    if unk is not None:
        kept[unk] += sum(count for token, count in counts.items() if token not in kept)
    return Vocabulary(level, tuple(token for token, _ in _by_rank(kept)), unk, eos)


def _count(lines: Iterable[str], level: str) -> tuple[Counter[str], int]:
    """Return how often each token occurs, and the number of lines."""
    count = _count_words if level == "word" else _count_characters
    seen = 0

    def blocks() -> Iterator[TextBlock]:
        nonlocal seen
        for block in blocks_of(lines):
            seen += block.ends.size
            yield block

    counts = count(blocks())
    return counts, seen


def _count_words(blocks: Iterable[TextBlock]) -> Counter[str]:
    table, counts = WordTable(), np.zeros(2**10, np.int64)
    for block in blocks:
        for words in word_spans(block):
            ids = table.find(words.buffer, words.starts, words.stops)
            unknown = np.flatnonzero(ids < 0)
            if unknown.size:
                bounds = zip(words.starts[unknown].tolist(), words.stops[unknown].tolist(), strict=True)
                text = words.buffer.tobytes()
                table.add(list(dict.fromkeys(text[start:stop] for start, stop in bounds)))
                ids[unknown] = table.find(words.buffer, words.starts[unknown], words.stops[unknown])
            if table.size > counts.size:
                counts = np.concatenate([counts, np.zeros(2 * table.size - counts.size, np.int64)])
            np.add.at(counts, ids, 1)
    return Counter(dict(zip(table.words(), counts.tolist(), strict=False)))


def _count_characters(blocks: Iterable[TextBlock]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for block in blocks:
        points, seen = np.unique(np.delete(code_points(block), block.character_ends), return_counts=True)
        counts.update(dict(zip(map(chr, points.tolist()), seen.tolist(), strict=True)))
    return counts


def _by_rank(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))

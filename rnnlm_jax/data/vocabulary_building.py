"""Build a vocabulary from the token counts of a training text."""

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
from rnnlm_jax.errors import ArgumentError, DataError


class _Default(enum.Enum):
    """Marks an argument as not given, since `None` means "without"."""

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
    """Build the vocabulary of a text: its tokens by decreasing count, ties in code point order.

    The unknown and end-of-line tokens are ranked by count like any other (the end of each line counts once; the
    unknown token counts its occurrences and those of all removed tokens), so that frequency-binned output layers can
    take ids as ranks. At the byte level the id is the byte. Subwords are those of
    `subword_building.train_byte_pairs`: bytes first, then merges in order.

    Args:
        lines: training text without newlines; not read at the byte level.
        level: `"word"`, `"char"`, `"byte"` or `"subword"`.
        min_count: remove tokens seen fewer times; do not merge subword pairs seen fewer times.
        max_size: maximum number of types, policy tokens included; the rarest are removed. Default for subwords: 8,000.
        unk: token that replaces unknown tokens; `None`: unknown tokens are errors. Default: `<unk>` for words; for
            characters `<unk>` only if `min_count` or `max_size` is given; none for bytes and subwords.
        eos: token appended to each line; `None`: nothing. Default: `<eos>` for words, a newline otherwise.

    Raises:
        ArgumentError: the level is unknown, a size is not positive, or tokens are to be removed without `unk`.
        DataError: the text has no tokens.
    """
    if level not in LEVELS:
        raise ArgumentError(f"unknown level {level!r}: choose one of {', '.join(LEVELS)}")
    if min_count <= 0 or (max_size is not None and max_size <= 0):
        name, value = ("min_count", min_count) if min_count <= 0 else ("max_size", max_size)
        raise ArgumentError(f"`{name}` must be at least 1, not {value}")
    if level == "subword":
        if not (isinstance(unk, _Default) and isinstance(eos, _Default)):
            raise ArgumentError("subwords end lines with a newline and encode every byte: leave `unk` and `eos` out")
        return subword_building.train_byte_pairs(lines, max_size, min_count)
    cutting = min_count > 1 or max_size is not None
    if isinstance(unk, _Default):
        unk = "<unk>" if level == "word" or (level == "char" and cutting) else None
    if isinstance(eos, _Default):
        eos = "<eos>" if level == "word" else "\n"
    if level == "byte":
        if cutting:
            raise ArgumentError("a byte vocabulary always has 256 types: leave `min_count` and `max_size` out")
        return Vocabulary("byte", tuple(map(chr, range(256))), unk, eos)
    if cutting and unk is None:
        raise ArgumentError("`min_count` and `max_size` remove tokens, which need an unknown token: give `unk`")

    counts, line_count = _count(lines, level)
    if not counts:
        raise DataError("the text has no tokens to build a vocabulary from: give a text that is not empty")
    if eos is not None:
        counts[eos] += line_count
    specials = {token for token in (unk, eos) if token is not None}
    kept = {token: count for token, count in counts.items() if count >= min_count and token not in specials}
    if max_size is not None:
        room = max_size - len(specials)
        if room <= 0:
            raise ArgumentError(f"`max_size`={max_size} leaves no room beside {len(specials)} policy tokens: give more")
        kept = dict(_by_rank(kept)[:room])
    for token in specials:
        kept[token] = counts[token]
    if unk is not None:
        kept[unk] += sum(count for token, count in counts.items() if token not in kept)
    return Vocabulary(level, tuple(token for token, _ in _by_rank(kept)), unk, eos)


def _count(lines: Iterable[str], level: str) -> tuple[Counter[str], int]:
    """Return the count of each token, and the number of lines."""
    count = _count_words if level == "word" else _count_characters
    line_count = 0

    def blocks() -> Iterator[TextBlock]:
        nonlocal line_count
        for block in blocks_of(lines):
            line_count += block.ends.size
            yield block

    counts = count(blocks())
    return counts, line_count


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

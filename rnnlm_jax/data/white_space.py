"""What separates words: ASCII white space alone, in every text, list, vocabulary and ARPA file."""

from __future__ import annotations

import re

WHITE_SPACE = " \t\n\r\v\f"
"""The characters that end a word, those of `bytes.split`; KenLM splits texts at the same six."""

_WORD = re.compile(f"[^{WHITE_SPACE}]+")
#: What `str.split` takes for white space as well.
_OTHER = re.compile("[\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")


def split_words(line: str) -> list[str]:
    """Return the words of a line: what stands between ASCII white space.

    No-break and ideographic spaces, U+2028, U+0085, U+001C and the like are characters of words.
    """
    # str.split is twice as fast, and few lines have one of the others.
    return line.split() if _OTHER.search(line) is None else _WORD.findall(line)


def strip_space(text: str) -> str:
    """Return a text without the ASCII white space at its ends."""
    return text.strip(WHITE_SPACE)

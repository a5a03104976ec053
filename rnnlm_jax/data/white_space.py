"""Splitting of words at ASCII white space only, the rule for all texts, word lists and ARPA files."""

from __future__ import annotations

import re

WHITE_SPACE = " \t\n\r\v\f"
"""The characters that separate words, as in `bytes.split` and in KenLM."""

_WORD = re.compile(f"[^{WHITE_SPACE}]+")
#: Further characters at which `str.split` splits.
_OTHER = re.compile("[\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")


def split_words(line: str) -> list[str]:
    """Return the words of a line, split at ASCII white space.

    No-break and ideographic spaces, U+2028, U+0085, U+001C and similar characters are parts of words.
    """
    # str.split is twice as fast, and few lines have one of the other characters.
    return line.split() if _OTHER.search(line) is None else _WORD.findall(line)


def strip_space(text: str) -> str:
    """Return a text without leading and trailing ASCII white space."""
    return text.strip(WHITE_SPACE)

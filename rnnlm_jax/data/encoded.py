"""A text as token ids: what every model of this library is trained and measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rnnlm_jax.errors import UserError

if TYPE_CHECKING:
    from rnnlm_jax.data.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class EncodedText:
    """The tokens of a text in order, where its lines end, and the counts that a report needs.

    Attributes:
        tokens: int32 `[N]`, the ids of all lines one after the other, end-of-line tokens included.
        line_ends: int64 `[L]`, the exclusive end offset of each line in `tokens`; the last one is `N`.
        oov: how many tokens were not in the vocabulary and became its unknown token. A literal `<unk>` that stands in
            the text is a word like any other and is not counted.
        characters: Unicode characters of the text as it was read, plus one newline a line when the vocabulary ends
            lines: the denominator of bits per character at any level.
    """

    tokens: np.ndarray
    line_ends: np.ndarray
    oov: int
    characters: int

    def __len__(self) -> int:
        """Return the number of tokens."""
        return int(self.tokens.size)

    def lines(self) -> Iterator[np.ndarray]:
        """Yield the tokens of each line, an int32 view `[n]`, with its end-of-line token where there is one."""
        start = 0
        for end in self.line_ends.tolist():
            yield self.tokens[start:end]
            start = end


def require_in_vocabulary(encoded: EncodedText, vocabulary: Vocabulary, name: str) -> EncodedText:
    """Return `encoded` unchanged if there is something in it that a model with this vocabulary could be measured on.

    A text of which every token became the unknown one gets a flattering perplexity and means nothing: most often it
    is a text of another language, case or level.

    Args:
        encoded: the text.
        vocabulary: the vocabulary that encoded it.
        name: how the text is called in the message, e.g. its path.

    Raises:
        UserError: the text holds no token, or each of its tokens is out of vocabulary.
    """
    ends = encoded.line_ends.size if vocabulary.eos is not None else 0
    content = encoded.tokens.size - ends
    if content == 0:
        raise UserError(f"{name} is empty: give a text with at least one token")
    if encoded.oov == content:
        raise UserError(
            f"none of the {content:,} tokens of {name} is in the vocabulary ({vocabulary.describe()}): "
            "give a text of the language, case and level that the vocabulary was built from"
        )
    return encoded

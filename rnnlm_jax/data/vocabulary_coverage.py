"""Check that a vocabulary covers at least a part of a text."""

from __future__ import annotations

from rnnlm_jax.data.encoded_text import EncodedText
from rnnlm_jax.data.vocabulary import Vocabulary
from rnnlm_jax.errors import DataError


def require_in_vocabulary(encoded: EncodedText, vocabulary: Vocabulary, name: str) -> EncodedText:
    """Return `encoded` unchanged after checking that it has a token that is in the vocabulary.

    A text of which every token became the unknown token has a low perplexity that means nothing. Usually it is of
    another language, case or level than the vocabulary.

    Args:
        encoded: the text.
        vocabulary: the vocabulary that encoded it.
        name: name of the text for the message, e.g. its path.

    Raises:
        DataError: the text has no tokens, or all of them are out of vocabulary.
    """
    require_known(encoded.tokens.size, encoded.line_ends.size, encoded.oov, vocabulary, name=name)
    return encoded


def require_known(tokens: int, lines: int, oov: int, vocabulary: Vocabulary, *, name: str) -> None:
    """Check the counts of a text as `require_in_vocabulary` does.

    Args:
        tokens: number of tokens, ends of lines included.
        lines: number of lines.
        oov: number of tokens that are out of vocabulary.
        vocabulary: the vocabulary that encoded the text.
        name: name of the text for the message.

    Raises:
        DataError: the text has no tokens, or all of them are out of vocabulary.
    """
    content = tokens - (lines if vocabulary.eos is not None else 0)
    if content == 0:
        raise DataError(f"{name} is empty: give a text with at least one token")
    if oov == content:
        raise DataError(
            f"none of the {content:,} tokens of {name} is in the vocabulary ({vocabulary.describe()}): "
            "give a text of the language, case and level that the vocabulary was built from"
        )

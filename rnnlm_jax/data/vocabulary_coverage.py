"""Whether a text and a vocabulary have anything to do with each other."""

from __future__ import annotations

from rnnlm_jax.data.encoded_text import EncodedText
from rnnlm_jax.data.vocabulary import Vocabulary
from rnnlm_jax.errors import DataError


def require_in_vocabulary(encoded: EncodedText, vocabulary: Vocabulary, name: str) -> EncodedText:
    """Return `encoded` unchanged if there is something in it that a model with this vocabulary could be measured on.

    A text of which every token became the unknown one gets a flattering perplexity and means nothing: most often it
    is a text of another language, case or level.

    Args:
        encoded: the text.
        vocabulary: the vocabulary that encoded it.
        name: how the text is called in the message, e.g. its path.

    Raises:
        DataError: the text holds no token, or each of its tokens is out of vocabulary.
    """
    require_known(encoded.tokens.size, encoded.line_ends.size, encoded.oov, vocabulary, name)
    return encoded


def require_known(tokens: int, lines: int, oov: int, vocabulary: Vocabulary, name: str) -> None:
    """Refuse a text of so many tokens, lines and unknown tokens, as `require_in_vocabulary` does.

    Raises:
        DataError: the text holds no token, or each of its tokens is out of vocabulary.
    """
    content = tokens - (lines if vocabulary.eos is not None else 0)
    if content == 0:
        raise DataError(f"{name} is empty: give a text with at least one token")
    if oov == content:
        raise DataError(
            f"none of the {content:,} tokens of {name} is in the vocabulary ({vocabulary.describe()}): "
            "give a text of the language, case and level that the vocabulary was built from"
        )

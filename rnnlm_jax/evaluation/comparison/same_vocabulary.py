"""Check that models predict the same tokens by the same policies, so that their perplexities can be compared."""

from collections.abc import Sequence

from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.comparison.scorer import Scorer


def require_same_vocabulary(scorers: Sequence[Scorer], remedy: str = "train both with the same `vocabulary`") -> None:
    """Check that all models have the same vocabulary: types, their order, unknown token, end of line and level.

    Perplexities over different vocabularies are not comparable: fewer types, or an easier treatment of unknown words,
    lower the figure.

    Args:
        scorers: models.
        remedy: advice that ends the error message.

    Raises:
        DataError: names the first two models that differ, and their difference.
    """
    first = scorers[0]
    for other in scorers[1:]:
        if other.vocabulary.content_hash != first.vocabulary.content_hash:
            raise DataError(
                f"{first.name} and {other.name} cannot be compared: "
                f"{vocabulary_difference(first.vocabulary, other.vocabulary)}; {remedy}"
            )


def vocabulary_difference(one: Vocabulary, other: Vocabulary) -> str:
    """Return a short description of the difference between two vocabularies."""
    differences = [
        f"{what} {a!r} and {b!r}"
        for what, a, b in (
            ("level", one.level, other.level),
            ("unknown token", one.unk, other.unk),
            ("end of line", one.eos, other.eos),
        )
        if a != b
    ]
    missing, extra = one.index.keys() - other.index.keys(), other.index.keys() - one.index.keys()
    if missing or extra:
        example = min(missing or extra)
        where = "first" if missing else "second"
        differences.append(
            f"{one.size:,} and {other.size:,} types ({len(missing):,} only in the first, {len(extra):,} only in the "
            f"second, such as {example!r} of the {where})"
        )
    elif one.tokens != other.tokens:
        differences.append("the same types in another order")
    elif one.tokenizer != other.tokenizer:
        differences.append("the same subwords, by tokenizers that split text differently")
    return "their vocabularies differ: " + "; ".join(differences)

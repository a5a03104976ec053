"""Which models may stand side by side: those that predict the same tokens by the same policies."""

from collections.abc import Sequence

from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.comparison.scorer import Scorer


def require_same_vocabulary(scorers: Sequence[Scorer], remedy: str = "train both with the same --vocabulary") -> None:
    """Check that all models have the same vocabulary: types, their order, unknown token, end of line and level.

    A perplexity is a statement about a vocabulary. With fewer types, or with unknown words made easy, it is lower and
    says nothing.

    Args:
        scorers: the models.
        remedy: what the message advises.

    Raises:
        UserError: naming the first two that differ, and what differs.
    """
    first = scorers[0]
    for other in scorers[1:]:
        if other.vocabulary.content_hash != first.vocabulary.content_hash:
            raise UserError(
                f"{first.name} and {other.name} cannot be compared: {difference(first.vocabulary, other.vocabulary)}; "
                f"{remedy}"
            )


def difference(one: Vocabulary, other: Vocabulary) -> str:
    """What differs between two vocabularies, in a few words."""
    found = [
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
        found.append(
            f"{one.size:,} and {other.size:,} types ({len(missing):,} only in the first, {len(extra):,} only in the "
            f"second, such as {example!r} of the {where})"
        )
    elif one.tokens != other.tokens:
        found.append("the same types in another order")
    elif one.tokenizer != other.tokenizer:
        found.append("the same subwords, by tokenizers that cut text differently")
    return "their vocabularies differ: " + "; ".join(found)

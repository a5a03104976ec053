"""Write plain text as a vocabulary of words has it: punctuation, contractions, hyphens, upper and lower case.

A model of words knows the tokens of its corpus, and corpora are tokenized in different ways: ``can't`` is ``ca n't`` in
the Penn Treebank and ``can 't`` in WikiText-2; the former has neither capitals nor punctuation marks. What a vocabulary
has shows how its corpus was written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rnnlm_jax.data import Vocabulary, split_words
from rnnlm_jax.errors import ArgumentError

AUTO = "auto"
#: Ways to split a text into tokens: as the vocabulary has them, or at white space only.
TOKENIZE = (AUTO, "spaces")
#: Ways to treat capitals: as the vocabulary has them, as they stand, or all letters in lower case.
CASE = (AUTO, "keep", "lower")

#: Marks that are split off the beginning and the end of a word.
OPENING, CLOSING = "\"'([{“‘", "\"')]}”’.,;:!?"
#: Quotation marks as the Penn Treebank has them, and as other corpora do.
PENN_QUOTES, QUOTE = ("``", "''"), '"'
#: Endings of contractions that are split off; n't is another case.
ENDINGS = ("'s", "'re", "'ve", "'ll", "'d", "'m")
NEGATION = "n't"
#: A hyphen between words, as WikiText-2 has it.
HYPHEN = "@-@"
#: A vocabulary is of lower case if at most this share of its types has a capital: the Penn Treebank's has ``N``.
CAPITALS = 0.01


@dataclass(frozen=True, eq=False)
class VocabularyText:
    """Rules for the text of one vocabulary; see ``text_rules``."""

    vocabulary: Vocabulary
    splits: bool
    """Whether words that the vocabulary lacks are split."""
    lower: bool
    """Whether all letters become lower case."""
    finds_case: bool
    """Whether a word that the vocabulary lacks is looked up in lower case and with a capital."""

    def __call__(self, text: str) -> str:
        """Return a text with its tokens between spaces; the text itself if nothing applies."""
        text = text.lower() if self.lower else text
        if not (self.splits or self.finds_case):
            return text
        return " ".join(piece for word in split_words(text) for piece in self._pieces(word)) or text

    @property
    def description(self) -> str:
        """The rules, in a few words."""
        parts = ["words split as in the vocabulary"] if self.splits else []
        parts += ["lower case"] if self.lower else []
        parts += ["unknown words looked up in another case"] if self.finds_case else []
        return ", ".join(parts) or "text as it stands"

    def _pieces(self, word: str) -> list[str]:
        """Return a word as the vocabulary has it, in one or several tokens."""
        if (found := self._known(word)) is not None:
            return [found]
        if not self.splits:
            return [word]
        if word in PENN_QUOTES:
            word = QUOTE
        before, core, after = self._without_marks(word)
        # A corpus whose vocabulary lacks a mark was written without it.
        marks = [[mark for mark in side if mark in self.vocabulary.index] for side in (before, after)]
        return [*marks[0], *self._core(core), *marks[1]]

    def _without_marks(self, word: str) -> tuple[list[str], str, list[str]]:
        """Return the marks before a word, the word, and those after it; marks of a known word belong to it."""
        before: list[str] = []
        after: list[str] = []
        while word and self._known(word) is None:
            if word[-1] in CLOSING:
                word, after = word[:-1], [word[-1], *after]
            elif word[0] in OPENING:
                word, before = word[1:], [*before, word[0]]
            else:
                break
        return before, word, after

    def _core(self, word: str) -> Iterator[str]:
        """Yield the tokens of a word without marks around it."""
        if (found := self._known(word)) is not None:
            yield found
        elif (cut := self._ending(word)) is not None:
            yield from self._core(word[:cut])
            yield word[cut:]
        elif "-" in word.strip("-") and HYPHEN in self.vocabulary.index:
            for number, part in enumerate(word.split("-")):
                yield from [HYPHEN] if number else []
                yield from self._core(part) if part else []
        elif word:
            yield word

    def _ending(self, word: str) -> int | None:
        """Return where the ending of a contraction begins that is a token of its own, or None."""
        lower = word.lower()
        endings = ENDINGS
        if lower.endswith(NEGATION):
            endings = (NEGATION, NEGATION[1:])
        for ending in endings:
            if lower.endswith(ending) and len(word) > len(ending) and word[-len(ending) :] in self.vocabulary.index:
                return len(word) - len(ending)
        return None

    def _known(self, word: str) -> str | None:
        """Return the word, or the word in another case, that is in the vocabulary; None if there is none."""
        variants = (word, word.lower(), word[:1].upper() + word[1:].lower()) if self.finds_case else (word,)
        return next((variant for variant in variants if variant in self.vocabulary.index), None)


def text_rules(vocabulary: Vocabulary, *, tokenize: str = AUTO, case: str = AUTO) -> VocabularyText:
    """Return the rules by which text is written for a vocabulary.

    A word between white space that the vocabulary has stays as it is. Of others, punctuation and quotation marks before
    and after are split off, and left out if the vocabulary lacks them; ``n't`` or ``'t``, ``'s``, ``'re``, ``'ve``,
    ``'ll``, ``'d`` and ``'m`` become tokens if the vocabulary has them, and a hyphen becomes ``@-@`` if it has that. If
    at most 1 % of its types have a capital, all text is in lower case; else an unknown word is looked up in lower case
    and with a capital. Vocabularies of characters, bytes or subwords take text as it stands, but for capitals, where a
    vocabulary of characters has hardly any.

    Args:
        vocabulary: the vocabulary of a model.
        tokenize: one of ``TOKENIZE``.
        case: one of ``CASE``.

    Raises:
        ArgumentError: if an option has another value.
    """
    _require("tokenize", tokenize, TOKENIZE)
    _require("case", case, CASE)
    words = vocabulary.level == "word"
    lower = case == "lower" or (case == AUTO and vocabulary.level in ("word", "char") and is_lower_case(vocabulary))
    return VocabularyText(
        vocabulary,
        splits=words and tokenize == AUTO,
        lower=lower,
        finds_case=words and case == AUTO and not lower,
    )


def is_lower_case(vocabulary: Vocabulary) -> bool:
    """Return whether hardly any type of a vocabulary has a capital, and some have letters."""
    own = {vocabulary.unk, vocabulary.eos}
    types = [token for token in vocabulary.tokens if token not in own]
    capitals = sum(token != token.lower() for token in types)
    return capitals <= CAPITALS * len(types) and any(token != token.upper() for token in types)


def _require(name: str, value: str, values: Sequence[str]) -> None:
    if value not in values:
        raise ArgumentError(f"unknown `{name}` {value!r}: choose one of {', '.join(values)}")

"""The study's own English sentences: agreement at a known distance, and sentences that ask for a next word."""

from itertools import product
from typing import NamedTuple

import numpy as np

from rnnlm_jax.evaluation.minimal_pairs import WORD, Contrast, Pair, PairSet

#: Nouns, singular and plural, and the verbs that agree with them.
NOUNS = (
    *(("song", "songs"), ("film", "films"), ("game", "games"), ("book", "books"), ("player", "players")),
    *(("road", "roads"), ("ship", "ships"), ("building", "buildings"), ("city", "cities"), ("team", "teams")),
    *(("station", "stations"), ("bridge", "bridges"), ("house", "houses"), ("school", "schools"), ("star", "stars")),
    *(("storm", "storms"), ("river", "rivers"), ("character", "characters"), ("soldier", "soldiers")),
)
VERBS = (("is", "are"), ("was", "were"), ("has", "have"))
PREPOSITIONS = ("of", "near", "behind", "from", "with")

#: Group of pairs whose phrases have nouns of the subject's number, or of the other number.
SAME, OTHER = "same number", "other number"


class NextWord(NamedTuple):
    """Words to read, and words that may come next."""

    context: str
    wanted: tuple[str, ...]


#: Sentences of the course.
NEXT_WORDS = (
    NextWord("The students opened their", ("books", "laptops", "exams", "minds")),
    NextWord("The clouds are in the", ("sky",)),
    NextWord("John is driving a", ("car", "cat")),
    NextWord("When she tried to print her tickets , she finally printed her", ("tickets",)),
    NextWord(
        "When she tried to print her tickets , the paper was gone . She walked to a shop in the next street and came "
        "back in the evening . With the new paper in its place , she finally printed her",
        ("tickets",),
    ),
)


def agreement_pairs(distances: tuple[int, ...], sentences: int, seed: int) -> PairSet:
    """Return pairs with phrases between subject and verb: "The songs of the film near the river | are / is".

    Args:
        distances: numbers of phrases, each of three words.
        sentences: sentences of each number of phrases, number of the subject, and kind of phrases.
        seed: seed of the words.

    Returns:
        Pairs by ``SAME`` and ``OTHER``; their distance is the number of words from the subject to the verb.
    """
    rng = np.random.default_rng(seed)
    pairs = []
    for phrases, plural, group in product(distances, (0, 1), (SAME, OTHER)):
        for _ in range(sentences):
            subject, *others = (NOUNS[k] for k in rng.integers(len(NOUNS), size=phrases + 1))
            between = plural if group == SAME else 1 - plural
            words = ["The", subject[plural]]
            for noun, k in zip(others, rng.integers(len(PREPOSITIONS), size=phrases), strict=True):
                words += [PREPOSITIONS[k], "the", noun[between]]
            forms = VERBS[rng.integers(len(VERBS))]
            prefix, right, wrong = " ".join(words), forms[plural], forms[1 - plural]
            contrast = Contrast(prefix, right, prefix, wrong)
            distance = 1 + 3 * phrases
            pairs.append(Pair(f"{prefix} {right}", f"{prefix} {wrong}", contrast, group, dependency_length=distance))
    return PairSet("agreement at a distance", tuple(pairs), WORD)


def own_text(seed: int) -> list[str]:
    """Return the lines of a small text of such sentences, to train on in a trial."""
    pairs = agreement_pairs((0, 1, 2), 20, seed).pairs
    asked = [f"{sentence.context} {word}" for sentence in NEXT_WORDS for word in sentence.wanted]
    lines = [f"{pair.good} old ." for pair in pairs] + [f"{line} ." for line in asked]
    return [lines[k] for k in np.random.default_rng(seed).permutation(len(lines))]

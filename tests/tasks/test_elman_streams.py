"""Elman's streams of bits and letters, and how well they can be predicted at best."""

import re

import numpy as np
import pytest

from rnnlm_jax import tasks
from rnnlm_jax.tasks.letter_streams import FEATURES, LETTER_CODES, LEXICON
from tests.tasks import hidden_markov
from tests.tasks.reading import assert_uniform, draw

#: Bits in the paper's order: consonant, vowel, interrupted, high, back, voiced.
PAPER_FEATURES = {
    "b": (1, 0, 1, 0, 0, 1),
    "d": (1, 0, 1, 1, 0, 1),
    "g": (1, 0, 1, 0, 1, 1),
    "a": (0, 1, 0, 0, 1, 1),
    "i": (0, 1, 0, 1, 0, 1),
    "u": (0, 1, 0, 1, 1, 1),
}
WORDS = [
    *("many", "years", "ago", "a", "boy", "and", "girl", "lived", "by", "the", "sea", "they", "played", "happily"),
    "sailed",
]
#: The codes that the paper's Table 2 shows.
PAPER_CODES = {"m": "01101", "a": "00001", "n": "01110", "y": "11001", "e": "00101", "s": "10011", "d": "00100"}


def test_every_third_bit_is_the_xor_of_the_two_before():
    sequences = draw(tasks.temporal_xor(), 2000, 20)
    stream = np.concatenate([sequences.inputs[:1], sequences.targets])[..., 0].astype(int)
    np.testing.assert_array_equal(sequences.inputs[1:], sequences.targets[:-1])
    np.testing.assert_array_equal(stream[2::3], stream[0:-2:3] ^ stream[1:-1:3])
    assert_uniform(stream[0::3] + 2 * stream[1::3], 0, 4)
    assert sequences.mask.all()


def texts_of(sequences, codes):
    """The letters of each stream, those asked included."""
    letters = {tuple(map(int, bits)): letter for letter, bits in codes.items()}
    np.testing.assert_array_equal(sequences.inputs[1:], sequences.targets[:-1])
    streams = np.concatenate([sequences.inputs[:1], sequences.targets]).astype(int)
    return ["".join(letters[tuple(bits)] for bits in stream) for stream in np.moveaxis(streams, 1, 0)]


def test_consonants_are_followed_by_their_vowels():
    assert {letter: tuple(map(int, bits)) for letter, bits in FEATURES.items()} == PAPER_FEATURES
    consonants = ""
    for text in texts_of(draw(tasks.elman_letters(), 300, 60), PAPER_FEATURES):
        assert len(text) == 61
        assert re.fullmatch("(ba|dii|guuu)*(ba?|di?i?|gu?u?u?)", text)
        consonants += re.sub("[aiu]", "", text)[:15]  # what fits does not depend on which they are, so early
    assert_uniform(["bdg".index(letter) for letter in consonants], 0, 3)


def test_words_are_joined_without_breaks():
    assert list(LEXICON) == WORDS
    assert {letter: LETTER_CODES[letter] for letter in PAPER_CODES} == PAPER_CODES
    beginnings = {word[:end] for word in WORDS for end in range(len(word) + 1)}
    rest = f"({'|'.join(WORDS)})*({'|'.join(beginnings)})"
    firsts = []
    for text in texts_of(draw(tasks.word_boundaries(), 1500, 30), LETTER_CODES):
        readings = [word for word in WORDS if re.fullmatch(word + rest, text)]
        assert readings, text
        firsts += readings if len(readings) == 1 else []
    ambiguous = 1500 - len(firsts)
    assert ambiguous < 50
    counts = np.bincount([WORDS.index(word) for word in firsts], minlength=15)
    assert abs(counts - 100).max() < 5 * np.sqrt(100) + ambiguous


@pytest.mark.parametrize(
    ("name", "words", "codes", "best"),
    [("elman-letters", ["ba", "dii", "guuu"], PAPER_FEATURES, 7 / 9), ("word-boundaries", WORDS, LETTER_CODES, 0.722)],
)
def test_solved_is_just_below_what_an_ideal_reader_gets_right(name, words, codes, best):
    letters = sorted(set("".join(words)))
    bits = np.array([[int(bit) for bit in codes[letter]] for letter in letters])
    reader = hidden_markov.reader([np.eye(len(letters))[[letters.index(letter) for letter in word]] for word in words])
    guesses = reader.next_probs @ bits > 0.5
    right = (guesses[:, None] == bits).all(axis=-1)
    accuracy = reader.shares @ (reader.next_probs * right).sum(axis=1)
    assert accuracy == pytest.approx(best, abs=5e-4)
    assert accuracy - 0.015 < tasks.make(name).solved_accuracy < accuracy

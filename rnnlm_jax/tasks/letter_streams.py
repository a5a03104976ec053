"""Streams of letters without breaks: predict the next one; it is certain within words, and not at their ends.

Elman (1990), "Structure in Letter Sequences" and "Discovering the Notion 'Word'". He trains on one stream; sequences
here are parts of such streams, from the start of a word.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Key
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import bit_answers
from rnnlm_jax.tasks.drawing import draw_symbols, joined
from rnnlm_jax.tasks.objective import Sequences
from rnnlm_jax.tasks.task import Task, check_sample_sizes

#: The paper's Table 1: is it a consonant, a vowel, interrupted, high, back, voiced?
FEATURES = {"b": "101001", "d": "101101", "g": "101011", "a": "010011", "i": "010101", "u": "010111"}
SYLLABLES = ("ba", "dii", "guuu")

#: The words of the paper's Table 2 and Figure 6, and a fifteenth of ours.
LEXICON = (
    *("many", "years", "ago", "a", "boy", "and", "girl", "lived", "by", "the", "sea", "they", "played", "happily"),
    "sailed",
)
#: The paper's Table 2: the number of the letter in the alphabet, from a = 1, in binary.
LETTER_CODES = {letter: format(number, "05b") for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz", 1)}


@cached_factory
def elman_letters(loss: str = "nats") -> Task:
    """Return the letter prediction task: consonants b, d and g in random order become ba, dii and guuu.

    A letter is six bits, its features; the six bits of the next one are asked at every step, ``length`` of them. An
    answer is right if all six logistic outputs are on the right side of ½. Vowels and their number follow from the
    consonant; the consonant cannot be known: the most probable value of each bit gives b, which is right in 1 of 3. So
    7/9 = 77.8 % is best in long streams, and 77 % solve the task. The paper's stream is of 1,000 consonants, about
    3,000 letters.

    Args:
        loss: of six logistic outputs: "nats", summed, or "logistic", half the squared error, as published.

    Raises:
        ArgumentError: for another loss.
    """
    return _letter_stream("elman-letters", SYLLABLES, FEATURES, loss=loss, solved_accuracy=0.77)


@cached_factory
def word_boundaries(loss: str = "nats") -> Task:
    """Return the task of the next letter of words that are joined without breaks.

    Fifteen words, drawn uniformly. A letter is five bits, its number in the alphabet; those of the next letter are
    asked at every step, ``length`` of them; an answer is right if all five logistic outputs are on the right side of ½.
    With the true probability of each bit given all letters before, 72.2 % are right in long streams, so that 71 %
    solve the task. The paper's stream has 200 sentences of four to nine words, 4,963 letters; its program of sentences
    is not published, nor is the fifteenth word of its lexicon, which here is "sailed".

    Args:
        loss: of five logistic outputs: "nats", summed, or "logistic", half the squared error, as published.

    Raises:
        ArgumentError: for another loss.
    """
    return _letter_stream("word-boundaries", LEXICON, LETTER_CODES, loss=loss, solved_accuracy=0.71)


def _letter_stream(
    name: str,
    words: Sequence[str],
    codes: Mapping[str, str],
    *,
    loss: str,
    solved_accuracy: float,
) -> Task:
    """Return the task of the next letter of words drawn uniformly, in the bits of a code."""
    answers = bit_answers(loss)
    lengths = np.array([len(word) for word in words], np.int32)
    bits = {letter: [int(bit) for bit in code] for letter, code in codes.items()}
    size = len(next(iter(bits.values())))
    table = np.zeros((len(words), lengths.max(), size), np.float32)
    for row, word in enumerate(words):
        table[row, : len(word)] = [bits[letter] for letter in word]
    text = "".join(words)

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        check_sample_sizes(batch_size, length)
        chosen = draw_symbols(key, (length // int(lengths.min()) + 1, batch_size), 0, len(words))
        piece, place = joined(jnp.asarray(lengths)[chosen], length + 1)
        stream = jnp.asarray(table)[jnp.take_along_axis(chosen, piece, axis=0), place]
        return Sequences(stream[:-1], stream[1:], jnp.ones((length, batch_size), bool))

    return Task(
        name=name,
        source="Elman 1990",
        input_size=size,
        output_size=size,
        sample=sample,
        loss=answers.loss,
        correct=answers.correct,
        chance_loss=lambda length: answers.blind_loss(np.mean([bits[letter] for letter in text], axis=0).tolist()),
        chance_accuracy=max(map(text.count, text)) / len(text),
        solved_accuracy=solved_accuracy,
        default_length=100,
    )

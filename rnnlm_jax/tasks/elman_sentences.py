"""Elman's sentences: predict the next word of two- and three-word sentences; the true probabilities are known.

Elman (1990), "Discovering Lexical Classes from Word Order", Tables 3 and 4. He trains on one stream of words; sequences
here are parts of such streams, from the start of a sentence.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import class_answers
from rnnlm_jax.tasks.drawing import draw_symbols, joined, one_hot
from rnnlm_jax.tasks.objective import Sequences
from rnnlm_jax.tasks.task import Task, check_sample_sizes

#: Table 3 names the classes with two words each; Figure 7 has all 29 words. "break" and "see" are in two classes.
CLASSES = {
    "NOUN-HUM": ("man", "woman", "boy", "girl"),
    "NOUN-ANIM": ("cat", "mouse", "dog"),
    "NOUN-INANIM": ("book", "rock", "car"),
    "NOUN-AGRESS": ("dragon", "monster", "lion"),
    "NOUN-FRAG": ("glass", "plate"),
    "NOUN-FOOD": ("cookie", "bread", "sandwich"),
    "VERB-INTRAN": ("think", "sleep", "exist"),
    "VERB-TRAN": ("see", "chase", "like"),
    "VERB-AGPAT": ("move", "break"),
    "VERB-PERCEPT": ("smell", "see"),
    "VERB-DESTROY": ("break", "smash"),
    "VERB-EAT": ("eat",),
}
#: Table 4.
TEMPLATES = (
    ("NOUN-HUM", "VERB-EAT", "NOUN-FOOD"),
    ("NOUN-HUM", "VERB-PERCEPT", "NOUN-INANIM"),
    ("NOUN-HUM", "VERB-DESTROY", "NOUN-FRAG"),
    ("NOUN-HUM", "VERB-INTRAN"),
    ("NOUN-HUM", "VERB-TRAN", "NOUN-HUM"),
    ("NOUN-HUM", "VERB-AGPAT", "NOUN-INANIM"),
    ("NOUN-HUM", "VERB-AGPAT"),
    ("NOUN-ANIM", "VERB-EAT", "NOUN-FOOD"),
    ("NOUN-ANIM", "VERB-TRAN", "NOUN-ANIM"),
    ("NOUN-ANIM", "VERB-AGPAT", "NOUN-INANIM"),
    ("NOUN-ANIM", "VERB-AGPAT"),
    ("NOUN-INANIM", "VERB-AGPAT"),
    ("NOUN-AGRESS", "VERB-DESTROY", "NOUN-FRAG"),
    ("NOUN-AGRESS", "VERB-EAT", "NOUN-HUM"),
    ("NOUN-AGRESS", "VERB-EAT", "NOUN-ANIM"),
    ("NOUN-AGRESS", "VERB-EAT", "NOUN-FOOD"),
)
#: All words, each once, in the order of their classes.
WORDS = tuple(dict.fromkeys(word for words in CLASSES.values() for word in words))
#: Numbers of an input or output vector; two of them are always zero, as in the paper.
VECTOR_SIZE = 31


class NextWord(NamedTuple):
    """Probabilities of the next word, ``W`` words, given those of the sentence so far; zero if it is impossible."""

    first: Float[np.ndarray, " W"]
    """Of a sentence's first word."""
    second: Float[np.ndarray, "W W"]
    """After its first word."""
    third: Float[np.ndarray, "W W W"]
    """After its first two: of its third, or of the first of the next sentence, if it has two."""


@functools.cache
def next_word_tables() -> NextWord:
    """Return the probabilities of the next word, by the grammar: templates, and words in their classes, are uniform."""
    of_class = {name: np.array([word in words for word in WORDS]) / len(words) for name, words in CLASSES.items()}
    templates = [[of_class[name] for name in template] for template in TEMPLATES]
    first = np.mean([template[0] for template in templates], axis=0)
    pairs = [np.multiply.outer(template[0], template[1]) for template in templates]
    last = [template[2] if len(template) == 3 else first for template in templates]
    second = np.mean(pairs, axis=0)
    third = np.mean([np.multiply.outer(pair, word) for pair, word in zip(pairs, last, strict=True)], axis=0)
    return NextWord(
        first, *(table / np.maximum(table.sum(axis=-1, keepdims=True), 1e-300) for table in (second, third))
    )


def next_word_probs(sequences: Sequences) -> Float[Array, "T B V"]:
    """Return the true probabilities of the next word, given the words of the sentence so far, at each step.

    These are Elman's "likelihood vectors", with which he compares the network's outputs: a reader that knows where the
    sentence began, but not whether it has ended after two words.

    Args:
        sequences: of the task ``elman_sentences``, whose targets say the place of each word in its sentence.

    Returns:
        Vectors of the size of the outputs, whose last two entries are zero.
    """
    first, second, third = (jnp.asarray(table, jnp.float32) for table in next_word_tables())
    words = jnp.argmax(sequences.inputs, axis=-1)
    place = sequences.targets[..., 1, None]
    before = jnp.concatenate([words[:1], words[:-1]])
    probs = jnp.where(place == 0, second[words], jnp.where(place == 1, third[before, words], first[None, None]))
    return jnp.pad(probs, ((0, 0), (0, 0), (0, VECTOR_SIZE - len(WORDS))))


@cached_factory
def elman_sentences(loss: str = "nats") -> Task:
    """Return the task of the next word of sentences that are joined without breaks.

    A sentence is one of 16 templates of two or three classes, and each class one of its words, both uniform; 29 words
    in 12 classes. (Elman's text speaks of 13 classes and 15 templates; his Tables 3 and 4 have these. Table 3 gives
    two words of each class; the others of Figure 7 are put where their meaning says.) Words are one-hot vectors of
    31 bits, two of which are always zero. The next word is asked at every step, ``length`` of them; the paper's
    10,000 sentences are 27,534 words. Targets are ``[T, B, 2]``: the next word, the only one that the loss reads, and
    the place of the word just read in its sentence, for ``next_word_probs``.

    An answer is right if the next word has the largest output. With the true probabilities given all words before,
    24.6 % are right in long streams, so that 24 % solve the task.

    Args:
        loss: "nats" of a softmax, or "logistic": logistic outputs with half the squared error, as published.

    Raises:
        ArgumentError: for another loss.
    """
    answers = class_answers(loss)
    class_words = np.zeros((len(CLASSES), 12), np.int32)  # 12 is a multiple of the size of each class
    for row, words in enumerate(CLASSES.values()):
        class_words[row] = [WORDS.index(word) for word in words] * (12 // len(words))
    names = list(CLASSES)
    template_classes = np.array([[names.index(name) for name in (*row, row[0])[:3]] for row in TEMPLATES], np.int32)
    template_lengths = np.array([len(row) for row in TEMPLATES], np.int32)

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        check_sample_sizes(batch_size, length)
        k_templates, k_words = jax.random.split(key)
        templates = draw_symbols(k_templates, (length // 2 + 1, batch_size), 0, len(TEMPLATES))
        sentence, place = joined(jnp.asarray(template_lengths)[templates], length + 1)
        classes = jnp.asarray(template_classes)[jnp.take_along_axis(templates, sentence, axis=0), place]
        words = jnp.asarray(class_words)[classes, draw_symbols(k_words, classes.shape, 0, 12)]
        targets = jnp.stack([words[1:], place[:-1]], axis=-1)
        return Sequences(one_hot(words[:-1], VECTOR_SIZE), targets, jnp.ones((length, batch_size), bool))

    def loss_of_next(outputs: Float[Array, "*B K"], targets: Int[Array, "*B 2"]) -> Float[Array, "*B"]:
        return answers.loss(outputs, targets[..., 0])

    def next_is_right(outputs: Float[Array, "*B K"], targets: Int[Array, "*B 2"]) -> Bool[Array, "*B"]:
        return answers.correct(outputs, targets[..., 0])

    frequencies = _word_frequencies()
    return Task(
        name="elman-sentences",
        source="Elman 1990",
        input_size=VECTOR_SIZE,
        output_size=VECTOR_SIZE,
        sample=sample,
        loss=loss_of_next,
        correct=next_is_right,
        chance_loss=lambda length: answers.blind_loss(frequencies),
        chance_accuracy=max(frequencies),
        solved_accuracy=0.24,
        default_length=100,
    )


def _word_frequencies() -> list[float]:
    """Return the share of each word in long streams."""
    counts = [
        sum((word in CLASSES[name]) / len(CLASSES[name]) for template in TEMPLATES for name in template)
        for word in WORDS
    ]
    return [count / sum(counts) for count in counts]

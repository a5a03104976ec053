"""What the networks of the first three experiments predict: errors of bits, by position."""

from typing import Any

import numpy as np

from experiments.elman_1990.streams import letters_of, roc, separation, word_places
from experiments.elman_1990.train import Answers, logistic
from rnnlm_jax.array_types import Float
from rnnlm_jax.tasks.letter_streams import FEATURES, LETTER_CODES, LEXICON

#: The published figure of temporal XOR has so many steps.
CYCLE = 12
#: Letters of a stream that figures show with their errors.
SHOWN = 40
CONSONANTS, VOWELS = "bdg", "aiu"
#: Shares of other letters taken for beginnings of words, at which the share of beginnings that are found is recorded.
FALSE_ALARMS = tuple(round(k / 100, 2) for k in range(101))


def squared_errors(answers: Answers) -> Float[np.ndarray, "S T K"]:
    """Return the squared error of each bit, for each seed."""
    return by_seed(np.square(logistic(answers.outputs) - answers.targets))


def by_seed(array: np.ndarray) -> np.ndarray:
    """Return an array ``[T, S, ...]`` as ``[S, T, ...]``."""
    return np.swapaxes(array, 0, 1)


def root_mean(errors: Float[np.ndarray, "*N K"]) -> Float[np.ndarray, "*N"]:
    """Return the root of the mean squared error over the bits of a letter."""
    return np.sqrt(errors.mean(axis=-1))


def xor(answers: Answers) -> dict[str, Any]:
    """Return mean squared errors of the next bit of temporal XOR, a list of one entry for each seed.

    Bits of the first cycle are left out, since the network has not read enough before them.
    """
    errors = squared_errors(answers)[..., 0]
    numbers = np.arange(1, errors.shape[1] + 1)  # of the bit that is predicted, from 0
    count = (errors.shape[1] - CYCLE + 1) // CYCLE
    kept = errors[:, CYCLE - 1 :][:, : count * CYCLE]  # from bit 12 on
    by_step = kept.reshape(len(errors), count, CYCLE).mean(axis=1)
    by_position = by_step.reshape(len(errors), CYCLE // 3, 3).mean(axis=1)
    bits = by_seed(answers.inputs)[..., 0]
    rule = np.not_equal(bits[:, 1:], bits[:, :-1])  # XOR of the last two
    is_random = numbers[1:] % 3 != 2
    follows = (by_seed(answers.outputs)[:, 1:, 0] > 0) == rule
    return {
        "error_by_step": by_step.tolist(),
        "error_by_position": by_position.tolist(),
        "third_is_lowest": (by_position.argmin(axis=1) == 2).tolist(),
        "xor_share": follows[:, is_random].mean(axis=1).tolist(),
    }


def letters(answers: Answers) -> dict[str, Any]:
    """Return root mean squared errors of the next letter, a list of one entry for each seed.

    Entries ``by_letter`` are errors of a letter; ``bits_at_consonants`` and ``bits_at_vowels`` those of each bit;
    ``separation`` is the probability that the error of a consonant is above that of a vowel.
    """
    errors = squared_errors(answers)
    texts = [letters_of(stream, FEATURES) for stream in by_seed(answers.targets)]
    of_seeds: dict[str, list[Any]] = {
        name: [] for name in ("consonants", "vowels", "by_letter", "bits_at_consonants", "bits_at_vowels", "separation")
    }
    for text, error in zip(texts, errors, strict=True):
        symbols, whole = np.array(list(text)), root_mean(error)
        is_consonant = np.isin(symbols, list(CONSONANTS))
        of_seeds["consonants"].append(float(whole[is_consonant].mean()))
        of_seeds["vowels"].append(float(whole[~is_consonant].mean()))
        of_seeds["by_letter"].append({x: float(whole[symbols == x].mean()) for x in CONSONANTS + VOWELS})
        of_seeds["bits_at_consonants"].append(np.sqrt(error[is_consonant].mean(axis=0)).tolist())
        of_seeds["bits_at_vowels"].append(np.sqrt(error[~is_consonant].mean(axis=0)).tolist())
        of_seeds["separation"].append(separation(whole, is_consonant))
    shown = {
        "text": texts[0][:SHOWN],
        "error": root_mean(errors[0, :SHOWN]).tolist(),
        "bits": np.sqrt(errors[0, :SHOWN]).tolist(),
    }
    return of_seeds | {"shown": shown}


def words(answers: Answers) -> dict[str, Any]:
    """Return root mean squared errors of the next letter by its place in its word, a list of one entry for each seed.

    Entry ``separation`` is the area under the curve ``roc``: the probability that the error of a word's first letter
    is above that of another letter.
    """
    errors = root_mean(squared_errors(answers))
    texts = [letters_of(stream, LETTER_CODES) for stream in by_seed(answers.targets)]
    by_place, areas, curves = [], [], []
    firsts = letters_of(answers.inputs[0], LETTER_CODES)
    for first, text, error in zip(firsts, texts, errors, strict=True):
        places = word_places(first + text, LEXICON)[1:]  # the first letter is read, not predicted
        by_place.append([float(error[places == place].mean()) for place in range(max(map(len, LEXICON)))])
        areas.append(separation(error, places == 0))
        curves.append(roc(error, places == 0, FALSE_ALARMS))
    places = word_places(firsts[0] + texts[0], LEXICON)[1:]
    shown = {"text": texts[0][:SHOWN], "error": errors[0, :SHOWN].tolist(), "places": places[:SHOWN].tolist()}
    return {"error_by_place": by_place, "separation": areas, "roc": curves, "shown": shown}

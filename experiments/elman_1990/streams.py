"""Letters of streams of bits, places of letters in words, and how well an error separates two kinds of steps."""

from collections.abc import Mapping, Sequence

import numpy as np

from rnnlm_jax.array_types import Bool, Float, Int
from rnnlm_jax.errors import DataError


def letters_of(bits: Float[np.ndarray, "T K"], codes: Mapping[str, str]) -> str:
    """Return the letters of a stream.

    Args:
        bits: the bits of each letter, 0 or 1.
        codes: letter -> its bits.
    """
    letters = {code: letter for letter, code in codes.items()}
    return "".join(letters["".join(str(int(bit)) for bit in row)] for row in bits)


def word_places(text: str, words: Sequence[str]) -> Int[np.ndarray, " T"]:
    """Return for each letter how many of its word are before it: 0 for the first.

    Args:
        text: words without breaks, of which the last may be cut.
        words: all words. No text of theirs may have two readings; those of the task have one, but for the last letter
            of some that are cut: "ag" may begin "ago" or "a girl".

    Raises:
        DataError: if the text is not made of the words.
    """
    size = len(text)
    readable = np.zeros(size + 1, bool)  # whether text[k:] is made of words
    readable[size] = True
    first: list[str] = [""] * size
    for k in reversed(range(size)):
        rest = text[k : k + max(map(len, words))]
        for word in words:
            is_cut = k + len(word) > size and word.startswith(rest)
            if is_cut or (rest.startswith(word) and readable[k + len(word)]):
                readable[k], first[k] = True, word
    if not readable[0]:
        raise DataError("the text is not made of the given words")
    places = np.zeros(size, int)
    start = 0
    while start < size:
        end = min(start + len(first[start]), size)
        places[start:end] = np.arange(end - start)
        start = end
    return places


def separation(scores: Float[np.ndarray, " T"], positive: Bool[np.ndarray, " T"]) -> float:
    """Return the probability that a positive step's score is above a negative one's, ties counting half.

    This is the area under the curve of ``roc`` (Mann & Whitney 1947).
    """
    from scipy.stats import rankdata

    ranks, count = rankdata(scores), int(positive.sum())
    below = ranks[positive].sum() - count * (count + 1) / 2
    return float(below / (count * (len(scores) - count)))


def roc(
    scores: Float[np.ndarray, " T"], positive: Bool[np.ndarray, " T"], false_alarms: Sequence[float]
) -> list[float]:
    """Return the shares of positive steps that thresholds on the score find, at given shares of negative steps.

    Between two thresholds, the share is that of a random choice between them; of thresholds with the same share of
    negative steps, it is the largest.
    """
    order = np.argsort(-scores, kind="stable")
    found = np.concatenate([[0.0], np.cumsum(positive[order]) / positive.sum()])
    false = np.concatenate([[0.0], np.cumsum(~positive[order]) / (~positive).sum()])
    last = np.append(np.diff(scores[order]) != 0, True)  # steps of equal scores are found together
    keep = np.concatenate([[True], last])
    return np.interp(false_alarms, false[keep], found[keep]).tolist()

"""Word errors against a plain table of distances, and cases counted by hand."""

import numpy as np
import pytest

from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.rescoring import Hypothesis, collect, list_errors, total_errors, word_errors


def errors_by_table(heard, spoken):
    """(errors, S, I, D) of the alignment with least (errors, S), cell by cell."""
    table = {}
    for i in range(len(spoken) + 1):
        for j in range(len(heard) + 1):
            ways = [(0, 0, 0, 0)] if i == j == 0 else []
            if i and j:
                e, s, n, d = table[i - 1, j - 1]
                wrong = heard[j - 1] != spoken[i - 1]
                ways.append((e + wrong, s + wrong, n, d))
            if j:
                e, s, n, d = table[i, j - 1]
                ways.append((e + 1, s, n + 1, d))
            if i:
                e, s, n, d = table[i - 1, j]
                ways.append((e + 1, s, n, d + 1))
            table[i, j] = min(ways)
    return table[len(spoken), len(heard)]


@pytest.mark.parametrize(
    ("heard", "spoken", "errors"),
    [
        ("the cat sat", "the cat sat", (0, 0, 0)),
        ("the cat sat", "the dog sat", (1, 0, 0)),
        ("the the cat", "the cat", (0, 1, 0)),
        ("cat", "the cat sat", (0, 0, 2)),
        ("", "a b", (0, 0, 2)),
        ("a b", "", (0, 2, 0)),
        ("", "", (0, 0, 0)),
        ("b c d", "a b c", (0, 1, 1)),  # rather than three substitutions
        ("a b", "b a", (0, 1, 1)),  # as many errors as two substitutions, and a word right
        ("The cat", "the cat", (1, 0, 0)),  # case counts
    ],
)
def test_errors_counted_by_hand(heard, spoken, errors):
    found = word_errors([heard], [spoken], np.array([0]))
    assert tuple(int(counts[0]) for counts in found) == errors


def test_many_pairs_at_once_equal_each_pair_alone(monkeypatch):
    monkeypatch.setattr("rnnlm_jax.evaluation.rescoring.alignment.CHUNK", 7)
    rng = np.random.default_rng(0)

    def text():
        return " ".join(rng.choice(list("abcd"), rng.integers(0, 9)))

    references = [text() for _ in range(12)]
    hypotheses, which = [text() for _ in range(100)], rng.integers(0, 12, 100)
    found = word_errors(hypotheses, references, which)
    for k, (heard, r) in enumerate(zip(hypotheses, which, strict=True)):
        expected = errors_by_table(heard.split(), references[r].split())
        assert (found.errors[k], *(int(counts[k]) for counts in found)) == expected


def test_errors_of_a_list_and_of_chosen_hypotheses():
    lines = [("u1", "the cat"), ("u1", "a cat sat"), ("u2", "the cat"), ("u1", "the cat")]
    nbest = collect([Hypothesis(name, (0.0,), text) for name, text in lines], "list", "tabs")
    errors = list_errors(nbest, {"u1": "the cat sat", "u2": "dogs", "u3": "x"})
    assert errors.alignments.errors.tolist() == [1, 1, 1, 2]  # of u1: the cat, a cat sat, the cat; of u2
    assert errors.reference_words.tolist() == [3, 1]
    total = total_errors(errors, np.array([1, 3]))
    assert (total.substitutions, total.insertions, total.deletions, total.words) == (2, 1, 0, 4)
    assert total.rate == 3 / 4
    with pytest.raises(DataError, match="1 of 2 utterances of list have no reference, the first is 'u2'"):
        list_errors(nbest, {"u1": "a"})

"""What rescoring came to: word errors of a list before and after, as a table and by name."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.evaluation.rescoring.alignment import Alignments, WordErrors, total_errors
from rnnlm_jax.evaluation.rescoring.nbest import NbestList
from rnnlm_jax.evaluation.rescoring.score_weights import Weights, best, totals

#: Rows of the table, from before to the best that can be.
FIRST, GIVEN, RESCORED, ORACLE = "first listed", "given scores", "rescored", "oracle"
HEAD: tuple[str, ...] = ("", "WER", "errors", "sub", "ins", "del", "words")


class Measured(NamedTuple):
    """A list whose references are known."""

    name: str
    rows: Mapping[str, WordErrors]

    def summary(self) -> dict[str, Any]:
        """All figures by name."""
        return {
            name.replace(" ", "_"): {
                "wer": each.rate,
                "errors": each.errors,
                "substitutions": each.substitutions,
                "insertions": each.insertions,
                "deletions": each.deletions,
                "words": each.words,
            }
            for name, each in self.rows.items()
        }


def measured(
    nbest: NbestList,
    rows: Float[np.ndarray, "N F"],
    weights: Weights,
    alignments: Alignments,
    words: Int[np.ndarray, "U"],
) -> Measured:
    """The errors of the first hypothesis listed, of the best by the given scores alone, of the best, and the fewest.

    Args:
        nbest: the list.
        rows: what the weights multiply.
        weights: with which it was rescored.
        alignments: the errors of each hypothesis.
        words: of each reference.
    """
    chosen = {
        FIRST: nbest.starts[:-1],
        GIVEN: best(totals(rows, weights.first_pass().vector()), nbest.starts),
        RESCORED: best(totals(rows, weights.vector()), nbest.starts),
        ORACLE: best(-alignments.errors, nbest.starts),
    }
    return Measured(nbest.path, {name: total_errors(alignments, each, words) for name, each in chosen.items()})


def table(lists: Sequence[Measured]) -> str:
    """Lists one after the other, aligned."""
    lines: list[tuple[str, ...]] = [HEAD]
    for each in lists:
        for name, errors in each.rows.items():
            counts = (errors.errors, errors.substitutions, errors.insertions, errors.deletions, errors.words)
            lines.append((f"{each.name}: {name}", f"{100 * errors.rate:.2f} %", *(f"{n:,}" for n in counts)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = []
    for first, *rest in lines:
        cells = [first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(rest, widths[1:], strict=True))]
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown) + "\n"

"""Word errors of an n-best list before and after rescoring, as a table and by name."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rnnlm_jax.evaluation.comparison.comparison_table import terminal_table
from rnnlm_jax.evaluation.rescoring.alignment import ListErrors, WordErrors, total_errors
from rnnlm_jax.evaluation.rescoring.score_weights import Weights, best_hypotheses, total_scores
from rnnlm_jax.evaluation.rescoring.scored_list import ScoredList

#: Rows of the table: the first hypothesis listed, the best by the list's scores, the best by all scores, and the one
#: with the fewest errors.
FIRST, GIVEN, RESCORED, ORACLE = "first listed", "given scores", "rescored", "oracle"
HEADER: tuple[str, ...] = ("", "WER", "errors", "sub", "ins", "del", "words")


class ErrorReport(NamedTuple):
    """Word errors of one list, by row of the table."""

    name: str
    rows: Mapping[str, WordErrors]

    def summary(self) -> dict[str, Any]:
        """Return all figures by name."""
        return {
            name.replace(" ", "_"): {
                "wer": errors.rate,
                "errors": errors.errors,
                "substitutions": errors.substitutions,
                "insertions": errors.insertions,
                "deletions": errors.deletions,
                "words": errors.words,
            }
            for name, errors in self.rows.items()
        }


def report_errors(scored: ScoredList, weights: Weights, errors: ListErrors) -> ErrorReport:
    """Return the word errors of a list: as listed, by its own scores, rescored, and the fewest possible.

    Args:
        scored: list with the features of each hypothesis.
        weights: weights of the features.
        errors: errors of each hypothesis.
    """
    nbest = scored.nbest
    chosen = {
        FIRST: nbest.starts[:-1],
        GIVEN: best_hypotheses(total_scores(scored.rows, weights.first_pass().vector()), nbest.starts),
        RESCORED: best_hypotheses(total_scores(scored.rows, weights.vector()), nbest.starts),
        ORACLE: best_hypotheses(-errors.alignments.errors.astype(float), nbest.starts),
    }
    return ErrorReport(nbest.path, {name: total_errors(errors, indices) for name, indices in chosen.items()})


def error_table(reports: Sequence[ErrorReport]) -> str:
    """Return an aligned table with the rows of all reports."""
    lines: list[tuple[str, ...]] = [HEADER]
    for report in reports:
        for name, errors in report.rows.items():
            counts = (errors.errors, errors.substitutions, errors.insertions, errors.deletions, errors.words)
            lines.append((f"{report.name}: {name}", f"{100 * errors.rate:.2f} %", *(f"{n:,}" for n in counts)))
    return "".join(f"{line}\n" for line in terminal_table(lines, 1))

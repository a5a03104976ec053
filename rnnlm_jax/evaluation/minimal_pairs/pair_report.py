"""Accuracies of one model on minimal pairs: overall, without unknown words, by group, category and distance."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm_jax.evaluation.minimal_pairs.accuracy import Accuracy, accuracy_of, distance_bins
from rnnlm_jax.evaluation.minimal_pairs.pair import WORD
from rnnlm_jax.evaluation.minimal_pairs.pair_scores import PairScores

#: Least number of pairs in a bin of distances, and about the largest number of bins.
LEAST_IN_BIN, MOST_BINS = 30, 20


@dataclass(frozen=True, eq=False)
class PairReport:
    """Accuracies of one model."""

    model: str
    kind: str
    policy: str
    """The vocabulary, and how the text was written for it."""
    data: str
    unit: str
    context: int | None
    left_out: int
    """Pairs that cannot be compared at one word."""
    all: Accuracy
    known: Accuracy
    """Pairs without an unknown word."""
    known_compared: Accuracy
    """Pairs whose sides do not differ in an unknown word."""
    groups: Mapping[str, Accuracy]
    categories: Mapping[str, Accuracy]
    distance: str
    """What the distance of a pair is."""
    distances: Mapping[int, Accuracy]
    """By number of words, in increasing order."""
    seconds: float

    @property
    def unknown_share(self) -> float:
        """Share of pairs with an unknown word."""
        return 1 - self.known.pairs / self.all.pairs

    @property
    def _least(self) -> int:
        """Least number of pairs in a bin of distances."""
        return max(LEAST_IN_BIN, self.all.pairs // MOST_BINS)

    def summary(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {
            "model": self.model,
            "kind": self.kind,
            "policy": self.policy,
            "data": self.data,
            "unit": self.unit,
            "context": self.context,
            **self.all.summary(),
            "left_out": self.left_out,
            "unknown_share": self.unknown_share,
            "without_unknown": self.known.summary(),
            "unknown_compared_share": 1 - self.known_compared.pairs / self.all.pairs,
            "without_unknown_compared": self.known_compared.summary(),
            "groups": _summaries(self.groups),
            "categories": _summaries(self.categories),
            "distance": self.distance,
            "distances": _summaries(self.distances),
            "distance_bins": [part.summary() for part in distance_bins(self.distances, self._least)],
            "seconds": round(self.seconds, 3),
        }


def report_pairs(scores: PairScores) -> PairReport:
    """Return the accuracies of scored pairs."""
    scorer, data = scores.model, scores.data
    pairs = [data.pairs[index] for index in scores.indices.tolist()]
    meaning, distances = data.distances
    differences = scores.differences
    categories = [pair.category for pair in pairs]
    return PairReport(
        model=scorer.name,
        kind=scorer.info.kind,
        policy=f"{scorer.policy}; {scores.text}",
        data=data.name,
        unit=scores.unit,
        context=scores.context,
        left_out=len(data.pairs) - len(pairs),
        all=accuracy_of(differences),
        known=accuracy_of(differences[~scores.unknown]),
        known_compared=accuracy_of(differences[~scores.unknown_compared]),
        groups=_by_name(differences, [pair.group for pair in pairs]),
        categories=_by_name(differences, categories) if any(categories) else {},
        distance=meaning,
        distances=dict(sorted(_by(differences, [distances[index] for index in scores.indices.tolist()]).items())),
        seconds=scores.seconds,
    )


def _by(differences: np.ndarray, keys: Sequence[Any]) -> dict[Any, Accuracy]:
    """Return the accuracy of the pairs with each key, in the order in which keys occur."""
    parts: dict[Any, list[float]] = {}
    for key, difference in zip(keys, differences.tolist(), strict=True):
        parts.setdefault(key, []).append(difference)
    return {key: accuracy_of(part) for key, part in parts.items()}


def _by_name(differences: np.ndarray, names: Sequence[str]) -> dict[str, Accuracy]:
    """Return the accuracy by name, numbers in increasing order, other names in that of the data."""
    found = _by(differences, names)
    if all(name.isdecimal() for name in found):
        return dict(sorted(found.items(), key=lambda item: int(item[0])))
    return found


def _summaries(accuracies: Mapping[Any, Accuracy]) -> dict[str, Any]:
    return {str(name): accuracy.summary() for name, accuracy in accuracies.items()}


def pair_scores_text(scored: Sequence[PairScores]) -> str:
    """Return a table with a line for each pair, between tabs: its data, and both sides' nats by each model.

    Args:
        scored: scores of the same pairs by one model or several.
    """
    first = scored[0]
    columns = ["pair", "group", "category", "distance", "good", "bad"]
    for scores in scored:
        columns += [f"{scores.model.name} {column}" for column in ("good nats", "bad nats", "unknown")]
    _, distances = first.data.distances
    lines = [columns]
    for row, index in enumerate(first.indices.tolist()):
        pair = first.data.pairs[index]
        sides = (pair.good, pair.bad)
        if first.unit == WORD and pair.contrast is not None:
            good_prefix, good, bad_prefix, bad = pair.contrast
            sides = (f"{good_prefix} | {good}", f"{bad_prefix} | {bad}")
        line = [str(index + 1), pair.group, pair.category, str(distances[index]), *sides]
        for scores in scored:
            line += [repr(float(scores.good_nll[row])), repr(float(scores.bad_nll[row])), str(int(scores.unknown[row]))]
        lines.append(line)
    return "".join(f"{_tabbed(line)}\n" for line in lines)


def _tabbed(fields: Iterable[str]) -> str:
    return "\t".join(field.replace("\t", " ") for field in fields)

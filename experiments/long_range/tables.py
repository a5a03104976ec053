"""The tables of the study, from the results of its models."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from experiments import readme_table

Result = dict[str, Any]

#: Published models beside ours on BLiMP: name in the file -> heading.
PUBLISHED = {"ngram": "published n-gram", "lstm": "published LSTM"}
#: Number of next words in a table; ``results.json`` has more.
LISTED = 5


class Table(NamedTuple):
    """A table with its heading."""

    title: str
    head: list[str]
    rows: list[list[str]]


def document(english: Sequence[Result], german: Sequence[Result]) -> str:
    """Return all tables and the figures in Markdown."""
    parts = [_markdown(table) for table in all_tables(english, german)]
    figures = {
        "agreement.png": "accuracy by words of context, and by distance, of each model",
        "separable-verbs.png": "accuracy of the particle by distance, of each model",
    }
    return "\n".join([*parts, *(f"![{about}]({file})\n" for file, about in figures.items())])


def plain_text(english: Sequence[Result], german: Sequence[Result]) -> str:
    """Return all tables for a terminal."""
    tables = all_tables(english, german)
    return "\n\n".join(f"{table.title}\n{readme_table.plain(table.head, table.rows)}" for table in tables)


def all_tables(english: Sequence[Result], german: Sequence[Result]) -> list[Table]:
    """Return the tables of the results that there are."""
    tables: list[Table] = []
    if english:
        tables += [table(english) for table in (models, attractors, contexts, distances, blimp)]
        tables += next_words(english)
    if german:
        tables += [separable_verbs(german), *next_words(german)]
    return tables


def models(english: Sequence[Result]) -> Table:
    """Return size, perplexity, accuracies and horizons of each model."""
    head = ["model", "units", "parameters", "test perplexity", "Linzen", "BLiMP", "gradient at 1 %", "context to 1 %"]
    rows = []
    for result in english:
        horizons = result["horizons"]
        rows.append(
            [
                result["model"],
                str(result["config"]["model"]["hidden_size"]) if "config" in result else "",
                f"{result['parameters']:,}",
                f"{result['test_perplexity']:.1f}",
                with_interval(result["linzen"]),
                with_interval(result["blimp"]),
                _horizon(horizons["gradient"]["1%"], horizons["largest_lag"]) if horizons else "",
                _horizon(horizons["context"]["1%"], None) if horizons else "",
            ]
        )
    return Table("Models: accuracy on all pairs, horizons in words", head, rows)


def attractors(english: Sequence[Result]) -> Table:
    """Return the accuracy on the pairs of Linzen et al. by number of attractors."""
    groups = list(english[0]["linzen"]["groups"])
    rows = [[r["model"], *(with_interval(r["linzen"]["groups"][group]) for group in groups)] for r in english]
    pairs = [f"{english[0]['linzen']['groups'][group]['pairs']:,}" for group in groups]
    head = ["attractors", *(f"{group} ({count} pairs)" for group, count in zip(groups, pairs, strict=True))]
    return Table("Subject-verb agreement (Linzen et al. 2016) by number of attractors", head, rows)


def contexts(english: Sequence[Result]) -> Table:
    """Return the accuracy on the same pairs by number of words that are read before the verb."""
    counts = list(english[0]["linzen_by_context"])
    rows = [
        [
            r["model"],
            *(_percent(r["linzen_by_context"][k]["accuracy"]) for k in counts),
            _percent(r["linzen"]["accuracy"]),
        ]
        for r in english
    ]
    return Table("The same, reading only the last words before the verb", ["words read", *counts, "all"], rows)


def distances(english: Sequence[Result]) -> Table:
    """Return the accuracy on the study's own sentences by distance from subject to verb, for each kind of phrases."""
    lengths = list(english[0]["agreement_at_a_distance"]["distances"])
    rows = []
    for result in english:
        for group, found in result["agreement_at_a_distance"]["by_group"].items():
            by_length = found["distances"]
            rows.append([f"{result['model']}, {group}", *(_percent(by_length[k]["accuracy"]) for k in lengths)])
    return Table("Agreement across phrases, by words from subject to verb", ["model, nouns between", *lengths], rows)


def blimp(english: Sequence[Result]) -> Table:
    """Return the accuracy on each paradigm of BLiMP, beside published ones, and the means over paradigms."""
    paradigms = list(english[0]["blimp"]["groups"])
    others: Mapping[str, Mapping[str, float]] = english[0]["published"]
    columns: list[Callable[[str], float]] = [
        *(lambda name, r=result: r["blimp"]["groups"][name]["accuracy"] for result in english),
        *(lambda name, key=key: others.get(name, {}).get(key, math.nan) for key in PUBLISHED),
    ]
    rows = [[name, *(_percent(column(name)) for column in columns)] for name in paradigms]
    means = [math.fsum(column(name) for name in paradigms) / len(paradigms) for column in columns]
    rows.append(["mean", *map(_percent, means)])
    head = ["paradigm", *(result["model"] for result in english), *PUBLISHED.values()]
    return Table("BLiMP, whole sentences", head, rows)


def separable_verbs(german: Sequence[Result]) -> Table:
    """Return the accuracy of the particle of German verbs by distance from the verb."""
    bins = _bins(german[0]["pairs"])
    head = ["model", "test perplexity", "perplexity of the grammar", *(f"{low}-{high} words" for low, high in bins)]
    rows = []
    for result in german:
        by_length = result["pairs"]["distances"]
        rows.append(
            [
                result["model"],
                f"{result['test_perplexity']:.2f}",
                f"{math.exp(result['entropy_rate']):.2f}",
                *(_percent(_share(by_length, low, high)) for low, high in bins),
            ]
        )
    return Table("German separable verbs: the particle, by words from the verb to it", head, rows)


def next_words(results: Sequence[Result]) -> list[Table]:
    """Return, for each beginning of a sentence, the next words that each model ranks first, and those asked for."""
    tables = []
    for number, asked in enumerate(results[0]["next_words"]):
        rows = []
        for result in results:
            found = result["next_words"][number]
            top = ", ".join(f"{each['word']} {_share_text(each['probability'])}" for each in found["top"][:LISTED])
            rows.append([result["model"], top, "; ".join(map(_wanted, found["wanted"]))])
        tables.append(Table(f"“{asked['context']} ___”", ["model", "first", "asked for"], rows))
    return tables


def with_interval(found: Mapping[str, Any]) -> str:
    """Return an accuracy with its interval in per cent."""
    if found["accuracy"] is None:
        return ""
    low, high = found["interval"]
    return f"{100 * found['accuracy']:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def _percent(share: float | None) -> str:
    return "" if share is None or math.isnan(share) else f"{100 * share:.1f}"


def _horizon(value: int | None, most: int | None) -> str:
    """Return a horizon; one beyond everything measured as "over" the largest lag."""
    return str(value) if value is not None else f"over {most}" if most is not None else "over all measured"


def _bins(pairs: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return about six ranges of distances with equally many pairs, of the bins that the measurement has."""
    found = pairs["distance_bins"]
    size = -(-len(found) // 6)
    parts = [found[k : k + size] for k in range(0, len(found), size)]
    return [(part[0]["first"], part[-1]["last"]) for part in parts]


def _share(by_length: Mapping[str, Mapping[str, Any]], low: int, high: int) -> float:
    """Return the accuracy on all pairs with a distance in a range."""
    parts = [found for length, found in by_length.items() if low <= int(length) <= high]
    return sum(part["right"] + part["ties"] / 2 for part in parts) / sum(part["pairs"] for part in parts)


def _wanted(each: Mapping[str, Any]) -> str:
    if each["probability"] is None:
        return f"{each['word']} is not in the vocabulary"
    return f"{each['word']} {_share_text(each['probability'])} (rank {each['rank']:,})"


def _share_text(probability: float) -> str:
    return f"{probability:.3f}" if probability >= 0.001 else f"{probability:.0e}"


def _markdown(table: Table) -> str:
    rows = [[word.replace("|", "\\|").replace("<", "\\<") for word in row] for row in table.rows]
    return f"### {table.title}\n\n{readme_table.markdown(table.head, rows)}"

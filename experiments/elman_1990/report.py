"""The tables and the record of the study, from the results of its networks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import readme_table
from experiments.elman_1990.figures import FIGURES
from experiments.elman_1990.recipes import LABELS
from experiments.elman_1990.sentences import LINKAGES
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.plotting.style import save
from rnnlm_jax.tasks.letter_streams import LEXICON

Result = dict[str, Any]
Results = dict[str, list[Result]]
Table = tuple[list[str], list[list[str]]]

#: Published figures of the sentences; see the README for what the paper calls error.
PUBLISHED = {"cosine": ".916", "error": ".053", "error_of_actual": ".88"}
#: Share of other letters taken for beginnings of words, for which the table has the share of beginnings found.
FALSE_ALARM = 0.05


def record(found: Results, study: Path) -> None:
    """Write ``results.json``, the figures, and the tables of the README of a study."""
    write_json(study / "results.json", found)
    for name, (file, draw, _) in FIGURES.items():
        if found[name]:
            save(draw(found[name]), study / file)
    readme_table.write_table(study / "README.md", tables(found, figures=True))


def tables(found: Results, *, figures: bool = False) -> str:
    """Return the tables of the experiments that have results, each under its title, with figures if they are drawn."""
    parts = []
    for name, (title, make) in TABLES.items():
        if found[name]:
            file, _, about = FIGURES[name]
            figure = f"\n![{about}]({file})\n" if figures else ""
            parts.append(f"### {title}\n\n{readme_table.markdown(*make(found[name]))}{figure}")
    return "\n".join(parts)


def xor_table(results: Sequence[Result]) -> Table:
    """Return a row for each network: squared error by position, and how often the rule is followed elsewhere."""
    head = ["squared error of the bit", "first", "second", "third, the XOR", "third lowest", "XOR elsewhere"]
    rows = []
    for result in results:
        errors = [spread([seed[k] for seed in result["error_by_position"]]) for k in range(3)]
        rows.append(
            [
                LABELS[result["network"]],
                *errors,
                count(result["third_is_lowest"]),
                spread(result["xor_share"], per_cent=True),
            ]
        )
    unsure = (1 / 9 + 4 / 9) / 2
    exact = f"{unsure:.3f}"
    rows.append(["XOR at every bit, sure to ⅔", exact, exact, f"{1 / 9:.3f}", "", "100 %"])
    return head, [*rows, ["position known", "0.250", "0.250", "0.000", "", "any"]]


def letter_table(results: Sequence[Result]) -> Table:
    """Return a row for each network: errors at consonants and vowels, of all bits and of two."""
    head = ["root mean squared error", "at consonants", "at vowels", "bit 1 (consonant), at consonants"]
    head += ["bit 4 (high), at consonants", "every consonant above every vowel", "separation"]
    rows = []
    for result in results:
        bits = result["bits_at_consonants"]
        above = [min(seed[x] for x in "bdg") > max(seed[x] for x in "aiu") for seed in result["by_letter"]]
        rows.append(
            [
                LABELS[result["network"]],
                *(spread(result[name]) for name in ("consonants", "vowels")),
                *(spread([seed[bit] for seed in bits]) for bit in (0, 3)),
                count(above),
                spread(result["separation"]),
            ]
        )
    return head, rows


def word_table(results: Sequence[Result]) -> Table:
    """Return a row for each network: errors by the place in the word, and how well they show where words begin."""
    longest = max(map(len, LEXICON))
    head = ["root mean squared error", *(f"letter {place}" for place in range(1, longest + 1)), "separation"]
    head += [f"beginnings found at {FALSE_ALARM:.0%} of other letters".replace("%", " %")]
    rows = []
    for result in results:
        by_place = [spread([seed[place] for seed in result["error_by_place"]]) for place in range(longest)]
        at = round(FALSE_ALARM * (len(result["roc"][0]) - 1))
        hits = spread([curve[at] for curve in result["roc"]], per_cent=True)
        rows.append([LABELS[result["network"]], *by_place, spread(result["separation"]), hits])
    return head, rows


def sentence_table(results: Sequence[Result]) -> Table:
    """Return rows of published figures, of the networks, and of readers that know part of the grammar, or all of it."""
    head = ["to the true probabilities", "cosine", "sum of squares", "its root", "root of the mean"]
    head += ["to the actual word: sum of squares", "its root", "three branches: verbs, animates, inanimates"]
    head += ["two: nouns from verbs", "nouns: animates from inanimates", "nearest word of its kind"]
    names = ("cosine", "squares", "norm", "rms", "squares_of_actual", "norm_of_actual")
    error, of_actual = PUBLISHED["error"], PUBLISHED["error_of_actual"]
    rows = [["published", PUBLISHED["cosine"], error, "", error, of_actual, of_actual, "", "yes", "yes", ""]]
    for result in results:
        branches = result["branches"][LINKAGES[0]]
        split = [spread([seed[name] for seed in branches], per_cent=True) for name in PURITIES]
        split += [spread(result["nearest_of_kind"], per_cent=True)]
        rows.append(
            [LABELS[result["network"]], *(spread(result["readers"]["network"][name]) for name in names), *split]
        )
    for reader in READERS:
        values = results[0]["readers"][reader]
        rows.append([reader, *(f"{np.mean(values[name]):.3f}" for name in names), *[""] * 4])
    return head, rows


#: Purities of branches of the tree of words, as the record has them.
PURITIES = ("three_kinds", "nouns_from_verbs", "animates_from_inanimates")
#: Readers to compare the networks with, as the record has them.
READERS = ("frequencies", "last word", "true probabilities")

#: Experiment -> title and maker of its table.
TABLES: dict[str, tuple[str, Callable[[Sequence[Result]], Table]]] = {
    "xor": ("1. Temporal XOR", xor_table),
    "letters": ("2. Letters: ba, dii, guuu", letter_table),
    "words": ("3. Beginnings of words", word_table),
    "sentences": ("4. Sentences", sentence_table),
}


def spread(values: Sequence[float], *, per_cent: bool = False) -> str:
    """Return the mean over seeds, and the least and the greatest value in brackets if they differ in what is shown."""
    shown = [
        f"{100 * value:.0f}" if per_cent else f"{value:.3f}" for value in (np.mean(values), min(values), max(values))
    ]
    mean, low, high = shown
    unit = " %" if per_cent else ""
    return f"{mean}{unit}" if low == high else f"{mean}{unit} ({low}–{high})"


def count(flags: Sequence[bool]) -> str:
    """Return how many of the seeds a statement is true of."""
    return f"{sum(flags)} of {len(flags)}"

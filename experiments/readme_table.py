"""Write a study's table into its README, between two markers."""

from collections.abc import Sequence
from pathlib import Path

from rnnlm_jax.errors import DataError
from rnnlm_jax.jobs.run_folder import write_text

BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; columns after the first are aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plain(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table for the terminal, with columns of equal width."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(words: Sequence[str]) -> str:
        first, *others = (f"{word:{'<' if k == 0 else '>'}{widths[k]}}" for k, word in enumerate(words))
        return "  ".join((first, *others)).rstrip()

    return "\n".join(map(line, (head, *rows)))


def write_table(readme: Path, table: str) -> None:
    """Replace what is between the markers of a README.

    Raises:
        DataError: if the README lacks a marker.
    """
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DataError(f"{readme} has no lines {BEGIN.strip()} and {END.strip()} to write the table between: add them")
    write_text(readme, f"{before}{begin}\n{table}\n{end}{after}")

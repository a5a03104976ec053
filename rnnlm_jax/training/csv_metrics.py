"""Metrics as CSV files, one for each kind of record."""

import csv
import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from rnnlm_jax.system.atomic_write import atomic_write


class CsvFiles:
    """Writes ``step.csv``, ``validation.csv``, …: a row for each record of that kind, flushed at once.

    The columns are the names in the first record of a kind. A name that comes later becomes a new last column, empty in
    the rows above; no column moves or goes. A list is written as ``name.0``, ``name.1``, …. NaN, infinities and missing
    values are empty, as they are null in ``metrics.jsonl``. The files are a function of the records alone: those of a
    resumed run are written again from the records that it keeps.
    """

    def __init__(self, folder: Path, records: Iterable[dict[str, Any]] = ()) -> None:
        """Write the records so far, and open the files.

        Args:
            folder: the folder of the files; what was there is deleted.
            records: the records so far, those of ``metrics.jsonl``.
        """
        self._folder = folder
        self._files: dict[str, _CsvFile] = {}
        rows: dict[str, list[dict[str, str]]] = {}
        for record in records:
            rows.setdefault(_kind(record), []).append(_cells(record))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for kind, of_kind in rows.items():
            self._files[kind] = _CsvFile(folder / f"{kind}.csv", of_kind)

    def write(self, record: dict[str, Any]) -> None:
        """Append a row."""
        kind, cells = _kind(record), _cells(record)
        if kind in self._files:
            self._files[kind].append(cells)
        else:
            self._files[kind] = _CsvFile(self._folder / f"{kind}.csv", [cells])

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


class _CsvFile:
    """One CSV file with a header, open to append."""

    def __init__(self, path: Path, rows: list[dict[str, str]]) -> None:
        self._path, self._columns = path, list[str]()
        self._file: TextIO = self._written(rows)

    def append(self, cells: dict[str, str]) -> None:
        if cells.keys() <= set(self._columns):
            csv.DictWriter(self._file, self._columns, restval="").writerow(cells)
            self._file.flush()
            return
        self._file.close()
        with self._path.open(newline="") as file:
            rows: list[dict[str, str]] = [*csv.DictReader(file), cells]
        self._file = self._written(rows)

    def _written(self, rows: list[dict[str, str]]) -> TextIO:
        """Write header and rows, completely or not at all, and return the file, open to append."""
        self._columns += [
            name for name in dict.fromkeys(name for row in rows for name in row) if name not in self._columns
        ]
        with atomic_write(self._path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        return self._path.open("a", newline="")

    def close(self) -> None:
        self._file.close()


def _kind(record: dict[str, Any]) -> str:
    return str(record.get("kind", "step"))


def _cells(record: dict[str, Any]) -> dict[str, str]:
    """Return a record as the text of cells by column, without its kind and the run's id."""
    cells: dict[str, str] = {}
    for name, value in record.items():
        if name in ("kind", "run_id"):
            continue
        parts = (
            {f"{name}.{i}": part for i, part in enumerate(value)} if isinstance(value, list | tuple) else {name: value}
        )
        cells |= {column: _text(part) for column, part in parts.items()}
    return cells


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return str(value)

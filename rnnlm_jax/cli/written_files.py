"""Files that a command writes its figures to: refused before any work is done, where they cannot be."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rnnlm_jax import json_text
from rnnlm_jax.errors import UserError
from rnnlm_jax.runs import write_text
from rnnlm_jax.whole_file import require_file_name

#: What ``--json`` writes to without a file.
PRINTED = "-"


def add_json_option(parser: argparse._ActionsContainer) -> None:
    """``--json [FILE]``."""
    parser.add_argument(
        "--json",
        nargs="?",
        const=PRINTED,
        metavar="FILE",
        help="print the figures as one JSON object, the last line; or write them to a file, whose name ends in .json",
    )


def check_files(written: Iterable[str | None], json: str | None, read: Iterable[str | None]) -> None:
    """See that files can be written, and that none of them is read or written already.

    Args:
        written: their names; None: not asked for.
        json: what ``--json`` was given.
        read: what the command reads.

    Raises:
        UserError: if not.
    """
    if json not in (None, PRINTED) and not json.endswith(".json"):
        raise UserError(f"--json {json}: the name of a file to write must end in .json; put --json last to print")
    taken = {Path(file).resolve() for file in read if file is not None}
    for file in (*written, json):
        if file in (None, PRINTED):
            continue
        require_file_name(file)
        if not Path(file).absolute().parent.is_dir():
            raise UserError(f"there is no folder {Path(file).parent} to write {Path(file).name} in: make it first")
        if Path(file).resolve() in taken:
            raise UserError(f"{file} is read or written already: give another file to write")
        taken.add(Path(file).resolve())


def write_json(json: str | None, summary: dict[str, Any]) -> None:
    """Print figures, or write them to a file, as ``--json`` says."""
    if json == PRINTED:
        print(json_text.dumps(summary))
    elif json is not None:
        write_text(Path(json), json_text.dumps(summary, indent=2) + "\n")

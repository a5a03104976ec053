"""Files that a command writes: refused before any work is done where they cannot be; ``-`` is standard output."""

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.run_folder import write_text
from rnnlm_jax.system import json_text
from rnnlm_jax.system.atomic_write import require_file_name

#: The name of standard output, wherever a command writes a file; what ``--json`` writes to without a file.
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
    written = tuple(written)
    if (*written, json).count(PRINTED) > 1:
        raise UserError(f"{PRINTED} is standard output, and two things are to be written there: give one a file")
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


@contextlib.contextmanager
def standard_output(*written: str | None) -> Iterator[TextIO]:
    """Standard output; what is printed within goes to standard error if one of these files is ``-``.

    So what is written to standard output stands there alone, as it would in a file.
    """
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr if PRINTED in written else out):
        yield out


def write_output(file: str, text: str, out: TextIO) -> None:
    """Write a text to a file, or to ``out`` if its name is ``-``."""
    if file == PRINTED:
        out.write(text)
    else:
        write_text(Path(file), text)


@contextlib.contextmanager
def output_path(file: str, out: TextIO) -> Iterator[Path]:
    """Where to write what only goes to a file; if its name is ``-``, that is copied to ``out`` in the end."""
    if file != PRINTED:
        yield Path(file)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "output"
        with (Path(folder) / "output").open("rb") as written:
            out.flush()
            shutil.copyfileobj(written, out.buffer)  # type: ignore[attr-defined]


def require_folder_name(folder: str, option: str) -> None:
    """Check that a folder can have this name.

    Raises:
        UserError: if it is ``-``.
    """
    if folder == PRINTED:
        raise UserError(f"{option} {PRINTED}: that is standard output, and this is a folder: give its name")


def write_json(json: str | None, summary: dict[str, Any]) -> None:
    """Print figures, or write them to a file, as ``--json`` says."""
    if json == PRINTED:
        print(json_text.dumps(summary))
    elif json is not None:
        write_text(Path(json), json_text.dumps(summary, indent=2) + "\n")

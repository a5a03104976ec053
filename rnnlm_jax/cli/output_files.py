"""Files that a command writes; the name ``-`` stands for standard output. Names are checked before any work is done."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jobs.run_folder import write_text
from rnnlm_jax.system import json_text
from rnnlm_jax.system.atomic_write import require_file_name

#: The name of standard output wherever a command writes a file, and the value of ``--json`` without a file.
STANDARD_OUTPUT = "-"


def check_files(written: Iterable[str | None], json: str | None, read: Iterable[str | None]) -> None:
    """Check that files can be written, and that no file is written twice or both read and written.

    Args:
        written: names of the files to write; None where the option is not given.
        json: the value of ``--json``.
        read: names of the files to read.

    Raises:
        ConfigError: for the first name that is impossible.
    """
    if json not in (None, STANDARD_OUTPUT) and not json.endswith(".json"):
        raise ConfigError(f"--json {json}: the name of a file to write must end in .json; put --json last to print")
    written = tuple(written)
    if (*written, json).count(STANDARD_OUTPUT) > 1:
        raise ConfigError(
            f"{STANDARD_OUTPUT} is standard output, and two results cannot both go there: give one a file"
        )
    taken = {Path(file).resolve() for file in read if file is not None}
    for file in (*written, json):
        if file in (None, STANDARD_OUTPUT):
            continue
        require_file_name(file)
        if not Path(file).absolute().parent.is_dir():
            raise ConfigError(
                f"cannot find the folder {Path(file).parent} to write {Path(file).name} in: make it first"
            )
        if Path(file).resolve() in taken:
            raise ConfigError(f"{file} is read or written already: give another file to write")
        taken.add(Path(file).resolve())


@contextlib.contextmanager
def standard_output(*written: str | None) -> Iterator[TextIO]:
    """Yield standard output; within, printed messages go to standard error if one of the files is ``-``.

    Standard output then contains only the result, as a file would.
    """
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr if STANDARD_OUTPUT in written else out):
        yield out


def write_output(file: str, text: str, out: TextIO) -> None:
    """Write a text to a file, or to ``out`` if the name is ``-``."""
    if file == STANDARD_OUTPUT:
        out.write(text)
    else:
        write_text(Path(file), text)


@contextlib.contextmanager
def output_path(file: str, out: TextIO) -> Iterator[Path]:
    """Yield the path to write to; for the name ``-``, a temporary file that is copied to ``out`` at the end."""
    if file != STANDARD_OUTPUT:
        yield Path(file)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "output"
        with (Path(folder) / "output").open("rb") as written:
            out.flush()
            shutil.copyfileobj(written, out.buffer)  # type: ignore[attr-defined]


def require_folder_name(folder: str, option: str) -> None:
    """Check that the value of an option can name a folder.

    Raises:
        ConfigError: if it is ``-``.
    """
    if folder == STANDARD_OUTPUT:
        raise ConfigError(f"{option} {STANDARD_OUTPUT}: that is standard output, but a folder is written: name it")


def write_json(json: str | None, results: dict[str, Any]) -> None:
    """Print results as one line of JSON, or write them to a file; ``json`` is the value of ``--json``."""
    if json == STANDARD_OUTPUT:
        print(json_text.dumps(results))
    elif json is not None:
        write_text(Path(json), json_text.dumps(results, indent=2) + "\n")

"""Compiled programs kept on disk: the same command compiles nothing when it is started again."""

import argparse
import contextlib
import glob
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from rnnlm_jax.cli.cache_folder import compiled_folder, processor_id, prune
from rnnlm_jax.cli.parser import Parser
from rnnlm_jax.errors import warn
from rnnlm_jax.jobs.distributed import is_primary
from rnnlm_jax.system.cache_root import NoCacheError, require_writable, warn_unkept

OFF = "off"

ENABLED, FOLDER = "jax_enable_compilation_cache", "jax_compilation_cache_dir"

#: Settings of jax that keep every program, however small or quickly compiled: a command compiles thirty of those.
KEEP_ALL: dict[str, Any] = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}

#: On processors that LLVM tunes for with "+prefer-no-gather", XLA logs an error of 2,000 characters at each program
#: that it reads, since no processor has an instruction set of this name. Nothing is wrong with the program.
LOGGING, QUIET = "jax_logging_level", "CRITICAL"

#: Events that jax records: a program was looked up in the cache; it was found.
REQUEST, HIT = "/jax/compilation_cache/compile_requests_use_cache", "/jax/compilation_cache/cache_hits"

#: jax's warning that a program could not be read or written, with the name of the program.
CACHE_WARNING = re.compile(r"Error (reading|writing) persistent compilation cache entry for '(.*?)': (.*)", re.DOTALL)


def add_argument(parser: Parser) -> None:
    """Add ``--compilation-cache``, for every command that compiles; an advanced option where there are others."""
    help = (
        "folder that keeps compiled programs for the next start, or off [$JAX_COMPILATION_CACHE_DIR] "
        "(default: compiled in $RNNLM_JAX_CACHE or ~/.cache/rnnlm_jax, at most 1 GiB)"
    )
    parser.add_argument(
        "--compilation-cache",
        type=_folder_or_off,
        metavar="DIR",
        help=parser.advanced(help) if parser.has_advanced else help,
    )


def _folder_or_off(word: str) -> str:
    if not word:
        raise argparse.ArgumentTypeError("it is neither a folder nor off")
    return word


@contextlib.contextmanager
def kept_programs(choice: str | None) -> Iterator[None]:
    """Within, read compiled programs from a folder and write newly compiled ones there; at the end, print the counts.

    The counts go to standard error, unless an error was raised. If the folder cannot be written, a warning is printed
    and nothing is kept. Afterwards jax's settings are as before.

    Args:
        choice: the folder, or "off"; None for the folder of ``JAX_COMPILATION_CACHE_DIR`` unless
            ``JAX_ENABLE_COMPILATION_CACHE`` is off, or else a folder in the user's cache.
    """
    folder = _writable_folder(choice)
    if folder is None:
        with _jax_settings({ENABLED: False}):
            yield
        return
    unset = {name: value for name, value in KEEP_ALL.items() if name.upper() not in os.environ}
    if LOGGING.upper() not in os.environ:
        unset[LOGGING] = QUIET
    with (
        _jax_settings({ENABLED: True, FOLDER: folder} | unset),
        _counted_lookups() as counts,
        _handled_warnings(folder) as unwritten,
    ):
        yield
    if unwritten:
        warn(f"not all compiled programs could be kept in {folder} ({unwritten[0]})")
    if is_primary():
        anew = counts[REQUEST] - counts[HIT]
        print(f"rnnlm-jax: {counts[HIT]} compiled programs read from {folder}, {anew} compiled anew", file=sys.stderr)


def _writable_folder(choice: str | None) -> str | None:
    """Make the chosen folder, and return it; None if programs are not or cannot be kept."""
    if choice == OFF or (choice is None and not getattr(jax.config, ENABLED)):
        return None
    named = choice or getattr(jax.config, FOLDER)
    if named and "://" in named:  # jax also writes to buckets
        return named
    try:
        if not named:
            prune(compiled_folder())
        folder = Path(named).expanduser().absolute() if named else compiled_folder() / processor_id()
        require_writable(folder)
    except (OSError, RuntimeError, NoCacheError) as error:  # RuntimeError: ~ of a user without a home
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        if named:
            warn(f"compiled programs cannot be kept ({reason}): give a folder, or off, with --compilation-cache")
        else:
            warn_unkept(reason)
        return None
    return str(folder)


@contextlib.contextmanager
def _jax_settings(values: dict[str, Any]) -> Iterator[None]:
    """Within, change settings of jax."""
    before = {name: getattr(jax.config, name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: dict[str, Any]) -> None:
    changed = {name: value for name, value in values.items() if getattr(jax.config, name) != value}
    for name, value in changed.items():
        jax.config.update(name, value)
    if changed:
        compilation_cache.reset_cache()  # jax reads its settings at the first compilation only


@contextlib.contextmanager
def _counted_lookups() -> Iterator[dict[str, int]]:
    """Count how often jax looks up a compiled program, and how often it finds one."""
    counts = {REQUEST: 0, HIT: 0}

    def count(event: str, **_: Any) -> None:
        if event in counts:
            counts[event] += 1

    jax.monitoring.register_event_listener(count)
    try:
        yield counts
    finally:
        jax.monitoring.unregister_event_listener(count)


@contextlib.contextmanager
def _handled_warnings(folder: str) -> Iterator[list[str]]:
    """Collect the reasons of jax's warnings on writing; delete programs that it cannot read, so that they are replaced.

    A full disk, or a process that is killed while it writes, leaves damaged files, and jax never replaces a file.
    """
    unwritten: list[str] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("always", CACHE_WARNING.pattern)
        show = warnings.showwarning

        def handle(message: Warning | str, *where: Any, **options: Any) -> None:
            found = CACHE_WARNING.match(str(message))
            if found is None:
                show(message, *where, **options)
            elif found[1] == "writing":
                unwritten.append(" ".join(found[3].split()))
            else:
                for path in glob.glob(f"{glob.escape(folder)}/{glob.escape(found[2])}-*-cache"):
                    with contextlib.suppress(OSError):
                        os.unlink(path)

        warnings.showwarning = handle
        yield unwritten

"""Compiled programs kept on disk between starts: the same command compiles nothing the second time."""

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

from rnnlm_jax.cli.cache_folder import own_folder, processor, prune
from rnnlm_jax.errors import warn
from rnnlm_jax.jobs.distributed import is_primary
from rnnlm_jax.system.cache_root import NoCacheError, require_writable, warn_unkept

OFF = "off"

ENABLED, FOLDER = "jax_enable_compilation_cache", "jax_compilation_cache_dir"

#: A program is kept however small, and however quickly compiled: a start compiles thirty such.
KEEP_ALL = {"jax_persistent_cache_min_compile_time_secs": 0.0, "jax_persistent_cache_min_entry_size_bytes": -1}

REQUEST, HIT = "/jax/compilation_cache/compile_requests_use_cache", "/jax/compilation_cache/cache_hits"

#: How jax begins to tell that it could not read or write a program, and which one.
TROUBLE = re.compile(r"Error (reading|writing) persistent compilation cache entry for '(.*?)': (.*)", re.DOTALL)


def add_argument(parser: argparse.ArgumentParser) -> None:
    """The option of every command that compiles."""
    parser.add_argument(
        "--compilation-cache",
        type=_folder_or_off,
        metavar="DIR",
        help="folder that keeps compiled programs for the next start, or off [$JAX_COMPILATION_CACHE_DIR] "
        "(default: compiled in $RNNLM_JAX_CACHE or ~/.cache/rnnlm_jax, at most 1 GiB)",
    )


def _folder_or_off(word: str) -> str:
    if not word:
        raise argparse.ArgumentTypeError("it is neither a folder nor off")
    return word


@contextlib.contextmanager
def kept_programs(choice: str | None) -> Iterator[None]:
    """Read compiled programs from a folder and keep there what has to be compiled; afterwards, say how many of each.

    That line goes to standard error, unless something was raised. Where the folder cannot be written a warning goes
    there, and nothing is kept. Afterwards the settings of jax are as they were.

    Args:
        choice: the folder, or "off"; None for what jax is told by ``JAX_COMPILATION_CACHE_DIR`` and
            ``JAX_ENABLE_COMPILATION_CACHE``, or else a folder among the user's caches.
    """
    folder = _ready_folder(choice)
    if folder is None:
        with _settings({ENABLED: False}):
            yield
        return
    unset = {name: value for name, value in KEEP_ALL.items() if name.upper() not in os.environ}
    with _settings({ENABLED: True, FOLDER: folder} | unset), _counted() as counts, _troubles(folder) as unwritten:
        yield
    if unwritten:
        warn(f"not all compiled programs could be kept in {folder} ({unwritten[0]})")
    if is_primary():
        anew = counts[REQUEST] - counts[HIT]
        print(f"rnnlm-jax: {counts[HIT]} compiled programs read from {folder}, {anew} compiled anew", file=sys.stderr)


def _ready_folder(choice: str | None) -> str | None:
    """The folder, made and known to be writable; None for no folder."""
    if choice == OFF or (choice is None and not getattr(jax.config, ENABLED)):
        return None
    told = choice or getattr(jax.config, FOLDER)
    if told and "://" in told:  # jax also writes to buckets
        return told
    try:
        if not told:
            prune(own_folder())
        folder = Path(told).expanduser().absolute() if told else own_folder() / processor()
        require_writable(folder)
    except (OSError, RuntimeError, NoCacheError) as error:  # RuntimeError: ~ of a user without a home
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        if told:
            warn(f"compiled programs cannot be kept ({reason}): give a folder, or off, with --compilation-cache")
        else:
            warn_unkept(reason)
        return None
    return str(folder)


@contextlib.contextmanager
def _settings(values: dict[str, Any]) -> Iterator[None]:
    """Settings of jax, for a while."""
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
        compilation_cache.reset_cache()  # jax looks at its settings when it first compiles, and then no more


@contextlib.contextmanager
def _counted() -> Iterator[dict[str, int]]:
    """How often jax asked for a compiled program, and how often it found one."""
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
def _troubles(folder: str) -> Iterator[list[str]]:
    """Why programs could not be written, in place of a warning each; what cannot be read is deleted, to be made anew.

    A full disk, or a process that is killed while it writes, leaves damaged files, and jax never replaces a file.
    """
    unwritten: list[str] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("always", TROUBLE.pattern)
        show = warnings.showwarning

        def look(message: Warning | str, *where: Any, **options: Any) -> None:
            trouble = TROUBLE.match(str(message))
            if trouble is None:
                show(message, *where, **options)
            elif trouble[1] == "writing":
                unwritten.append(" ".join(trouble[3].split()))
            else:
                for path in glob.glob(f"{glob.escape(folder)}/{glob.escape(trouble[2])}-*-cache"):
                    with contextlib.suppress(OSError):
                        os.unlink(path)

        warnings.showwarning = look
        yield unwritten

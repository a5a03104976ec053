"""Work that several processes share through a folder: a result file and a lock for each job."""

import json
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rnnlm_jax.errors import ConfigError, UserError
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.system.file_lock import LockHeldError, file_lock


class Job(NamedTuple):
    """A piece of work with one result."""

    name: str
    file: Path
    """The file of the result, JSON; the job is done if it exists."""
    run: Callable[[], dict[str, Any]]
    """Does the work and returns the result."""


class Left(NamedTuple):
    """Names of the jobs without a result."""

    busy: list[str]
    """Another process is at work on them."""
    failed: list[str]


def run_jobs(jobs: Iterable[Job]) -> Left:
    """Run the jobs that are not done, and write each result completely or not at all.

    A job that another process has locked is left to it. The lock ends with the process, even if that is killed, so
    that the job can be run again. A job that fails is reported, and run again by the next call; the others go on.

    Returns:
        The jobs of the list that are still without a result.
    """
    busy, failed = [], []
    for job in jobs:
        job.file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with file_lock(job.file.with_name(f".{job.file.name}.lock"), wait=False):
                if not job.file.exists():  # another process may have done it by now
                    write_json(job.file, job.run())
        except LockHeldError:
            busy.append(job.name)
        except UserError as error:
            print(f"error: {job.name}: {error}", file=sys.stderr)
            failed.append(job.name)
        except Exception:  # of one cell; a night's work on the others should not end with it
            print(f"error: {job.name} failed, and is left out:\n{traceback.format_exc()}", file=sys.stderr)
            failed.append(job.name)
    return Left(busy, failed)


def results(folder: Path, pattern: str = "*.json") -> list[dict[str, Any]]:
    """Return the results in a folder, in the order of their paths."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob(pattern))]


def require_recipe(found: Iterable[dict[str, Any]], wanted: dict[str, Any], runs: Path) -> None:
    """Check that results were made by a recipe.

    Args:
        found: results, each with its ``recipe``.
        wanted: the recipe as JSON has it.
        runs: the folder of the results.

    Raises:
        ConfigError: if one was made by another recipe.
    """
    for result in found:
        changed = [key for key, value in wanted.items() if result["recipe"].get(key) != value]
        if changed:
            key = changed[0]
            raise ConfigError(
                f"{runs} has results of {key} {result['recipe'].get(key)}, not {wanted[key]}: give another `runs`"
            )

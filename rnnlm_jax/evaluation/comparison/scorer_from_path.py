"""Open a model by its path: the folder of a trained run, or the file of an n-gram model."""

from collections.abc import Sequence
from pathlib import Path

from rnnlm_jax.errors import ArgumentError, CheckpointError
from rnnlm_jax.evaluation.comparison.counted_model import open_counted_model
from rnnlm_jax.evaluation.comparison.scorer import Scorer
from rnnlm_jax.evaluation.comparison.trained_run import open_trained_run


def open_scorer(
    path: str | Path, name: str | None = None, *, checkpoint: str = "best", horizons: str | Path | None = None
) -> Scorer:
    """Return the model at a path, ready to score.

    Args:
        path: folder of a run, or file of an n-gram model.
        name: name in tables; the last part of the path by default.
        checkpoint: "best" or "last", for a run.
        horizons: folder that ``rnnlm-jax jacobians`` wrote, with a folder of this run in it.

    Raises:
        CheckpointError: if the path is missing, or the run is damaged or has parameters that are not finite.
        DataError: if the file does not hold an n-gram model.
    """
    path = Path(path)
    name = _base_name(path) if name is None else name
    if path.is_dir():
        return open_trained_run(path, name, checkpoint=checkpoint, horizons=horizons)
    if not path.exists():
        raise CheckpointError(f"no model at {path}: give the folder of a run, or a model file of rnnlm-jax ngram train")
    return open_counted_model(path, name)


def names_from_paths(paths: Sequence[str | Path]) -> list[str]:
    """Return a name for each path: its last part, or the whole path if two paths share the last part.

    Raises:
        ArgumentError: if one path is given twice.
    """
    resolved = [Path(path).resolve() for path in paths]
    for position, path in enumerate(resolved):
        if path in resolved[:position]:
            raise ArgumentError(f"{paths[position]} is given twice: give each model once")
    bases = [_base_name(Path(path)) for path in paths]
    return [base if bases.count(base) == 1 else str(path) for base, path in zip(bases, paths, strict=True)]


def _base_name(path: Path) -> str:
    """Return the last part of a path without its suffix: ``small`` for ``runs/small`` and ``models/small.npz``."""
    if path.is_file() or path.is_dir():  # not a pipe, whose resolved name is meaningless
        path = path.resolve()
    return path.name if path.is_dir() else path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name

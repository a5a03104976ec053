"""Models by their paths: the folder of a run, or the file of a model of counts."""

from collections.abc import Sequence
from pathlib import Path

from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.comparison.counted_model import open_counted_model
from rnnlm_jax.evaluation.comparison.scorer import Scorer
from rnnlm_jax.evaluation.comparison.trained_run import open_trained_run


def open_scorer(
    path: str | Path, name: str | None = None, checkpoint: str = "best", horizons: str | Path | None = None
) -> Scorer:
    """The model at a path, ready to score.

    Args:
        path: the folder of a run, or a model file.
        name: how tables call it; unless given, the last part of its path.
        checkpoint: of a run, "best" or "last".
        horizons: a folder of ``rnnlm-jax jacobians``, with that of a run in it.

    Raises:
        UserError: if there is nothing, or it is no model, is damaged, or holds parameters that are not finite.
    """
    path = Path(path)
    name = _base(path) if name is None else name
    if path.is_dir():
        return open_trained_run(path, name, checkpoint, horizons)
    if not path.exists():
        raise UserError(f"there is no model {path}: give the folder of a run, or a model file of rnnlm-jax ngram train")
    return open_counted_model(path, name)


def names_from_paths(paths: Sequence[str | Path]) -> list[str]:
    """A name for each path: its last part, or all of it where two share that.

    Raises:
        UserError: if one path is given twice.
    """
    resolved = [Path(path).resolve() for path in paths]
    for place, path in enumerate(resolved):
        if path in resolved[:place]:
            raise UserError(f"{paths[place]} is given twice: give each model once")
    bases = [_base(Path(path)) for path in paths]
    return [base if bases.count(base) == 1 else str(path) for base, path in zip(bases, paths, strict=True)]


def _base(path: Path) -> str:
    """``runs/small`` and ``models/small.npz`` are both called small."""
    if path.is_file() or path.is_dir():  # and no pipe, whose resolved name says nothing
        path = path.resolve()
    return path.name if path.is_dir() else path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name

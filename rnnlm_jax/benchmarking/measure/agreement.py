"""Whether candidates compute the same: checked before anything is timed."""

import numpy as np

from rnnlm_jax.benchmarking.measure.candidate import Numbers
from rnnlm_jax.errors import WeightsError

#: dtype of matrix products -> largest accepted difference, relative to the largest entry of an array. With bfloat16
#: products, libraries round at different places, and a recurrence amplifies the differences.
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.1}

#: The same where float32 products have fewer digits by default, as on GPUs (TF32).
FAST_PRODUCTS = 0.02


def tolerance(dtype: str, platform: str) -> float:
    """Return the largest accepted difference for products of a dtype on a platform."""
    return TOLERANCES[dtype] if platform == "cpu" else max(TOLERANCES[dtype], FAST_PRODUCTS)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return ``max |theirs - ours| / max |ours|``; infinity for another shape, or numbers that are not finite."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape or not np.isfinite(theirs).all():
        return np.inf
    largest = np.abs(ours).max()
    return float(np.abs(theirs - ours).max() / largest) if largest > 0 else float(np.abs(theirs).max())


def check_equal(name: str, work: str, ours: Numbers, *, theirs: Numbers, allowed: float) -> None:
    """Check that a candidate's arrays equal ours; arrays that it lacks are not compared.

    Args:
        name: name of the candidate.
        work: description of the comparison.
        ours: arrays of this library, by name.
        theirs: arrays of the candidate.
        allowed: largest accepted relative difference.

    Raises:
        WeightsError: naming the array that differs most, and the difference.
    """
    found = {what: difference(ours[what], array) for what, array in theirs.items()}
    worst = max(found, key=lambda what: found[what])
    if not found[worst] <= allowed:
        raise WeightsError(
            f"{name} computes something else than ours in {work}: {worst} differs by {found[worst]:.2g} of its "
            f"largest value, more than {allowed:g}; leave {name} out, or correct its conversion"
        )

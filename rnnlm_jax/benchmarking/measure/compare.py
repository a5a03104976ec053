"""Numbers before times: whoever computes something else is not compared."""

import numpy as np

from rnnlm_jax.benchmarking.measure.subject import Numbers
from rnnlm_jax.errors import UserError

#: The largest difference, relative to the largest number of an array, that is no disagreement. With bfloat16 products
#: libraries round at different places, and a recurrence amplifies that.
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.1}

#: Where float32 products are by default of fewer digits, as those of GPUs (TF32) are.
FAST_PRODUCTS = 0.02


def tolerance(dtype: str, platform: str) -> float:
    """What is asked of results with products of this type on this platform."""
    return TOLERANCES[dtype] if platform == "cpu" else max(TOLERANCES[dtype], FAST_PRODUCTS)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """``max |theirs - ours| / max |ours|``; infinite for another shape, or numbers that are not finite."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape or not np.isfinite(theirs).all():
        return np.inf
    largest = np.abs(ours).max()
    return float(np.abs(theirs - ours).max() / largest) if largest > 0 else float(np.abs(theirs).max())


def check_equal(name: str, work: str, ours: Numbers, theirs: Numbers, allowed: float) -> None:
    """Check that a subject's numbers are ours, as far as it has them.

    Raises:
        UserError: naming the array that differs most, and by how much.
    """
    found = {what: difference(ours[what], array) for what, array in theirs.items()}
    worst = max(found, key=lambda what: found[what])
    if not found[worst] <= allowed:
        raise UserError(
            f"{name} computes something else than ours in {work}: {worst} differs by {found[worst]:.2g} of its "
            f"largest value, more than {allowed:g}; leave {name} out, or mend its conversion"
        )

"""The time that the loss of one cluster of words takes on a device: a formula, and its constants by measurement."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array
from rnnlm_jax.compilation import jit
from rnnlm_jax.outputs.training_loss import weighted_nats


@dataclass(frozen=True)
class ProductCost:
    """``g(k, B, d) = max(c + λ k₀B₀, c + λ k B (d + e)) + ν k d`` in seconds, for B rows of d units over k words.

    It is the cost of Grave et al. (2017, section 4.1), flat until a product is large enough to keep the device busy,
    with two more terms: the exponential of each logit, and a cost of the matrix by its size alone, because the update
    reads and writes all of it, however few rows a batch has.
    """

    overhead: float
    """c: seconds per product, however small."""
    per_multiplication: float
    """λ: seconds per multiplication."""
    per_word: float
    """e: multiplications that take as long as a logit's exponential."""
    per_parameter: float
    """ν: seconds per parameter."""
    least: float = 0.0
    """k₀B₀: multiplications below which the time does not fall."""

    def __call__(
        self, words: np.ndarray | int, rows: np.ndarray | float, units: np.ndarray | int
    ) -> np.ndarray | float:
        """Return seconds, for numbers or arrays of them."""
        work = np.maximum(np.multiply(words, rows) * (units + self.per_word), self.least)
        return self.overhead + self.per_multiplication * work + self.per_parameter * np.multiply(words, units)


#: Words, rows and units that are timed; the last case is like a cluster of rare words.
GRID = (
    *((words, rows, units) for words in (2**10, 2**14) for rows in (32, 256) for units in (8, 64, 512)),
    (2**17, 64, 8),
)


def fit_cost(cases: Sequence[tuple[int, int, int]], seconds: Sequence[float]) -> ProductCost:
    """Return the cost with the least relative error, its constants not negative.

    Args:
        cases: ``(words, rows, units)`` of each measurement.
        seconds: time of each.
    """
    words, rows, units = np.asarray(cases, np.float64).T
    times = np.asarray(seconds, np.float64)
    best: tuple[float, ProductCost] | None = None
    for least in (0.0, *np.unique(words * rows * units)):  # the end of the flat part
        work = np.maximum(words * rows * units, least)
        table = np.stack([np.ones_like(times), work, words * rows, words * units], axis=1)
        c, slope, per_logit, per_parameter = _nonnegative_least_squares(table / times[:, None], np.ones_like(times))
        if slope <= 0:
            continue
        cost = ProductCost(float(c), float(slope), float(per_logit / slope), float(per_parameter), float(least))
        error = float(np.square(np.log(cost(words, rows, units) / times)).sum())
        if best is None or error < best[0] - 1e-9:
            best = error, cost
    assert best is not None, "no time grows with the work"
    return best[1]


def _nonnegative_least_squares(table: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the coefficients, none negative, of the least squares of a few columns (Lawson & Hanson 1974)."""
    from scipy.optimize import nnls

    scale = np.linalg.norm(table, axis=0)
    return nnls(table / scale, wanted)[0] / scale


def measure_cost(repeats: int = 3, dtype: str | np.dtype | type = jnp.float32) -> ProductCost:
    """Return the cost of loss, gradient and plain update on the default device, timed over ``GRID`` in some seconds."""

    def step(h: Array, w: Array, targets: Array) -> tuple[Array, Array]:
        ones, zeros = jnp.ones(len(h), w.dtype), jnp.zeros(w.shape[1], w.dtype)
        dh, dw = jax.grad(weighted_nats, (0, 1))(h, w, zeros, targets, ones, by_word=False)
        return dh, w - 0.1 * dw

    run = jit(step, donate_argnums=1)
    seconds = []
    for words, rows, units in GRID:
        h, w = jnp.ones((rows, units), dtype), jnp.zeros((units, words), dtype)
        targets = jnp.arange(rows, dtype=jnp.int32) % words
        _, w = jax.block_until_ready(run(h, w, targets))
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            _, w = jax.block_until_ready(run(h, w, targets))
            times.append(time.perf_counter() - start)
        seconds.append(min(times))
    return fit_cost(GRID, seconds)

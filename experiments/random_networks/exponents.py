"""Measure the Lyapunov exponents of ``x ← J tanh x``, J_ij ~ N(0, g²/N), and compare with mean-field theory.

python -m experiments.random_networks.exponents
"""

import math
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from rnnlm_jax import cells
from rnnlm_jax.cells import ElmanParams, ElmanState
from rnnlm_jax.jacobians import LyapunovSpectrum, lyapunov_spectrum
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.training.results import environment

RESULTS = Path(__file__).parent / "results.json"
GAINS = (1.2, 1.5, 2.0, 3.0, 5.0, 10.0)

#: Units and steps, after a tenth as many for burn-in: for the largest exponents; for the whole spectrum at g = 3.
LARGEST, WHOLE = (1000, 3000), (512, 600)


def mean_field(gain: float) -> dict[str, float]:
    """Return ``λ_1 = ½ ln(g²⟨φ'²⟩)`` and the mean of all exponents, ``ln g - ½ + ⟨ln φ'⟩``, for N → ∞.

    The averages are over ``x ~ N(0, σ²)`` with ``σ² = g²⟨tanh² x⟩``: successive states are independent in this limit.
    """
    nodes = np.linspace(-10.0, 10.0, 200_001)  # fine enough for slopes far narrower than σ
    weights = np.exp(-0.5 * nodes**2)
    weights /= weights.sum()
    variance = gain**2
    for _ in range(300):
        variance = gain**2 * float(weights @ np.tanh(math.sqrt(variance) * nodes) ** 2)
    x = math.sqrt(variance) * nodes
    log_slope = 2 * (math.log(2) - np.abs(x) - np.log1p(np.exp(-2 * np.abs(x))))
    return {
        "largest": 0.5 * math.log(gain**2 * float(weights @ np.exp(2 * log_slope))),
        "mean": math.log(gain) - 0.5 + float(weights @ log_slope),
    }


def measured(gain: float, units: int, steps: int, *, count: int | None, seed: int = 0) -> LyapunovSpectrum:
    """Return the exponents of one network; ``h' = tanh(J h)`` has the same as ``x' = J tanh x``."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        weights = jnp.asarray(gain * rng.normal(size=(units, units)) / math.sqrt(units))
        cell = cells.elman(units, bias=False, param_dtype="float64")
        params = ElmanParams(jnp.zeros((1, units)), weights, None)
        state, burn_in = ElmanState(jnp.asarray(rng.normal(size=units))), steps // 10
        xs = jnp.zeros((steps + burn_in, 1))

        @jax.jit
        def exponents(params: Any) -> LyapunovSpectrum:
            return lyapunov_spectrum(cell, params, state, xs, key=jax.random.key(0), count=count, burn_in=burn_in)

        return jax.device_get(exponents(params))


def main() -> int:
    """Measure the exponents, print the table, and write ``results.json``."""
    rows = []
    print(f"{'g':>5} {'λ_1':>9} {'±':>8} {'theory':>9}   {'mean of all':>11} {'theory':>9}   N = {LARGEST[0]}")
    for gain in tqdm(GAINS, leave=False):
        found, theory = measured(gain, *LARGEST, count=1), mean_field(gain)
        assert found.mean_log_abs_det is not None
        row = {
            "gain": gain,
            "largest": float(found.exponents[0]),
            "standard_error": float(found.standard_errors[0]),
            "mean": float(found.mean_log_abs_det) / LARGEST[0],
            "theory": theory,
        }
        rows.append(row)
        tqdm.write(
            f"{gain:5.1f} {row['largest']:9.5f} {row['standard_error']:8.5f} {theory['largest']:9.5f}   "
            f"{row['mean']:11.5f} {theory['mean']:9.5f}"
        )
    units, steps = WHOLE
    found = measured(3.0, units, steps, count=None)
    whole = {
        "gain": 3.0,
        "units": units,
        "steps": steps,
        "largest": float(found.exponents[0]),
        "mean": float(np.mean(found.exponents)),
        "mean_log_abs_det": float(found.mean_log_abs_det or 0.0) / units,
        "kaplan_yorke_dimension_over_units": float(found.kaplan_yorke_dimension) / units,
    }
    print(", ".join(f"{name} {value:.6g}" for name, value in whole.items()))
    settings = {"largest": LARGEST, "whole": WHOLE}
    write_json(
        RESULTS, {"environment": environment(), "units_and_steps": settings, "rows": rows, "whole_spectrum": whole}
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

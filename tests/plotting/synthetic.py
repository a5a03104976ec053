"""Synthetic measurements like those of real networks, with their exact zeros and gaps."""

import json

import numpy as np

from rnnlm_jax.plotting import Measurement

LARGEST_LAG = 120
SPECTRUM_LAGS = (1, 2, 5, 10, 20, 50, 100)


def measured(folder, kind="lstm", seed=0, sequences=4, n=40, scale=1.0, step=1000):
    """Arrays and facts of an ``elman``, ``gru`` or ``lstm``; ``scale`` stretches its memory."""
    rng = np.random.default_rng(seed)
    lag = np.arange(LARGEST_LAG + 1)
    rate = {"elman": 0.35, "gru": 0.12, "lstm": 0.08}[kind] / scale
    arrays = {"lag": lag, "context": np.array([1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 200])}

    def norms(rate, power, columns):
        steps = rng.normal(-rate, 0.25, (64, columns)).cumsum(1) - power * np.log1p(lag[:columns])
        return steps - steps[:, :1] + rng.normal(-1, 0.6, (64, 1))

    arrays["log_norm_hidden"] = norms(rate, 0.8, len(lag))
    arrays["log_norm_hidden"][3, 40:] = -np.inf  # the beginning of the text
    arrays["log_norm_hidden"][5] = -np.inf  # a loss with zero gradient
    arrays["log_norm_inputs"] = np.pad(
        norms(rate, 0.9, len(lag) - 1), [(0, 0), (0, 1)], constant_values=np.nan
    )  # lags 0 … L-1
    if kind == "lstm":
        arrays["log_norm_cell"] = norms(rate * 0.8, 0.3, len(lag))
        arrays["log_norm_cell"][:, 0] = -np.inf  # the output does not read it
    if kind in ("gru", "lstm"):
        arrays["log_norm_carousel"] = norms(rate * 0.7, 0.2, len(lag))
        arrays["log_norm_carousel"][:, 0] = -np.inf
    else:
        arrays |= {"log_bound_sigma": lag * np.log(1.3), "log_bound_rho": lag * np.log(0.9)}
    excess = 0.04 / (rate * arrays["context"] ** 1.4)
    arrays |= {"full_nats": np.array(4.6), "context_nats": 4.6 + excess}
    arrays |= _spectra(rng, kind, sequences, n, rate)
    levels = {"1/e": np.exp(-1), "1%": 0.01}
    horizons = {
        part: {name: first_below(mean_ratio(arrays[f"log_norm_{part}"]), level) for name, level in levels.items()}
        for part in ("hidden", "cell", "inputs")
        if f"log_norm_{part}" in arrays
    }
    near = {name: first_below(excess, np.log1p(t)) for name, t in (("1%", 0.01), ("5%", 0.05))}
    context = {name: None if at is None else int(arrays["context"][at]) for name, at in near.items()}
    facts = {
        "name": folder.name,
        "run": f"runs/{folder.name}",
        "cell": kind,
        "step": step,
        "data": "ptb.valid",
        "horizons": horizons,
        "context_horizon": context,
        "largest_lag": LARGEST_LAG,
    }
    return Measurement(folder, arrays, facts)


def mean_ratio(log_norms):
    """The mean norm over positions relative to that at the first lag where it is not zero, by its definition."""
    norms = np.exp(log_norms).mean(axis=0)
    return norms / next(norm for norm in norms if norm > 0)


def first_below(curve, level):
    """The index from which on a curve stays at or below a level, or None."""
    above = [index for index, value in enumerate(curve) if value > level]
    if not above:
        return 0
    return None if above[-1] == len(curve) - 1 else above[-1] + 1


def _spectra(rng, kind, sequences, n, rate):
    exponents = -rate / 4 - 0.9 * (np.arange(n) / n) ** 2
    lags = np.array(SPECTRUM_LAGS)
    noise = rng.normal(0, 0.5, (sequences, len(lags), n)) * np.sqrt(lags)[:, None] * 0.3
    logs = -np.sort(-(exponents * lags[:, None] + noise), axis=2)
    trusted = np.full((sequences, len(lags)), n)
    if kind == "lstm":
        logs[:, -2:, -n // 4 :] = -np.inf
        trusted[:, -1] = n // 2
    eigenvalues = rng.normal(0, 0.35, (16, n)) + 1j * rng.normal(0, 0.35, (16, n))
    return {
        "spectrum_lag": lags,
        "log_singular_values": logs,
        "trusted": trusted,
        "step_eigenvalues": eigenvalues,
        "lyapunov_exponents": exponents,
        "lyapunov_standard_errors": np.full(n, 0.02),
    }


def write(measurement):
    """The two files, in the folder of the measurement."""
    measurement.folder.mkdir(parents=True, exist_ok=True)
    np.savez(measurement.folder / "jacobians.npz", **measurement.arrays)
    (measurement.folder / "jacobians.json").write_text(json.dumps(measurement.facts))
    return measurement.folder

"""Draw figures of result files: curves, decay, spectra, eigenvalues, horizons, minimal pairs, phases, benchmarks.

    plotting.learning_curve([Path("runs/lstm/metrics.jsonl")], ["lstm"], Path("curve.png"))
    plotting.spectra(Path("jacobians/lstm"), Path("spectra.pdf"))          # of rnnlm-jax jacobians --out jacobians

Each function writes a PNG, PDF or SVG file, by the suffix of its path; ``draw_…`` returns the matplotlib figure.
Only this package imports matplotlib, and only when it draws.
"""

from rnnlm_jax.plotting.benchmark import benchmark, draw_benchmark
from rnnlm_jax.plotting.decay import decay_curves, draw_decay_curves
from rnnlm_jax.plotting.eigenvalues import draw_eigenvalues, eigenvalues
from rnnlm_jax.plotting.horizons import draw_horizons, horizons
from rnnlm_jax.plotting.learning_curve import draw_learning_curve, learning_curve, read_metrics
from rnnlm_jax.plotting.learning_rate import draw_learning_rate_schedule, learning_rate_schedule
from rnnlm_jax.plotting.measurements import Measurement, read_measurement
from rnnlm_jax.plotting.pair_accuracy import draw_pair_accuracy, pair_accuracy
from rnnlm_jax.plotting.phases import draw_phase_diagram, phase_diagram
from rnnlm_jax.plotting.spectra import draw_spectra, spectra
from rnnlm_jax.plotting.spectrum_history import draw_spectrum_history, spectrum_history
from rnnlm_jax.plotting.style import save

__all__ = [
    "Measurement",
    "benchmark",
    "decay_curves",
    "draw_benchmark",
    "draw_decay_curves",
    "draw_eigenvalues",
    "draw_horizons",
    "draw_learning_curve",
    "draw_learning_rate_schedule",
    "draw_pair_accuracy",
    "draw_phase_diagram",
    "draw_spectra",
    "draw_spectrum_history",
    "eigenvalues",
    "horizons",
    "learning_curve",
    "learning_rate_schedule",
    "pair_accuracy",
    "phase_diagram",
    "read_measurement",
    "read_metrics",
    "save",
    "spectra",
    "spectrum_history",
]

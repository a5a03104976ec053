"""The linear recurrent unit of Orvieto et al. 2023, in real numbers: 60-digit ones can run through it as well."""

import numpy as np


def step(p, x, state):
    """Eq. 7: ``λ = exp(-exp(ν) + i exp(θ))``, ``h = λ h + exp(γ) B x``, ``y = Re(C h) + D x``."""
    re, im = state
    radius, phase = np.exp(-np.exp(p["nu"])), np.exp(p["theta"])
    gamma = np.exp(p["gamma"])
    new_re = radius * (np.cos(phase) * re - np.sin(phase) * im) + gamma * (p["B_re"] @ x)
    new_im = radius * (np.sin(phase) * re + np.cos(phase) * im) + gamma * (p["B_im"] @ x)
    return (new_re, new_im), p["C_re"] @ new_re - p["C_im"] @ new_im + p["D"] @ x


def papers_parameters(params):
    b_re, b_im = np.split(params["w_x"].T, 2)
    skip = params["w_skip"]
    return {
        "nu": params["log_nu"],
        "theta": params["log_theta"],
        "gamma": params["log_gamma"],
        "B_re": b_re,
        "B_im": b_im,
        "C_re": params["w_real"].T,
        "C_im": params["w_imag"].T,
        "D": np.diag(skip) if skip.ndim == 1 else skip.T,
    }


CELLS = {"lru": (step, papers_parameters)}

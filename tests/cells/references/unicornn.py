"""Rusch & Mishra 2021 (UnICORNN); Δt = 0.19 and α = 30.65, the library's defaults."""

import numpy as np


def step(p, x, state):
    y, z = state
    time_step = 0.19 * (0.5 + 0.5 * np.tanh(p["c"] / 2.0))
    z = z - time_step * (np.tanh(p["w"] * y + p["V"] @ x + p["b"]) + 30.65 * y)
    y = y + time_step * z
    return (y, z), y


def papers_parameters(fields):
    return {"V": fields["w_x"].T, "b": fields["b"], "w": fields["w"], "c": fields["c"]}


CELLS = {"unicornn": (step, papers_parameters)}

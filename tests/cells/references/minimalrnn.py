"""Chen 2017 (MinimalRNN, arXiv:1711.06788); Chen, Pennington & Schoenholz 2018."""

import numpy as np


def step(p, x, state):
    (h,) = state
    z = np.tanh(p["W_x"] @ x + p["b_z"])
    u = 1.0 / (1.0 + np.exp(-(p["U_h"] @ h + p["U_z"] @ z + p["b_u"])))
    h = u * h + (1.0 - u) * z
    return (h,), h


def papers_parameters(fields):
    matrices = {"W_x": fields["w_x"].T, "U_h": fields["w_h"].T, "U_z": fields["w_n"].T}
    return matrices | {"b_z": fields["b"], "b_u": fields["b_u"]}


CELLS = {"minimalrnn": (step, papers_parameters)}

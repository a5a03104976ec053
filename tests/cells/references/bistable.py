"""Vecoven, Ernst & Drion 2021; biases of the two gates as in the authors' code."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def bistable(p, x, h, feedback_from_state, gate_from_state):
    a = 1.0 + np.tanh(p["U_a"] @ x + feedback_from_state + p["b_a"])
    c = sigmoid(p["U_c"] @ x + gate_from_state + p["b_c"])
    h = c * h + (1.0 - c) * np.tanh(p["U"] @ x + a * h)
    return (h,), h


def brc(p, x, state):
    (h,) = state
    return bistable(p, x, h, p["w_a"] * h, p["w_c"] * h)


def nbrc(p, x, state):
    (h,) = state
    return bistable(p, x, h, p["W_a"] @ h, p["W_c"] @ h)


def maps(fields):
    p = dict(zip(("U_a", "U_c", "U"), np.split(fields["w_x"].T, 3), strict=True))
    return p | dict(zip(("b_a", "b_c"), np.split(fields["b"], 2), strict=True))


def brc_parameters(fields):
    return maps(fields) | {"w_a": fields["diag_r"], "w_c": fields["diag_u"]}


def nbrc_parameters(fields):
    return maps(fields) | dict(zip(("W_a", "W_c"), np.split(fields["w_h"].T, 2), strict=True))


CELLS = {"brc": (brc, brc_parameters), "nbrc": (nbrc, nbrc_parameters)}

"""Cells with one gate, from their papers."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def relu(a):
    return np.where(a > 0, a, 0.0)


def mgu(p, x, state):
    """Zhou et al. 2016: the forget gate f, here u, weighs the state before the product and the sum."""
    (h,) = state
    gate = sigmoid(p["W_u"] @ x + p["U_u"] @ h + p["b_u"])
    candidate = np.tanh(p["W_n"] @ x + p["U_n"] @ (gate * h) + p["b_n"])
    h = (1.0 - gate) * h + gate * candidate
    return (h,), h


def janet(p, x, state):
    """van der Westhuizen & Lasenby 2018: s is the forget gate's preactivation, β is 1."""
    (c,) = state
    s = p["W_f"] @ x + p["U_f"] @ c + p["b_f"]
    candidate = np.tanh(p["W_n"] @ x + p["U_n"] @ c + p["b_n"])
    c = sigmoid(s) * c + (1.0 - sigmoid(s - 1.0)) * candidate
    return (c,), c


def ligru(p, x, state):
    """Ravanelli et al. 2018 without batch normalisation: no reset gate, a rectified candidate."""
    (h,) = state
    keep = sigmoid(p["W_u"] @ x + p["U_u"] @ h + p["b_u"])
    candidate = relu(p["W_n"] @ x + p["U_n"] @ h + p["b_n"])
    h = keep * h + (1.0 - keep) * candidate
    return (h,), h


def ugrnn(p, x, state):
    """Collins, Sohl-Dickstein & Sussillo 2017."""
    (h,) = state
    keep = sigmoid(p["W_f"] @ x + p["U_f"] @ h + p["b_f"])
    candidate = np.tanh(p["W_n"] @ x + p["U_n"] @ h + p["b_n"])
    h = keep * h + (1.0 - keep) * candidate
    return (h,), h


def ligru_candidate(p, x, state):
    """What the rectifier has a kink in."""
    return p["W_n"] @ x + p["U_n"] @ state[0] + p["b_n"]


KINKS = {"ligru": ligru_candidate}
CELLS = {"mgu": (mgu, "un"), "janet": (janet, "fn"), "ligru": (ligru, "un"), "ugrnn": (ugrnn, "fn")}

"""LSTMs whose input and state meet in products: the multiplicative LSTM and the Mogrifier, from their papers."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def lstm(p, x, h, c):
    """The gates and the new state, from whatever stands for input and hidden state."""
    a = {gate: p[f"W_{gate}"] @ x + p[f"U_{gate}"] @ h + p[f"b_{gate}"] for gate in "ifgo"}
    c = sigmoid(a["f"]) * c + sigmoid(a["i"]) * np.tanh(a["g"])
    h = sigmoid(a["o"]) * np.tanh(c)
    return (h, c), h


def multiplicative_lstm(p, x, state):
    """Krause et al. 2016: m takes the place of h."""
    h, c = state
    return lstm(p, x, (p["W_mx"] @ x) * (p["W_mh"] @ h), c)


def mogrifier_lstm(p, x, state):
    """Melis et al. 2020, eqs. 1-2 with the biases of the authors' code; rounds count from 1, odd ones scale x."""
    h, c = state
    r = 1
    while f"Q{r}" in p or f"R{r}" in p:
        if r % 2 == 1:
            x = 2.0 * sigmoid(p[f"Q{r}"] @ h + p[f"bQ{r}"]) * x
        else:
            h = 2.0 * sigmoid(p[f"R{r}"] @ x + p[f"bR{r}"]) * h
        r += 1
    return lstm(p, x, h, c)


def gates(w_x, w_h, b):
    units = len(b) // 4
    p = {}
    for n, gate in enumerate("ifgo"):
        columns = slice(n * units, (n + 1) * units)
        p[f"W_{gate}"], p[f"U_{gate}"], p[f"b_{gate}"] = w_x[:, columns].T, w_h[:, columns].T, b[columns]
    return p


def multiplicative_parameters(params):
    maps = {"W_mx": params["w_mx"].T, "W_mh": params["w_mh"].T}
    return gates(params["w_x"], params["w_m"], params["b"]) | maps


def mogrifier_parameters(params):
    """Full rank: block k of ``w_q`` and ``b_q`` is of round 2k + 1, and of ``w_r`` and ``b_r`` of round 2k + 2."""
    inputs, units = params["w_x"].shape[0], params["w_h"].shape[0]
    p = gates(params["w_x"], params["w_h"], params["b"])
    for name, size, first in (("Q", inputs, 1), ("R", units, 2)):
        w, b = params.get(f"w_{name.lower()}"), params.get(f"b_{name.lower()}")
        for k in range(0 if b is None else len(b) // size):
            columns = slice(k * size, (k + 1) * size)
            p[f"{name}{first + 2 * k}"], p[f"b{name}{first + 2 * k}"] = w[:, columns].T, b[columns]
    return p


CELLS = {
    "multiplicative-lstm": (multiplicative_lstm, multiplicative_parameters),
    "mogrifier-lstm": (mogrifier_lstm, mogrifier_parameters),
}

"""Danieli et al. 2025 (ParaRNN, arXiv:2510.21450): recurrent matrices are diagonal."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def gru(p, x, state):
    (h,) = state
    z = sigmoid(np.diag(p["A_u"]) @ h + p["B_u"] @ x + p["b_u"])
    r = sigmoid(np.diag(p["A_r"]) @ h + p["B_r"] @ x + p["b_r"])
    candidate = np.tanh(np.diag(p["A_n"]) @ (h * r) + p["B_n"] @ x + p["b_n"])
    h = (1.0 - z) * h + z * candidate
    return (h,), h


def lstm(p, x, state):
    """The forget gate sees the old cell, the output gate the new one; the input gate is 1 - f."""
    h, c = state
    f = sigmoid(np.diag(p["A_f"]) @ h + p["B_f"] @ x + np.diag(p["C_f"]) @ c + p["b_f"])
    candidate = np.tanh(np.diag(p["A_g"]) @ h + p["B_g"] @ x + p["b_g"])
    c = f * c + (1.0 - f) * candidate
    o = sigmoid(np.diag(p["A_o"]) @ h + p["B_o"] @ x + np.diag(p["C_o"]) @ c + p["b_o"])
    h = o * np.tanh(c)
    return (h, c), h


def papers_parameters(gates):
    def of(fields):
        p = {}
        maps, biases = np.split(fields["w_x"].T, len(gates)), np.split(fields["b"], len(gates))
        for gate, matrix, bias in zip(gates, maps, biases, strict=True):
            p |= {f"B_{gate}": matrix, f"b_{gate}": bias, f"A_{gate}": fields[f"diag_{gate}"]}
        return p | {f"C_{name[-1]}": value for name, value in fields.items() if name.startswith("peep")}

    return of


CELLS = {"para-gru": (gru, papers_parameters("run")), "para-lstm": (lstm, papers_parameters("fgo"))}

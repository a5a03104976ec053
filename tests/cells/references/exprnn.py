"""Lezcano-Casado & Martínez-Rubio 2019, and modReLU for real numbers (Arjovsky, Shah & Bengio 2016, eq. 8)."""

import numpy as np

HALVINGS, TERMS = 8, 14


def exponential(a):
    """The power series at ``a / 2^8``, squared eight times: also for matrices of exact numbers."""
    small = a * 2.0**-HALVINGS
    total = term = np.eye(len(a)) + 0.0 * small
    for n in range(1, TERMS + 1):
        term = term @ small * (1.0 / n)
        total = total + term
    for _ in range(HALVINGS):
        total = total @ total
    return total


def modrelu(a, c):
    up, down = a + c, -a + c
    positive = np.where(up > 0, up, 0.0)
    return np.where(a > 0, positive, -1.0 * np.where(down > 0, down, 0.0))


def exprnn(p, x, state):
    """h = φ(exp(A - Aᵀ) h + T x) with φ modReLU."""
    (h,) = state
    h = modrelu(exponential(p["A"] - p["A"].T) @ h + p["T"] @ x, p["c"])
    return (h,), h


def exprnn_tanh(p, x, state):
    (h,) = state
    h = np.tanh(exponential(p["A"] - p["A"].T) @ h + p["T"] @ x + p["b"])
    return (h,), h


def parameters(p):
    """``h exp(A - Aᵀ)`` is ``exp(Aᵀ - A) h``."""
    renamed = {"threshold": "c", "b": "b"}
    return {"T": p["w_x"].T, "A": np.triu(p["skew"], 1).T, **{new: p[old] for old, new in renamed.items() if old in p}}


CELLS = {"exprnn": (exprnn, parameters)}
VARIANTS = {"exprnn-tanh": (exprnn_tanh, parameters)}
OPTIONS = {"exprnn-tanh": ("exprnn", {"activation": "tanh"})}
#: Cells whose initial values are those of their authors, tested in ``tests/cells/test_exprnn.py``.
OWN_INITIALIZATION = {"exprnn"}

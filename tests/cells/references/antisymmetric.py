"""Chang, Chen, Haber & Chi 2019, for ε = 0.1 and γ = 0.01."""

import numpy as np

EPSILON, GAMMA = 0.1, 0.01


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def rotated(p, h):
    """(W - Wᵀ - γ I) h."""
    return (p["W"] - p["W"].T - GAMMA * np.eye(len(h))) @ h


def antisymmetric(p, x, state):
    """Eq. 11."""
    (h,) = state
    h = h + EPSILON * np.tanh(rotated(p, h) + p["V"] @ x + p["b"])
    return (h,), h


def gated(p, x, state):
    """Eqs. 12 and 13; the gate reads the state through the same matrix."""
    (h,) = state
    gate = sigmoid(rotated(p, h) + p["V_z"] @ x + p["b_z"])
    h = h + EPSILON * gate * np.tanh(rotated(p, h) + p["V_h"] @ x + p["b_h"])
    return (h,), h


def strictly_upper(w_h):
    """W of the library's ``h W`` as a matrix of the paper's ``W h``."""
    return np.triu(w_h, 1).T


def parameters(p):
    return {"V": p["w_x"].T, "b": p["b"], "W": strictly_upper(p["w_h"])}


def gated_parameters(p):
    v_z, v_h = np.split(p["w_x"].T, 2)
    b_z, b_h = np.split(p["b"], 2)
    return {"V_z": v_z, "V_h": v_h, "b_z": b_z, "b_h": b_h, "W": strictly_upper(p["w_h"])}


CELLS = {"antisymmetric": (antisymmetric, parameters)}
VARIANTS = {"antisymmetric-gated": (gated, gated_parameters)}
OPTIONS = {"antisymmetric-gated": ("antisymmetric", {"gated": True})}
#: Cells whose initial values are those of their paper, tested in ``tests/cells/test_antisymmetric.py``.
OWN_INITIALIZATION = {"antisymmetric"}

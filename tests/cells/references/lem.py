"""Rusch, Mishra, Erichson & Mahoney 2022, for a largest step of 1 and of 0.3."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def lem(dt):
    """Eq. 3: z first, then y with the new z."""

    def step(p, x, state):
        y, z = state
        first = dt * sigmoid(p["W_1"] @ y + p["V_1"] @ x + p["b_1"])
        second = dt * sigmoid(p["W_2"] @ y + p["V_2"] @ x + p["b_2"])
        z = (1.0 - first) * z + first * np.tanh(p["W_z"] @ y + p["V_z"] @ x + p["b_z"])
        y = (1.0 - second) * y + second * np.tanh(p["W_y"] @ z + p["V_y"] @ x + p["b_y"])
        return (y, z), y

    return step


def parameters(p):
    gates = "12zy"
    v = dict(zip((f"V_{gate}" for gate in gates), np.split(p["w_x"].T, 4), strict=True))
    b = dict(zip((f"b_{gate}" for gate in gates), np.split(p["b"], 4), strict=True))
    w = dict(zip((f"W_{gate}" for gate in "12z"), np.split(p["w_h"].T, 3), strict=True))
    return {**v, **b, **w, "W_y": p["w_m"].T}


CELLS = {"lem": (lem(1.0), parameters)}
VARIANTS = {"lem-small-step": (lem(0.3), parameters)}
OPTIONS = {"lem-small-step": ("lem", {"dt": 0.3})}
#: Cells whose initial values are those of their authors, tested in ``tests/cells/test_lem.py``.
OWN_INITIALIZATION = {"lem"}

"""Rusch & Mishra 2021, with the constants of the authors' code for IMDB."""

import numpy as np

DT, GAMMA, EPSILON = 5.4e-2, 4.9, 4.8


def cornn(p, x, state):
    """Eq. 3 with the damping of the old z, as in the authors' code: y is the position, z the velocity."""
    y, z = state
    force = np.tanh(p["W"] @ y + p["W_z"] @ z + p["V"] @ x + p["b"])
    z = z + DT * (force - GAMMA * y - EPSILON * z)
    y = y + DT * z
    return (y, z), y


def parameters(p):
    w, w_z = np.split(p["w_h"], 2)
    return {"V": p["w_x"].T, "W": w.T, "W_z": w_z.T, "b": p["b"]}


CELLS = {"cornn": (cornn, parameters)}
#: Cells whose initial values are those of their authors, tested in ``tests/cells/test_cornn.py``.
OWN_INITIALIZATION = {"cornn"}

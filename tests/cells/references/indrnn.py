"""Li et al. 2018, eq. 2."""

import numpy as np


def preactivation(p, x, state):
    return p["W"] @ x + p["u"] * state[0] + p["b"]


def step(p, x, state):
    a = preactivation(p, x, state)
    h = np.where(a > 0, a, 0.0)
    return (h,), h


def papers_parameters(fields):
    return {"W": fields["w_x"].T, "u": fields["u"], "b": fields["b"]}


CELLS = {"indrnn": (step, papers_parameters)}
KINKS = {"indrnn": preactivation}
#: The draw itself comes too close to the kink for central differences.
ADMISSIBLE = {"indrnn": lambda params, state: (params._replace(b=params.b + 0.05), state)}

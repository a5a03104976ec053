"""The simple recurrent unit of Lei et al. 2018."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def step(p, x, state):
    """Eqs. 1-4; the highway carries ``W_s x``, where ``W_s`` is ``α I`` for inputs as wide as the state."""
    _, c = state
    forget_gate = sigmoid(p["W_f"] @ x + p["v_f"] * c + p["b_f"])
    reset_gate = sigmoid(p["W_r"] @ x + p["v_r"] * c + p["b_r"])
    c = forget_gate * c + (1.0 - forget_gate) * (p["W"] @ x)
    h = reset_gate * c + (1.0 - reset_gate) * (p["W_s"] @ x)
    return (h, c), h


def papers_parameters(params):
    blocks = np.split(params["w_x"].T, len(params["w_x"].T) // len(params["v_f"]))
    skip = blocks[3] if len(blocks) == 4 else np.sqrt(3.0) * np.eye(len(params["v_f"]))  # α of a zero bias
    b_f, b_r = np.split(params["b"], 2)
    maps = dict(zip(("W", "W_f", "W_r", "W_s"), (*blocks[:3], skip), strict=True))
    return {**maps, "v_f": params["v_f"], "v_r": params["v_r"], "b_f": b_f, "b_r": b_r}


CELLS = {"sru": (step, papers_parameters)}

"""minLSTM of Feng et al. 2024."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def step(p, x, state):
    """Section 3.2.3: forget and input gate are divided by their sum."""
    (h,) = state
    forget_gate = sigmoid(p["W_f"] @ x + p["b_f"])
    input_gate = sigmoid(p["W_i"] @ x + p["b_i"])
    total = forget_gate + input_gate
    h = forget_gate / total * h + input_gate / total * (p["W_n"] @ x + p["b_n"])
    return (h,), h


def papers_parameters(params):
    p = {}
    for letter, field in (("W", "w_x"), ("b", "b")):
        blocks = np.split(params[field].T, 3)
        p |= {f"{letter}_{gate}": block for gate, block in zip("fin", blocks, strict=True)}
    return p


CELLS = {"minlstm": (step, papers_parameters)}

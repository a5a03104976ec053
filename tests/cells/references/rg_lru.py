"""The real-gated linear recurrent unit of De et al. 2024 (Griffin)."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def step(p, x, state):
    """Eqs. 1-4, on the projected input, with ``log a = -8 softplus(Λ) r``."""
    (h,) = state
    u = p["W_x"] @ x
    recurrence_gate = sigmoid(p["W_a"] @ u + p["b_a"])
    input_gate = sigmoid(p["W_i"] @ u + p["b_i"])
    log_a = -8.0 * recurrence_gate * np.log(1.0 + np.exp(p["decay"]))
    h = np.exp(log_a) * h + np.sqrt(-np.expm1(2.0 * log_a)) * (input_gate * u)
    return (h,), h


def block_diagonal(stacked):
    """The matrix ``[out, in]`` of blocks that stand under each other, one row an input."""
    width = stacked.shape[1]
    matrix = np.zeros((len(stacked), len(stacked)))
    for start in range(0, len(stacked), width):
        block = slice(start, start + width)
        matrix[block, block] = stacked[block].T
    return matrix


def papers_parameters(params):
    matrices = {"W_a": block_diagonal(params["w_a"]), "W_i": block_diagonal(params["w_i"])}
    w_x = params["w_x"].T if "w_x" in params else np.eye(len(params["decay"]))
    return {**matrices, "W_x": w_x, "b_a": params["b_a"], "b_i": params["b_i"], "decay": params["decay"]}


CELLS = {"rg-lru": (step, papers_parameters)}

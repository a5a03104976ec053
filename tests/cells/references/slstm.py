"""sLSTM, Beck et al. 2024 (2405.04517), eqs. 8-17: units in heads, c and n as they are stored, divided by e^m."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def step(p, x, state):
    h, c, n, m = (np.reshape(part, -1) for part in state)
    heads, size = state[0].shape
    feedback = np.split(h, heads)

    def preactivation(gate):
        recurrent = [p[f"U_{gate}_{head}"] @ part for head, part in enumerate(feedback)]
        return p[f"W_{gate}"] @ x + np.concatenate(recurrent) + p[f"b_{gate}"]

    log_input, candidate, output_gate = preactivation("i"), np.tanh(preactivation("z")), sigmoid(preactivation("o"))
    log_forgotten = np.log(sigmoid(preactivation("f"))) + m
    m = np.where(log_input > log_forgotten, log_input, log_forgotten)
    input_gate, forget_gate = np.exp(log_input - m), np.exp(log_forgotten - m)
    c = forget_gate * c + input_gate * candidate
    n = forget_gate * n + input_gate
    h = output_gate * (c / n)
    return tuple(np.reshape(part, (heads, size)) for part in (h, c, n, m)), h


def parameters(params):
    """The recurrent matrices of the heads stand one below the other in the library; gates in the order i, f, z, o."""
    hidden, size = params["w_h"].shape[0], params["w_h"].shape[1] // 4
    p = {}
    for k, gate in enumerate("ifzo"):
        p[f"W_{gate}"] = params["w_x"][:, k * hidden : (k + 1) * hidden].T
        p[f"b_{gate}"] = params["b"][k * hidden : (k + 1) * hidden]
        for head in range(hidden // size):
            rows = slice(head * size, (head + 1) * size)
            p[f"U_{gate}_{head}"] = params["w_h"][rows, k * size : (k + 1) * size].T
    return p


def admissible(params, state):
    """A normaliser is a sum of positive numbers of which one is 1."""
    return params, state._replace(normalizer=1 + abs(state.normalizer))


CELLS = {"slstm": (step, parameters)}
ADMISSIBLE = {"slstm": admissible}

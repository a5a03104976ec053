"""Gated linear attention, Yang et al. 2024 (2312.06635), eqs. of sections 4.1 and 4.4: S is ``[d_k, d_v]`` there."""

import numpy as np

TEMPERATURE = 16


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def step(p, x, state):
    (memory,) = state
    heads, values, keys = memory.shape
    q, k, a = (np.reshape(a, (heads, keys)) for a in (p["W_q"] @ x, p["W_k"] @ x, p["W_a2"] @ (p["W_a1"] @ x)))
    v = np.reshape(p["W_v"] @ x, (heads, values))
    a = a + np.reshape(p["b_a"], (heads, keys))
    gate = p["W_r"] @ x + p["b_r"]
    new, outputs = [], []
    for head in range(heads):
        alpha = np.exp(np.log(sigmoid(a[head])) / TEMPERATURE)
        papers = np.diag(alpha) @ memory[head].T + np.outer(k[head], v[head])
        new.append(papers.T)
        outputs.append(q[head] @ papers / np.sqrt(keys))
    return (np.array(new),), gate * sigmoid(gate) * np.concatenate(outputs)


def parameters(params):
    keys, hidden = len(params["b_decay"]), len(params["b_gate"])
    q, k, v, r = np.split(params["w_x"].T, [keys, 2 * keys, 2 * keys + hidden])
    gates = {"W_a1": params["w_down"].T, "W_a2": params["w_decay"].T, "b_a": params["b_decay"], "b_r": params["b_gate"]}
    return {"W_q": q, "W_k": k, "W_v": v, "W_r": r, **gates}


CELLS = {"gla": (step, parameters)}

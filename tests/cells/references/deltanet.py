"""DeltaNet, Yang et al. 2024 (2406.06484), section 2.2, with keys of length one and swish of queries, keys, values."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def swish(a):
    return a * sigmoid(a)


def normalised(a):
    return a / np.sqrt(np.sum(a * a) + 1e-6)


def step(p, x, state):
    (memory,) = state
    heads, values, keys = memory.shape
    a_q, a_k, a_v, b = np.split(p["W"] @ x, np.cumsum([heads * keys, heads * keys, heads * values]))
    new, outputs = [], []
    for head in range(heads):
        q, k = (normalised(swish(a.reshape(heads, keys)[head])) for a in (a_q, a_k))
        v, beta = swish(a_v.reshape(heads, values)[head]), sigmoid(b[head])
        erased = memory[head] - np.outer(memory[head] @ k, k) * beta
        new.append(erased + np.outer(v, k) * beta)
        outputs.append(new[-1] @ q)
    return (np.array(new),), np.concatenate(outputs)


CELLS = {"deltanet": (step, lambda params: {"W": params["w_x"].T})}

"""mLSTM, Beck et al. 2024 (2405.04517), eqs. 19-27: C and n as they are stored, divided by e^m."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def larger(a, b):
    return a if a > b else b


def step(p, x, state):
    memory, normalizer, stabilizer = state
    heads, values, keys = memory.shape
    parts = np.split(
        p["W"] @ x + p["b"], np.cumsum([heads * keys, heads * keys, heads * values, heads * values, heads])
    )
    q, k, v = (part.reshape(heads, -1) for part in parts[:3])
    _, _, _, o, i, f = parts
    after, outputs = [], []
    for head in range(heads):
        key = k[head] / np.sqrt(keys)
        forgotten = np.log(sigmoid(f[head : head + 1]))[0] + stabilizer[head]
        m = larger(i[head], forgotten)
        input_gate, forget_gate, one = (np.exp(np.array([a]))[0] for a in (i[head] - m, forgotten - m, -m))
        c = memory[head] * forget_gate + np.outer(v[head], key) * input_gate
        n = normalizer[head] * forget_gate + key * input_gate
        stored = n @ q[head]
        outputs.append((c @ q[head]) / larger(larger(stored, -stored), one))
        after.append((c, n, m))
    return tuple(map(np.array, zip(*after, strict=True))), sigmoid(o) * np.concatenate(outputs)


CELLS = {"mlstm": (step, lambda params: {"W": params["w_x"].T, "b": params["b"]})}

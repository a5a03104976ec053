"""The recurrent highway network, from its paper."""

import itertools

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def rhn(p, x, state):
    """Zilly et al. 2017, eqs. 6-9 with c = 1 - t: the input enters the first of the highway layers."""
    (s,) = state
    for layer in itertools.takewhile(lambda layer: f"R_H{layer}" in p, itertools.count()):
        from_x_h, from_x_t = (p["W_H"] @ x, p["W_T"] @ x) if layer == 0 else (0.0 * s, 0.0 * s)
        h = np.tanh(from_x_h + p[f"R_H{layer}"] @ s + p[f"b_H{layer}"])
        t = sigmoid(from_x_t + p[f"R_T{layer}"] @ s + p[f"b_T{layer}"])
        s = h * t + s * (1.0 - t)
    return (s,), s


def parameters(params):
    """The library's parameters as the paper's: ``w_s`` and ``b`` hold H's and T's of each layer in turn."""
    units = params["w_s"].shape[0]
    p = {"W_H": params["w_x"][:, :units].T, "W_T": params["w_x"][:, units:].T}
    for k in range(params["w_s"].shape[1] // units):
        gate, layer = "HT"[k % 2], k // 2
        columns = slice(k * units, (k + 1) * units)
        p[f"R_{gate}{layer}"], p[f"b_{gate}{layer}"] = params["w_s"][:, columns].T, params["b"][columns]
    return p


CELLS = {"rhn": (rhn, parameters)}

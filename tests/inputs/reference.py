"""A reference character network from the papers, in float64 NumPy, one word and one window at a time."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def vector(params, word, activation):
    """The vector of one word: Kim et al. 2016, eqs. 5-9, over its bytes between the marks 0xFD and 0xFE."""
    p = params._asdict()
    symbols = [0xFD, *word.encode(), 0xFE]
    size = p["characters"].shape[1]
    widest = len(p["filters"])
    rows = np.concatenate([np.asarray(p["characters"], np.float64)[symbols], np.zeros((widest, size))])
    maxima = []
    for width, bank in enumerate(p["filters"], 1):
        bank = np.asarray(bank, np.float64).reshape(width, size, -1)
        for f in range(bank.shape[-1]):
            maxima.append(max(np.sum(rows[i : i + width] * bank[:, :, f]) for i in range(len(symbols))))
    y = activation(np.array(maxima) + p["b"])
    for w, b in p["highways"]:
        units = len(y)
        carried = np.maximum(y @ w[:, :units] + b[:units], 0.0)
        gate = sigmoid(y @ w[:, units:] + b[units:])
        y = gate * carried + (1.0 - gate) * y
    return y @ p["w_p"] + p["b_p"]

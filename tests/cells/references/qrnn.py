"""The quasi-recurrent network of Bradbury et al. 2017, with a convolution of width 2 and fo-pooling."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def step(p, x, state):
    """Eqs. 2 and 4: ``c = f c + (1 - f) z``, ``h = o c``.

    The input before this one is known by its shares in the gates of this step, as the library keeps them.
    """
    c, _, earlier = state
    forget, candidate, output = np.split(earlier, 3)
    forget_gate = sigmoid(p["W0_f"] @ x + p["b_f"] + forget)
    output_gate = sigmoid(p["W0_o"] @ x + p["b_o"] + output)
    c = forget_gate * c + (1.0 - forget_gate) * np.tanh(p["W0_g"] @ x + p["b_g"] + candidate)
    pending = np.concatenate([p["W1_f"] @ x, p["W1_g"] @ x, p["W1_o"] @ x])
    return (c, output, pending), output_gate * c


def papers_parameters(params):
    p = {}
    for letter, blocks in (
        ("W0", np.split(params["w_x"].T, 6)[:3]),
        ("W1", np.split(params["w_x"].T, 6)[3:]),
        ("b", np.split(params["b"], 3)),
    ):
        p |= {f"{letter}_{gate}": block for gate, block in zip("fgo", blocks, strict=True)}
    return p


CELLS = {"qrnn": (step, papers_parameters)}

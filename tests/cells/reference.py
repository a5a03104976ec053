"""The cells again, from the papers: float64 NumPy, one vector at a time, a matrix for each gate.

It shares nothing with the library. Matrices stand on the left, as papers write them: ``W_i`` is ``[H, D]`` and ``x`` a
column. Each cell is ``step(p, x, state) -> (state, output)`` with ``state`` a tuple of vectors.
"""

import importlib
import pkgutil

import numpy as np

from tests.cells import references


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def elman(squash):
    """Elman 1990: h_t = φ(W x_t + U h_{t-1} + b)."""

    def step(p, x, state):
        (h,) = state
        h = squash(p["W"] @ x + p["U"] @ h + p["b"])
        return (h,), h

    return step


def lstm_1997(p, x, state):
    """Hochreiter & Schmidhuber 1997: no forget gate, the cell only accumulates."""
    h, c = state
    input_gate = sigmoid(p["W_i"] @ x + p["U_i"] @ h + p["b_i"])
    candidate = np.tanh(p["W_g"] @ x + p["U_g"] @ h + p["b_g"])
    output_gate = sigmoid(p["W_o"] @ x + p["U_o"] @ h + p["b_o"])
    c = c + input_gate * candidate
    h = output_gate * np.tanh(c)
    return (h, c), h


def lstm(p, x, state):
    """Gers, Schmidhuber & Cummins 2000."""
    h, c = state
    input_gate = sigmoid(p["W_i"] @ x + p["U_i"] @ h + p["b_i"])
    forget_gate = sigmoid(p["W_f"] @ x + p["U_f"] @ h + p["b_f"])
    candidate = np.tanh(p["W_g"] @ x + p["U_g"] @ h + p["b_g"])
    output_gate = sigmoid(p["W_o"] @ x + p["U_o"] @ h + p["b_o"])
    c = forget_gate * c + input_gate * candidate
    h = output_gate * np.tanh(c)
    return (h, c), h


def lstm_capped(p, x, state):
    """Melis, Dyer & Blunsom 2018: the input gate is at most 1 - f."""
    h, c = state
    input_gate = sigmoid(p["W_i"] @ x + p["U_i"] @ h + p["b_i"])
    forget_gate = sigmoid(p["W_f"] @ x + p["U_f"] @ h + p["b_f"])
    candidate = np.tanh(p["W_g"] @ x + p["U_g"] @ h + p["b_g"])
    output_gate = sigmoid(p["W_o"] @ x + p["U_o"] @ h + p["b_o"])
    c = forget_gate * c + np.minimum(1.0 - forget_gate, input_gate) * candidate
    h = output_gate * np.tanh(c)
    return (h, c), h


def lstm_peephole(p, x, state):
    """Graves 2013, eqs. 7-11: input and forget gates see the old cell, the output gate the new one."""
    h, c = state
    input_gate = sigmoid(p["W_i"] @ x + p["U_i"] @ h + np.diag(p["p_i"]) @ c + p["b_i"])
    forget_gate = sigmoid(p["W_f"] @ x + p["U_f"] @ h + np.diag(p["p_f"]) @ c + p["b_f"])
    new = forget_gate * c + input_gate * np.tanh(p["W_g"] @ x + p["U_g"] @ h + p["b_g"])
    output_gate = sigmoid(p["W_o"] @ x + p["U_o"] @ h + np.diag(p["p_o"]) @ new + p["b_o"])
    h = output_gate * np.tanh(new)
    return (h, new), h


def lstm_coupled(p, x, state):
    """Greff et al. 2017, CIFG: the input gate is 1 - f."""
    h, c = state
    forget_gate = sigmoid(p["W_f"] @ x + p["U_f"] @ h + p["b_f"])
    candidate = np.tanh(p["W_g"] @ x + p["U_g"] @ h + p["b_g"])
    output_gate = sigmoid(p["W_o"] @ x + p["U_o"] @ h + p["b_o"])
    c = forget_gate * c + (1.0 - forget_gate) * candidate
    h = output_gate * np.tanh(c)
    return (h, c), h


def lstm_projected(p, x, state):
    """Sak, Senior & Beaufays 2014: the recurrence sees r = W_rm m, which is the output as well."""
    m, c = state
    r = p["P"] @ m
    input_gate = sigmoid(p["W_i"] @ x + p["U_i"] @ r + p["b_i"])
    forget_gate = sigmoid(p["W_f"] @ x + p["U_f"] @ r + p["b_f"])
    candidate = np.tanh(p["W_g"] @ x + p["U_g"] @ r + p["b_g"])
    output_gate = sigmoid(p["W_o"] @ x + p["U_o"] @ r + p["b_o"])
    c = forget_gate * c + input_gate * candidate
    m = output_gate * np.tanh(c)
    return (m, c), p["P"] @ m


def lstm_layer_norm(p, x, state):
    """Ba, Kiros & Hinton 2016, eqs. 20-22: each product is normalised over all four gates at once."""

    def normalise(a, gain):
        return gain * (a - np.mean(a)) / np.sqrt(np.var(a) + 1e-5)

    h, c = state
    units = len(c)
    gates = "ifgo"
    from_x = normalise(np.concatenate([p[f"W_{k}"] @ x for k in gates]), np.concatenate([p[f"gx_{k}"] for k in gates]))
    from_h = normalise(np.concatenate([p[f"U_{k}"] @ h for k in gates]), np.concatenate([p[f"gh_{k}"] for k in gates]))
    a = {k: (from_x + from_h)[n * units : (n + 1) * units] + p[f"b_{k}"] for n, k in enumerate(gates)}
    c = sigmoid(a["f"]) * c + sigmoid(a["i"]) * np.tanh(a["g"])
    h = sigmoid(a["o"]) * np.tanh(normalise(c, p["gc"]) + p["bc"])
    return (h, c), h


def gru(p, x, state):
    """Cho et al. 2014 as cuDNN has it: the reset gate weighs the product, with a bias of its own inside."""
    (h,) = state
    reset = sigmoid(p["W_r"] @ x + p["U_r"] @ h + p["b_r"])
    keep = sigmoid(p["W_u"] @ x + p["U_u"] @ h + p["b_u"])
    candidate = np.tanh(p["W_n"] @ x + p["b_n"] + reset * (p["U_n"] @ h + p["bh_n"]))
    h = keep * h + (1.0 - keep) * candidate
    return (h,), h


def gru_reset_before(p, x, state):
    """Cho et al. 2014, eqs. 5-8: the reset gate weighs the state before the product."""
    (h,) = state
    reset = sigmoid(p["W_r"] @ x + p["U_r"] @ h + p["b_r"])
    keep = sigmoid(p["W_u"] @ x + p["U_u"] @ h + p["b_u"])
    candidate = np.tanh(p["W_n"] @ x + p["b_n"] + p["U_n"] @ (reset * h))
    h = keep * h + (1.0 - keep) * candidate
    return (h,), h


def mingru(p, x, state):
    """Feng et al. 2024, section 3.1: gate and candidate are linear in the input."""
    (h,) = state
    update_gate = sigmoid(p["W_u"] @ x + p["b_u"])
    h = (1.0 - update_gate) * h + update_gate * (p["W_n"] @ x + p["b_n"])
    return (h,), h


def feed_forward(p, x, state):
    """Bengio et al. 2003, eq. 1, for n = 5: tanh(d + H x), where x is the last four words' features end to end.

    The words of the past are known by their shares in the sums of the three next steps, as the library keeps them.
    """
    _, pending = state
    due, later, last = np.split(pending, 3)
    h = np.tanh(p["d"] + p["W_0"] @ x + due)
    return (h, np.concatenate([later + p["W_1"] @ x, last + p["W_2"] @ x, p["W_3"] @ x])), h


def relu(a):
    return np.where(a > 0, a, 0.0)


#: Zoo name -> step, and the gates in the order in which the library's params keep them ("" for a cell without gates).
CELLS = {
    "linear": (elman(lambda a: a), ""),
    "elman-sigmoid": (elman(sigmoid), ""),
    "elman-tanh": (elman(np.tanh), ""),
    "elman-relu": (elman(relu), ""),
    "irnn": (elman(relu), ""),
    "lstm-1997": (lstm_1997, "igo"),
    "lstm": (lstm, "ifgo"),
    "lstm-peephole": (lstm_peephole, "ifgo"),
    "lstm-coupled": (lstm_coupled, "fgo"),
    "lstm-projected": (lstm_projected, "ifgo"),
    "lstm-layer-norm": (lstm_layer_norm, "ifgo"),
    "gru": (gru, "run"),
    "gru-reset-before": (gru_reset_before, "run"),
    "mingru": (mingru, "un"),
    "feed-forward": (feed_forward, "0123"),
}

#: Families of cells with a file of their own in ``tests/cells/references``. Each has ``CELLS`` in the same form, with a
#: function in place of the gates where the papers' parameters are not blocks of the library's: library's parameters by
#: field (float64, a None left out) to the papers'.
FAMILIES = [
    importlib.import_module(f"{references.__name__}.{found.name}")
    for found in pkgutil.iter_modules(references.__path__)
]
for family in FAMILIES:
    CELLS |= family.CELLS


def elman_preactivation(p, x, state):
    return p["W"] @ x + p["U"] @ state[0] + p["b"]


#: Cells with a kink to what their step has a kink in at zero, ``(p, x, state) -> array``; families may have more.
KINKS = {"elman-relu": elman_preactivation, "irnn": elman_preactivation}
for family in FAMILIES:
    KINKS |= getattr(family, "KINKS", {})

#: Cells made by options of a registered one, in the same form; those of a family in ``VARIANTS`` of its file.
VARIANTS = {"lstm-capped": (lstm_capped, "ifgo")}
for family in FAMILIES:
    VARIANTS |= getattr(family, "VARIANTS", {})

#: Cells whose initial values are not Glorot's and zeros, and which are tested in files of their own.
OWN_INITIALIZATION = set().union(*(getattr(family, "OWN_INITIALIZATION", set()) for family in FAMILIES))

#: Fields of the library's params with one block a gate, and the paper's letter for a block.
GATED = {"w_x": "W", "w_h": "U", "b": "b", "gain_x": "gx", "gain_h": "gh"}
#: Fields with a single block.
PLAIN = {"peep_i": "p_i", "peep_f": "p_f", "peep_o": "p_o", "w_p": "P"}
PLAIN |= {"gain_c": "gc", "b_c": "bc", "b_n": "bh_n", "b_h": "d"}


def papers_parameters(name, params):
    """The library's params as the papers' separate matrices; every field must be accounted for."""
    gates = (CELLS | VARIANTS)[name][1]
    if callable(gates):
        return gates({f: np.asarray(a, np.float64) for f, a in params._asdict().items() if a is not None})
    p = {}
    for field, array in params._asdict().items():
        if array is None:
            continue
        array = np.asarray(array, np.float64).T
        if field in PLAIN:
            p[PLAIN[field]] = array
        elif not gates:
            p[GATED[field]] = array
        else:
            units = array.shape[0] // len(gates)
            for n, gate in enumerate(gates):
                p[f"{GATED[field]}_{gate}"] = array[n * units : (n + 1) * units]
    return p


def distance_from_kinks(name, params, state, xs):
    """The smallest modulus, over all steps and units, of what the cell has a kink in at zero."""
    step, p, smallest = CELLS[name][0], papers_parameters(name, params), np.inf
    for b in range(xs.shape[1]):
        s = tuple(np.asarray(part, np.float64)[b] for part in state)
        for x in np.asarray(xs, np.float64)[:, b]:
            smallest = min(smallest, np.abs(KINKS[name](p, x, s)).min())
            s, _ = step(p, x, s)
    return smallest


def run(name, params, state, xs):
    """A zoo member over ``xs [T, B, D]``, one sequence after the other: final state (a tuple of arrays) and outputs."""
    step = (CELLS | VARIANTS)[name][0]
    p = papers_parameters(name, params)
    finals, outputs = [], []
    for b in range(xs.shape[1]):
        s = tuple(np.asarray(part, np.float64)[b] for part in state)
        hs = []
        for x in np.asarray(xs, np.float64)[:, b]:
            s, h = step(p, x, s)
            hs.append(h)
        finals.append(s)
        outputs.append(hs)
    return tuple(np.array(part) for part in zip(*finals, strict=True)), np.array(outputs).swapaxes(0, 1)

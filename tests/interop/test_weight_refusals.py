"""Weights that cannot be converted are refused in one line that names both sides."""

import jax
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop import weights
from rnnlm_jax.interop.weights import CONVENTIONS
from tests.interop.weight_cases import D, H, random_params, their_arrays

ROWS = {row.title: row for row in CONVENTIONS}
BOTH = cells.bidirectional(cells.lstm(H), cells.lstm(H))


def changed(title, **arrays):
    """Arrays of a row with some of them replaced by (or, None, without) others."""
    found = their_arrays(ROWS[title]) | arrays
    return {name: array for name, array in found.items() if array is not None}


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


LOADS = {
    "unknown library": ("jaxnn", "LSTM", {}, "unknown library 'jaxnn'"),
    "unknown kind": ("torch", "LTSM", {}, "torch has no kind 'LTSM' here: choose one of RNN_TANH"),
    "convolutions": ("linen", "ConvLSTMCell", {}, "none of our cells: its maps are convolutions"),
    "nothing": ("torch", "LSTM", {}, "torch LSTM: no arrays were given"),
    "missing": ("torch", "LSTM", changed("torch LSTM", weight_hh_l0=None), "weight_hh_l0 is missing, of weight_ih_l0"),
    "one bias of two": ("torch", "GRU", changed("torch GRU", bias_hh_l0=None), "bias_hh_l0 is missing"),
    "misspelt": (
        "equinox",
        "LSTMCell",
        changed("equinox LSTMCell", weight_hh=None, weights_hh=zeros(4 * H, H)),
        "weight_hh is missing, of weight_ih, weight_hh, bias: is it the one called weights_hh?",
    ),
    "deeper": ("linen", "LSTMCell", {"cell": changed("linen LSTMCell")}, "pass prefix='cell'"),
    "too many": ("torch", "LSTM", changed("torch LSTM", weight_ih_l2=zeros(4 * H, H)), "unexpected array weight_ih_l2"),
    "both ways": (
        "equinox",
        "GRUCell",
        changed("equinox GRUCell", weight_ih_reverse=zeros(1)),
        "unexpected array weight_ih_reverse",
    ),
    "transposed": (
        "torch",
        "LSTM",
        changed("torch LSTM", weight_ih_l0=zeros(D, 4 * H)),
        "weight_ih_l0 has shape (2, 20), not (20, 2): it is transposed, pass its .T",
    ),
    "recurrent transposed": (
        "torch",
        "GRU",
        changed("torch GRU", weight_hh_l0=zeros(H, 3 * H)),
        "weight_hh_l0 has shape (5, 15), not (15, 5): it is transposed",
    ),
    "kernel transposed": (
        "linen",
        "GRUCell",
        {name: a.T if name == "iz.kernel" else a for name, a in their_arrays(ROWS["linen GRUCell"]).items()},
        "iz.kernel has shape (5, 2), not (2, 5): it is transposed",
    ),
    "haiku transposed": (
        "haiku",
        "LSTM",
        {name: a.T for name, a in their_arrays(ROWS["haiku LSTM"]).items()},
        "lstm.linear.w has shape (20, 7), not (7, 20): it is transposed",
    ),
    "wrong size": (
        "torch",
        "LSTM",
        changed("torch LSTM", bias_ih_l0=zeros(4 * H + 1)),
        "bias_ih_l0 has shape (21,), and should be (20,), as 5 units",
    ),
    "wrong input": (
        "torch",
        "LSTM",
        changed("torch LSTM", weight_ih_l0=zeros(4 * H - 1, D)),
        "weight_ih_l0 has shape (19, 2), and should be (20, 2)",
    ),
    "three axes": (
        "torch",
        "LSTM",
        changed("torch LSTM", weight_ih_l0=zeros(4 * H, D, 1)),
        "weight_ih_l0 has shape (20, 2, 1), and should be a matrix",
    ),
    "a number": ("torch", "LSTM", changed("torch LSTM", weight_hh_l0=zeros()), "weight_hh_l0 has shape ()"),
    "empty": ("torch", "RNN_TANH", {"weight_ih_l0": zeros(0, 2), "weight_hh_l0": zeros(0, 0)}, "has shape (0, 0)"),
    "layers do not follow": (
        "torch",
        "LSTM",
        changed(
            "torch LSTM",
            weight_ih_l1=zeros(4 * H, H + 1),
            weight_hh_l1=zeros(4 * H, H),
            bias_ih_l1=zeros(4 * H),
            bias_hh_l1=zeros(4 * H),
        ),
        "weight_ih_l1 has shape (20, 6), and should be (20, 5), as 5 units over 5 of the layer below",
    ),
    "several types": (
        "torch",
        "LSTM",
        changed("torch LSTM", bias_ih_l0=zeros(4 * H, dtype=np.float16)),
        "weight_ih_l0 is float32 and bias_ih_l0 is float16: use one dtype",
    ),
    "whole numbers": ("equinox", "LSTMCell", changed("equinox LSTMCell", hidden_size=5), "hidden_size is int64"),
    "words": ("equinox", "LSTMCell", changed("equinox LSTMCell", bias="b"), "bias is a str, not an array of numbers"),
    "another kind": (
        "keras",
        "GRU",
        their_arrays(ROWS["keras GRU(reset_after=False)"]),
        "bias has shape (15,), and should be (2, 15), as 5 units; these are the arrays of keras GRU(reset_after=False)",
    ),
    "an LSTM as a GRU": ("torch", "GRU", their_arrays(ROWS["torch LSTM"]), "these are the arrays of torch LSTM"),
    "not the cell's": (
        "torch",
        cells.lstm(H + 1),
        their_arrays(ROWS["torch LSTM"]),
        "these are the weights of lstm of 5 units, not of lstm of 6 units",
    ),
    "a cell without that bias": (
        "equinox",
        cells.gru(H, candidate_bias=False),
        their_arrays(ROWS["equinox GRUCell"]),
        "b_n is not zero, and the given gru does not have it",
    ),
    "a list without names": ("torch", "LSTM", [zeros(4)], "must be given by name, as a dictionary, not as a list"),
    "no arrays at all": ("keras", "LSTM", None, "must be given by name, as a dictionary, not as a NoneType"),
    "a list too short": ("keras", "LSTM", [zeros(4)], "a list of 1 arrays was given, not of 2, 3, 4, 6"),
}


@pytest.mark.parametrize("name", LOADS)
def test_load_refuses(name):
    system, kind, arrays, complaint = LOADS[name]
    with pytest.raises(UserError) as error:
        weights.load(system, kind, arrays)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


DUMPS = {
    "reset before, torch": ("torch", cells.gru(H, "before"), {}, "torch cannot express gru(reset=before): its GRU has"),
    "who else can": ("torch", cells.gru(H, "before"), {}, "; haiku GRU, keras GRU(reset_after=False) can"),
    "reset after, haiku": (
        "haiku",
        cells.gru(H),
        {},
        "haiku cannot express gru(reset=after): its GRU has reset=before",
    ),
    "peepholes": ("torch", cells.peephole_lstm(H), {}, "torch cannot express lstm-peephole: it has RNN_TANH"),
    "nobody": ("torch", cells.peephole_lstm(H), {}, "; nor can any other library here"),
    "activation": ("haiku", cells.elman(H, "tanh"), {}, "its VanillaRNN has activation=relu"),
    "projection": ("keras", cells.projected_lstm(H, 2), {}, "torch LSTM(proj_size) can"),
    "wide projection": ("torch", cells.projected_lstm(H, H), {}, "cannot express lstm-projected of 5 units: there the"),
    "candidate bias": ("nnx", cells.gru(H), {}, "nnx GRUCell has no recurrent candidate bias, and b_n"),
    "two directions, haiku": ("haiku", BOTH, {}, "haiku holds one direction, not a bidirectional cell"),
    "two directions, linen": ("linen", BOTH, {}, "linen holds one direction"),
    "two directions, equinox": ("equinox", BOTH, {}, "equinox holds one direction"),
    "layers": ("keras", cells.stack(cells.lstm(H), cells.lstm(H)), {}, "keras holds one layer at a time"),
    "residual": ("torch", cells.stack(cells.lstm(H), cells.lstm(H), residual=True), {}, "no residual layers"),
    "summed": ("torch", cells.stack(cells.lstm(H), cells.lstm(H), sum_outputs=True), {}, "whose outputs are summed"),
    "sizes": ("torch", cells.stack(cells.lstm(H), cells.lstm(H + 1)), {}, "torch gives all layers and directions one"),
    "kinds": ("torch", cells.stack(cells.lstm(H), cells.gru(H)), {}, "torch gives all layers one kind"),
    "stack in stack": ("torch", cells.stack(cells.stack(cells.lstm(H))), {}, "take this one apart"),
    "wrong kind": ("torch", cells.lstm(H), {"kind": "GRU"}, "torch GRU cannot express lstm of 5 units: LSTM can"),
    "two gates in one": (
        "linen",
        cells.gru(H),
        {"kind": "MGUCell"},
        "one gate for r and z of gru, which differ in w_x",
    ),
    "biases left out": (
        "torch",
        cells.lstm(H),
        {"biases": False},
        "without biases cannot express this lstm, whose b is not zero",
    ),
}


@pytest.mark.parametrize("name", DUMPS)
def test_dump_refuses(name):
    system, cell, options, complaint = DUMPS[name]
    with pytest.raises(UserError) as error:
        weights.dump(system, cell, random_params(cell), **options)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_dump_refuses_parameters_of_another_cell():
    for params in (random_params(cells.lstm(H + 1)), random_params(cells.elman(H)), {"w": zeros(2)}, None):
        with pytest.raises(UserError, match="(lstm of 5 units|this lstm cell) needs"):
            weights.dump("torch", cells.lstm(H), params)
    two = cells.stack(cells.lstm(H), cells.lstm(H))
    with pytest.raises(UserError, match="which has 2 parts"):
        weights.dump("torch", two, random_params(cells.lstm(H)))


def test_dtypes_that_cannot_be_are_refused():
    arrays = their_arrays(ROWS["torch LSTM"], dtype=np.float64)
    with pytest.raises(UserError, match="leave one of them out"):
        weights.load("torch", cells.lstm(H), arrays, dtype="float64")
    with jax.enable_x64(False), pytest.raises(UserError, match='JAX_ENABLE_X64=1: set it, or pass dtype="float32"'):
        weights.load("torch", "LSTM", arrays)
    with pytest.raises(UserError, match="dtype 'float8' is not supported for parameters"):
        weights.load("torch", "LSTM", arrays, dtype="float8")
    assert weights.load("torch", "LSTM", arrays, dtype="float32").params.b.dtype == np.float32


def test_a_prefix_without_arrays_is_refused():
    with pytest.raises(UserError, match="a list has no names that could begin with 'rnn'"):
        weights.load("keras", "LSTM", [zeros(4)] * 3, prefix="rnn")
    with pytest.raises(UserError, match="no array is called rnn.…: there are weight_ih_l0"):
        weights.load("torch", "LSTM", their_arrays(ROWS["torch LSTM"]), prefix="rnn")


STATES = {
    "one of two": ("torch", cells.lstm(H), zeros(1, 3, H), "h and c of shape (1, B, 5)"),
    "layers": ("torch", cells.gru(H), zeros(2, 3, H), "h of shape (1, B, 5)"),
    "width": ("equinox", cells.lstm(H), (zeros(H), zeros(H + 1)), "h and c of shape (B, 5)"),
    "directions": ("keras", BOTH, [zeros(3, H)] * 2, "h and c of shape (B, 5), 2 times"),
    "projected": ("torch", cells.projected_lstm(H, 2), (zeros(1, 3, 2), zeros(1, 3, H)), "after its projection"),
}


@pytest.mark.parametrize("name", STATES)
def test_load_state_refuses(name):
    system, cell, state, complaint = STATES[name]
    with pytest.raises(UserError) as error:
        weights.load_state(system, cell, state)
    assert complaint in str(error.value)


def test_dump_state_refuses():
    with pytest.raises(UserError, match="after its projection: give `params` too"):
        weights.dump_state("torch", cells.projected_lstm(H, 2), cells.projected_lstm(H, 2).initial_state((3,)))
    with pytest.raises(UserError, match="is not a state of gru"):
        weights.dump_state("torch", cells.gru(H), cells.lstm(H).initial_state((3,)))
    with pytest.raises(UserError, match="torch cannot express lstm-coupled"):
        weights.dump_state("torch", cells.coupled_lstm(H), cells.coupled_lstm(H).initial_state((3,)))


def test_unreadable_and_unwritable_files_are_refused(tmp_path):
    whole = tmp_path / "whole.safetensors"
    weights.write_safetensors(whole, {"a": zeros(100)})
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole.read_bytes()[:-8])
    other = tmp_path / "other.safetensors"
    other.write_text("not at all")
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    for path in (cut, other, empty):
        with pytest.raises(UserError, match="is not a safetensors file, or cut off"):
            weights.read_safetensors(path)
    with pytest.raises(UserError, match="cannot find the safetensors file"):
        weights.read_safetensors(tmp_path / "nowhere.safetensors")
    with pytest.raises(UserError, match="is a directory"):
        weights.read_safetensors(tmp_path)
    with pytest.raises(UserError, match="cannot be written"):
        weights.write_safetensors(other / "a.safetensors", {"a": zeros(1)})
    with pytest.raises(UserError, match="is a folder"):
        weights.write_safetensors(tmp_path, {"a": zeros(1)})
    with pytest.raises(UserError, match="`metadata` 'epoch' is a int: give a string"):
        weights.write_safetensors(whole, {"a": zeros(1)}, {"epoch": 3})
    with pytest.raises(UserError, match="a cannot be read as a NumPy array"):
        weights.write_safetensors(whole, {"a": jax.random.key(0)})
    with pytest.raises(UserError, match="a is a str"):
        weights.write_safetensors(whole, {"a": "b"})
    np.testing.assert_array_equal(weights.read_safetensors(whole)["a"], zeros(100))


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda cell, params: weights.dump("torch", params, cell), "`cell` must be a cell of this library"),
        (
            lambda cell, params: weights.dump("torch", cell, params, prefix=3),
            "`prefix` is a string such as 'rnn'",
        ),
        (lambda cell, params: weights.load(["torch"], "LSTM", {}), "unknown library"),
        (lambda cell, params: weights.load("torch", cells.lstm, {}), "`kind` is a name such as 'LSTM', or a cell"),
        (lambda cell, params: weights.load("torch", "LSTM", {"a": zeros(1)}, prefix=None), "`prefix` is a string"),
        (lambda cell, params: weights.load_state("torch", None, zeros(1)), "`cell` must be a cell of this library"),
        (lambda cell, params: weights.load_state("torch", cell, ([1.0, [2.0]], [3.0])), "`state` is not a torch state"),
        (
            lambda cell, params: weights.load_state("haiku", cells.stack(cell, cell), None),
            "`state` is not a haiku state",
        ),
    ],
)
def test_arguments_of_wrong_types_are_refused(call, complaint):
    cell = cells.lstm(H)
    with pytest.raises(UserError) as error:
        call(cell, random_params(cell))
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)

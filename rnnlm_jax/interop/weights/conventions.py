"""The table of how each library lays out each recurrent layer: names, gate orders, transposes, biases, signs.

Every row is relative to our own layout: ``h_t = cell(x_t W_x + h_{t-1} W_h + b, …)`` with ``w_x [D, G*H]``,
``w_h [H, G*H]``, gates in the order of each cell's parameters (LSTM i, f, g, o; GRU r, z, n, its z keeping the old
state), one bias, and the GRU's recurrent candidate bias ``b_n`` beside it. All other code in this package is
generic over the rows below.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from rnnlm_jax import cells
from rnnlm_jax.cells import Cell


class CellKind(NamedTuple):
    """A kind of cell of this library that some row lays out."""

    gates: str
    """One letter per gate, in the order of the cell's parameters."""
    factory: Callable[..., Cell]
    params: Callable[..., Any]
    state: type


CELL_KINDS = {
    "elman": CellKind("h", cells.elman, cells.ElmanParams, cells.ElmanState),
    "lstm": CellKind("ifgo", cells.lstm, cells.LSTMParams, cells.LSTMState),
    "lstm-projected": CellKind("ifgo", cells.projected_lstm, cells.ProjectedLSTMParams, cells.LSTMState),
    "gru": CellKind("rzn", cells.gru, cells.GRUParams, cells.GRUState),
}


@dataclass(frozen=True)
class System:
    """A library: what the names and states of all its layers have in common."""

    layer: tuple[str, str] | None = None
    """The text for ``{layer}`` in the first layer and in further ones; None: single cells, without layers."""
    direction: tuple[str, str, str] | None = None
    """The text for ``{direction}``: of a single direction, forward of two, backward of two; None: single only."""
    one_size: bool = False
    """Whether all layers and directions have the same number of units."""
    nested: str = ""
    """Which dots of a name are levels of a nested dictionary: "all", or the "last", the others being slashes."""
    listed: bool = False
    """Whether arrays may be given as a list, too."""
    state: str = "hc"
    """Order of the state of an LSTM: h is the output, c the cell state."""
    state_axis: bool = False
    """Whether layers and directions of a state are stacked on a leading axis, ``[layers * directions, B, H]``."""


@dataclass(frozen=True)
class Convention:
    """One kind of layer of one library.

    A field of names has one name, for an array with all gates side by side in the order ``gates``, or one per gate. Two
    fields with the same name are in one array, the first above the second.
    """

    system: str
    kind: str
    cell: str
    """The kind of our cell, a key of ``CELL_KINDS``."""
    gates: tuple[str, ...]
    """The library's blocks in order, by our letters; a block with two letters is both of these gates."""
    w_x: tuple[str, ...]
    w_h: tuple[str, ...]
    b: tuple[str, ...]
    b_h: tuple[str, ...] = ()
    """A second bias of every gate, added to the recurrent product."""
    b_n: tuple[str, ...] = ()
    """The recurrent bias of a GRU's candidate, multiplied by the reset gate."""
    w_p: tuple[str, ...] = ()
    variant: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Options that our cell must have; the first value is the default."""
    optional: tuple[str, ...] = ()
    """Fields of which a layer has all or none."""
    transposed: bool = False
    """Whether matrices are ``[out, in]``."""
    negated: str = ""
    """Gates whose preactivation has the opposite sign, because ``1 - σ(a) = σ(-a)``."""
    added: tuple[tuple[str, float], ...] = ()
    """Constants that the library adds to a gate's preactivation and stores in no array."""

    @property
    def our_gates(self) -> str:
        """Return our gates in our order, one letter each."""
        return CELL_KINDS[self.cell].gates

    @property
    def title(self) -> str:
        """Return its name in messages."""
        return f"{self.system} {self.kind}"


#: What each library's names of layers and directions look like, by the name of the library.
SYSTEMS: dict[str, System] = {
    "torch": System(("_l0", "_l{}"), ("", "", "_reverse"), one_size=True, state_axis=True),
    "linen": System(nested="all", state="ch"),
    "nnx": System(nested="all", state="ch"),
    "haiku": System(layer=("", "_{}"), nested="last"),
    "equinox": System(),
    "keras": System(direction=("", "forward.", "backward."), one_size=True, listed=True),
}


def _each(template: str, gates: str) -> tuple[str, ...]:
    """Return one name per gate."""
    return tuple(template.format(gate) for gate in gates)


LSTM, GRU = tuple("ifgo"), tuple("rzn")
AFTER, BEFORE = (("reset", ("after",)),), (("reset", ("before",)),)
ANY = (("activation", ("tanh", "relu", "sigmoid", "identity")),)
#: Fields that rows of a library share.
Row = dict[str, Any]
# torch and cuDNN: both biases or neither.
_TORCH: Row = {
    "w_x": ("weight_ih{layer}{direction}",),
    "w_h": ("weight_hh{layer}{direction}",),
    "b": ("bias_ih{layer}{direction}",),
    "b_h": ("bias_hh{layer}{direction}",),
    "optional": ("b", "b_h"),
    "transposed": True,
}
_EQUINOX: Row = {"w_x": ("weight_ih",), "w_h": ("weight_hh",), "b": ("bias",), "transposed": True}
_KERAS: Row = {
    "w_x": ("{direction}kernel",),
    "w_h": ("{direction}recurrent_kernel",),
    "b": ("{direction}bias",),
    "optional": ("b",),
}
_DENSE: Row = {"w_x": ("dense_i.kernel",), "w_h": ("dense_h.kernel",)}
_GATED: Row = {"w_x": _each("i{}.kernel", "rzn"), "w_h": _each("h{}.kernel", "rzn"), "b": _each("i{}.bias", "rzn")}
_LINEN_LSTM: Row = {
    "w_x": _each("i{}.kernel", "ifgo"),
    "w_h": _each("h{}.kernel", "ifgo"),
    "b": _each("h{}.bias", "ifgo"),
}
_HAIKU_LSTM: Row = {  # W_x above W_h, in one array
    "w_x": ("lstm{layer}.linear.w",),
    "w_h": ("lstm{layer}.linear.w",),
    "b": ("lstm{layer}.linear.b",),
}

#: The names, shapes and gate orders of the cells of other libraries, a row for each.
CONVENTIONS: tuple[Convention, ...] = (
    Convention("torch", "RNN_TANH", "elman", ("h",), **_TORCH, variant=(("activation", ("tanh",)),)),
    Convention("torch", "RNN_RELU", "elman", ("h",), **_TORCH, variant=(("activation", ("relu",)),)),
    Convention("torch", "LSTM", "lstm", LSTM, **_TORCH),
    Convention("torch", "LSTM(proj_size)", "lstm-projected", LSTM, **_TORCH, w_p=("weight_hr{layer}{direction}",)),
    Convention("torch", "GRU", "gru", GRU, **_TORCH, variant=AFTER),
    Convention("linen", "LSTMCell", "lstm", LSTM, **_LINEN_LSTM),
    Convention("linen", "OptimizedLSTMCell", "lstm", LSTM, **_LINEN_LSTM),
    Convention("linen", "GRUCell", "gru", GRU, **_GATED, b_n=("hn.bias",), variant=AFTER),
    # Its one gate f is both the reset and the update gate: a GRU with r = z = f.
    Convention(
        "linen",
        "MGUCell",
        "gru",
        ("rz", "n"),
        w_x=_each("i{}.kernel", "fn"),
        w_h=_each("h{}.kernel", "fn"),
        b=_each("i{}.bias", "fn"),
        b_n=("hn.bias",),
        variant=AFTER,
    ),
    Convention("linen", "SimpleCell", "elman", ("h",), ("i.kernel",), ("h.kernel",), ("i.bias",), variant=ANY),
    Convention("nnx", "OptimizedLSTMCell", "lstm", LSTM, **_DENSE, b=("dense_h.bias",)),
    Convention(
        "nnx",
        "LSTMCell",
        "lstm",
        LSTM,
        w_x=("ii.kernel", "if_.kernel", "ig.kernel", "io.kernel"),
        w_h=_LINEN_LSTM["w_h"],
        b=_LINEN_LSTM["b"],
    ),
    Convention("nnx", "GRUCell", "gru", GRU, **_DENSE, b=("dense_i.bias",), variant=AFTER),
    Convention("nnx", "SimpleCell", "elman", ("h",), **_DENSE, b=("dense_i.bias",), variant=ANY),
    Convention(
        "haiku",
        "VanillaRNN",
        "elman",
        ("h",),
        w_x=("vanilla_rnn{layer}.linear.w",),
        w_h=("vanilla_rnn{layer}.linear_1.w",),
        b=("vanilla_rnn{layer}.linear.b",),
        b_h=("vanilla_rnn{layer}.linear_1.b",),
        optional=("b_h",),
        variant=(("activation", ("relu",)),),
    ),
    Convention("haiku", "LSTM", "lstm", tuple("igfo"), **_HAIKU_LSTM, added=(("f", 1.0),)),
    # h' = (1 - z) h + z a: its z weights the candidate, ours the old state.
    Convention(
        "haiku",
        "GRU",
        "gru",
        tuple("zrn"),
        w_x=("gru{layer}.w_i",),
        w_h=("gru{layer}.w_h",),
        b=("gru{layer}.b",),
        negated="z",
        variant=BEFORE,
    ),
    Convention("equinox", "LSTMCell", "lstm", LSTM, **_EQUINOX, optional=("b",)),
    Convention("equinox", "GRUCell", "gru", GRU, **_EQUINOX, b_n=("bias_n",), optional=("b", "b_n"), variant=AFTER),
    Convention("keras", "SimpleRNN", "elman", ("h",), **_KERAS, variant=ANY),
    Convention("keras", "LSTM", "lstm", LSTM, **_KERAS),
    Convention("keras", "GRU", "gru", tuple("zrn"), **_KERAS, b_h=_KERAS["b"], variant=AFTER),
    Convention("keras", "GRU(reset_after=False)", "gru", tuple("zrn"), **_KERAS, variant=BEFORE),
)

#: Layers of these libraries without a row, and why.
INEXPRESSIBLE: dict[tuple[str, str], str] = {
    ("linen", "ConvLSTMCell"): "its maps are convolutions",
    ("haiku", "Conv1DLSTM"): "its maps are convolutions",
    ("haiku", "Conv2DLSTM"): "its maps are convolutions",
    ("haiku", "Conv3DLSTM"): "its maps are convolutions",
    ("keras", "ConvLSTM1D"): "its maps are convolutions",
    ("keras", "ConvLSTM2D"): "its maps are convolutions",
    ("keras", "ConvLSTM3D"): "its maps are convolutions",
    ("linen", "MGUCell(reset_gate=False)"): "no gate of ours can be left always open",
}

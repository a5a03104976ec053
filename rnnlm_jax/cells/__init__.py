"""Recurrent cells as pure functions: ``cell.py`` is the contract, ``cell_registry.py`` the list.

Every registered cell is also a function here, ``cells.lstm_peephole(650)`` for ``cells.make("lstm-peephole", 650)``.
"""

from rnnlm_jax.cells.cell import Cell, CellSpec
from rnnlm_jax.cells.cell_registry import CELLS, make, names
from rnnlm_jax.cells.combinators import Bidirectional, Directions, Stack, bidirectional, stack
from rnnlm_jax.cells.coupled_lstm import CoupledLSTMParams, coupled_lstm
from rnnlm_jax.cells.deltanet import DeltaNetParams, DeltaNetState, deltanet
from rnnlm_jax.cells.elman import ElmanParams, ElmanState, elman, linear
from rnnlm_jax.cells.feed_forward import FeedForwardParams, FeedForwardState, feed_forward
from rnnlm_jax.cells.gla import GLAParams, GLAState, gla
from rnnlm_jax.cells.gru import GRUParams, GRUState, gru
from rnnlm_jax.cells.layer_norm_lstm import LayerNormLSTMParams, layer_norm_lstm
from rnnlm_jax.cells.lstm import LSTMParams, LSTMState, lstm
from rnnlm_jax.cells.lstm_1997 import LSTM1997Params, lstm_1997
from rnnlm_jax.cells.mlstm import MLSTMParams, MLSTMState, mlstm
from rnnlm_jax.cells.no_cell import no_cell
from rnnlm_jax.cells.peephole_lstm import PeepholeLSTMParams, peephole_lstm
from rnnlm_jax.cells.projected_lstm import ProjectedLSTMParams, projected_lstm
from rnnlm_jax.cells.slstm import SLSTMParams, SLSTMState, slstm
from rnnlm_jax.cells.state_dropout import StateDropoutParams, draw_state_masks, state_dropout
from rnnlm_jax.cells.weight_drop import weight_drop
from rnnlm_jax.cells.zoneout import Zoneout, add_masks, zoneout

__all__ = [
    "Bidirectional",
    "Cell",
    "CellSpec",
    "CoupledLSTMParams",
    "DeltaNetParams",
    "DeltaNetState",
    "Directions",
    "ElmanParams",
    "ElmanState",
    "FeedForwardParams",
    "FeedForwardState",
    "GLAParams",
    "GLAState",
    "GRUParams",
    "GRUState",
    "LSTM1997Params",
    "LSTMParams",
    "LSTMState",
    "LayerNormLSTMParams",
    "MLSTMParams",
    "MLSTMState",
    "PeepholeLSTMParams",
    "ProjectedLSTMParams",
    "SLSTMParams",
    "SLSTMState",
    "Stack",
    "StateDropoutParams",
    "Zoneout",
    "add_masks",
    "bidirectional",
    "coupled_lstm",
    "deltanet",
    "draw_state_masks",
    "elman",
    "feed_forward",
    "gla",
    "gru",
    "layer_norm_lstm",
    "linear",
    "lstm",
    "lstm_1997",
    "make",
    "mlstm",
    "names",
    "no_cell",
    "peephole_lstm",
    "projected_lstm",
    "slstm",
    "stack",
    "state_dropout",
    "weight_drop",
    "zoneout",
]


# Cells that are not imported above by name; a module of that name, such as cells/mingru.py, gives way to its factory.
for _name, _entry in CELLS.items():
    if not callable(globals().get(_name.replace("-", "_"))):
        globals()[_name.replace("-", "_")] = _entry.factory

"""Recurrent cells as pure functions: ``cell.py`` is the contract, ``cell_registry.py`` the list.

Every registered cell is also a function here, ``cells.lstm_peephole(650)`` for ``cells.make("lstm-peephole", 650)``.
"""

from rnnlm_jax.cells.antisymmetric import AntisymmetricParams, AntisymmetricState, antisymmetric
from rnnlm_jax.cells.bistable import BistableState, BRCParams, NBRCParams, brc, nbrc
from rnnlm_jax.cells.cell import Cell, CellSpec
from rnnlm_jax.cells.cell_registry import CELLS, make, names
from rnnlm_jax.cells.combinators import Bidirectional, Directions, Stack, bidirectional, stack
from rnnlm_jax.cells.cornn import CoRNNParams, CoRNNState, cornn
from rnnlm_jax.cells.coupled_lstm import CoupledLSTMParams, coupled_lstm
from rnnlm_jax.cells.deltanet import DeltaNetParams, DeltaNetState, deltanet
from rnnlm_jax.cells.elman import ElmanParams, ElmanState, elman, linear
from rnnlm_jax.cells.exprnn import ExpRNNParams, ExpRNNState, exprnn
from rnnlm_jax.cells.feed_forward import FeedForwardParams, FeedForwardState, feed_forward
from rnnlm_jax.cells.gla import GLAParams, GLAState, gla
from rnnlm_jax.cells.gru import GRUParams, GRUState, gru
from rnnlm_jax.cells.indrnn import IndRNNParams, IndRNNState, indrnn
from rnnlm_jax.cells.layer_norm_lstm import LayerNormLSTMParams, layer_norm_lstm
from rnnlm_jax.cells.lem import LEMParams, LEMState, lem
from rnnlm_jax.cells.lstm import LSTMParams, LSTMState, lstm
from rnnlm_jax.cells.lstm_1997 import LSTM1997Params, lstm_1997
from rnnlm_jax.cells.minimalrnn import MinimalRNNParams, MinimalRNNState, minimalrnn
from rnnlm_jax.cells.mlstm import MLSTMParams, MLSTMState, mlstm
from rnnlm_jax.cells.mogrifier_lstm import MogrifierLSTMParams, mogrifier_lstm
from rnnlm_jax.cells.multiplicative_lstm import MultiplicativeLSTMParams, multiplicative_lstm
from rnnlm_jax.cells.no_cell import no_cell
from rnnlm_jax.cells.para_gru import ParaGRUParams, ParaGRUState, para_gru
from rnnlm_jax.cells.para_lstm import ParaLSTMParams, para_lstm
from rnnlm_jax.cells.peephole_lstm import PeepholeLSTMParams, peephole_lstm
from rnnlm_jax.cells.projected_lstm import ProjectedLSTMParams, projected_lstm
from rnnlm_jax.cells.rhn import RHNParams, RHNState, rhn
from rnnlm_jax.cells.single_gate import SingleGateParams, SingleGateState, janet, ligru, mgu, ugrnn
from rnnlm_jax.cells.slstm import SLSTMParams, SLSTMState, slstm
from rnnlm_jax.cells.state_dropout import StateDropoutParams, draw_state_masks, state_dropout
from rnnlm_jax.cells.unicornn import UnICORNNParams, UnICORNNState, unicornn
from rnnlm_jax.cells.weight_drop import weight_drop
from rnnlm_jax.cells.zoneout import Zoneout, add_masks, zoneout

__all__ = [
    "minimalrnn",
    "MinimalRNNState",
    "MinimalRNNParams",
    "unicornn",
    "UnICORNNState",
    "UnICORNNParams",
    "nbrc",
    "brc",
    "NBRCParams",
    "BRCParams",
    "BistableState",
    "para_lstm",
    "ParaLSTMParams",
    "para_gru",
    "ParaGRUState",
    "ParaGRUParams",
    "indrnn",
    "IndRNNState",
    "IndRNNParams",
    "AntisymmetricParams",
    "AntisymmetricState",
    "Bidirectional",
    "Cell",
    "CellSpec",
    "CoRNNParams",
    "CoRNNState",
    "CoupledLSTMParams",
    "DeltaNetParams",
    "DeltaNetState",
    "Directions",
    "ElmanParams",
    "ElmanState",
    "ExpRNNParams",
    "ExpRNNState",
    "FeedForwardParams",
    "FeedForwardState",
    "GLAParams",
    "GLAState",
    "GRUParams",
    "GRUState",
    "LEMParams",
    "LEMState",
    "LSTM1997Params",
    "LSTMParams",
    "LSTMState",
    "LayerNormLSTMParams",
    "MogrifierLSTMParams",
    "MultiplicativeLSTMParams",
    "PeepholeLSTMParams",
    "ProjectedLSTMParams",
    "RHNParams",
    "RHNState",
    "SingleGateParams",
    "SingleGateState",
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
    "antisymmetric",
    "bidirectional",
    "cornn",
    "coupled_lstm",
    "deltanet",
    "draw_state_masks",
    "elman",
    "exprnn",
    "feed_forward",
    "gla",
    "gru",
    "janet",
    "layer_norm_lstm",
    "ligru",
    "lem",
    "linear",
    "lstm",
    "lstm_1997",
    "make",
    "mgu",
    "mogrifier_lstm",
    "multiplicative_lstm",
    "mlstm",
    "names",
    "no_cell",
    "peephole_lstm",
    "projected_lstm",
    "rhn",
    "slstm",
    "stack",
    "state_dropout",
    "ugrnn",
    "weight_drop",
    "zoneout",
]


# Cells that are not imported above by name; a module of that name, such as cells/mingru.py, gives way to its factory.
for _name, _entry in CELLS.items():
    if not callable(globals().get(_name.replace("-", "_"))):
        globals()[_name.replace("-", "_")] = _entry.factory

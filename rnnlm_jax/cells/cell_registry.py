"""Every cell by name, with the paper that it is from."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.cells.antisymmetric import antisymmetric
from rnnlm_jax.cells.bistable import brc, nbrc
from rnnlm_jax.cells.cell import Cell, check_size
from rnnlm_jax.cells.cornn import cornn
from rnnlm_jax.cells.coupled_lstm import coupled_lstm
from rnnlm_jax.cells.deltanet import deltanet
from rnnlm_jax.cells.elman import elman, linear
from rnnlm_jax.cells.exprnn import exprnn
from rnnlm_jax.cells.feed_forward import feed_forward
from rnnlm_jax.cells.gla import gla
from rnnlm_jax.cells.gru import gru
from rnnlm_jax.cells.indrnn import indrnn
from rnnlm_jax.cells.layer_norm_lstm import layer_norm_lstm
from rnnlm_jax.cells.lem import lem
from rnnlm_jax.cells.lru import lru
from rnnlm_jax.cells.lstm import lstm
from rnnlm_jax.cells.lstm_1997 import lstm_1997
from rnnlm_jax.cells.mingru import mingru
from rnnlm_jax.cells.minimalrnn import minimalrnn
from rnnlm_jax.cells.minlstm import minlstm
from rnnlm_jax.cells.mlstm import mlstm
from rnnlm_jax.cells.mogrifier_lstm import mogrifier_lstm
from rnnlm_jax.cells.multiplicative_lstm import multiplicative_lstm
from rnnlm_jax.cells.para_gru import para_gru
from rnnlm_jax.cells.para_lstm import para_lstm
from rnnlm_jax.cells.peephole_lstm import peephole_lstm
from rnnlm_jax.cells.projected_lstm import projected_lstm
from rnnlm_jax.cells.qrnn import qrnn
from rnnlm_jax.cells.rg_lru import rg_lru
from rnnlm_jax.cells.rhn import rhn
from rnnlm_jax.cells.single_gate import janet, ligru, mgu, ugrnn
from rnnlm_jax.cells.slstm import slstm
from rnnlm_jax.cells.sru import sru
from rnnlm_jax.cells.unicornn import unicornn
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.registry.cached_factory import made_by
from rnnlm_jax.registry.registry import Entry, Registry


def check_user_cell(reference: str, cell: Cell, hidden_size: int, *, dtype: np.dtype, param_dtype: np.dtype) -> None:
    """Check that a cell of a user's function has the size and precisions of its arguments, and a kind of its own.

    Raises:
        ArgumentError: if it does not.
    """
    spec = cell.spec
    for field, value in {"hidden_size": hidden_size, "dtype": dtype, "param_dtype": param_dtype}.items():
        if getattr(spec, field) != value:
            raise ArgumentError(
                f"{reference} returned a cell whose spec has {field} {getattr(spec, field)}, not {value}: pass the "
                f"argument {field} on to its spec"
            )
    factory = made_by(cell)
    of_the_library = factory is not None and factory.__module__.startswith("rnnlm_jax.")
    if spec.kind in _library_kinds() and not of_the_library:
        raise ArgumentError(
            f"{reference} returned a cell of kind {spec.kind!r}, one of the library's: give it a kind of its own"
        )


@functools.cache
def _library_kinds() -> frozenset[str]:
    return frozenset(entry.factory(1).spec.kind for entry in CELLS.values())


CELLS: Registry[Cell[Any, Any]] = Registry(
    "cell",
    Cell,
    {
        "linear": Entry(linear, "the linear recurrence"),
        "elman-sigmoid": Entry(functools.partial(elman, activation="sigmoid"), "Elman 1990; Mikolov et al. 2010"),
        "elman-tanh": Entry(functools.partial(elman, activation="tanh"), "Elman 1990"),
        "elman-relu": Entry(functools.partial(elman, activation="relu"), "Elman 1990; Pascanu, Mikolov & Bengio 2013"),
        "irnn": Entry(
            functools.partial(elman, activation="relu", recurrent_init="identity"), "Le, Jaitly & Hinton 2015"
        ),
        "lstm-1997": Entry(lstm_1997, "Hochreiter & Schmidhuber 1997"),
        "lstm": Entry(lstm, "Gers, Schmidhuber & Cummins 2000"),
        "lstm-peephole": Entry(peephole_lstm, "Gers, Schraudolph & Schmidhuber 2002; Graves 2013"),
        "lstm-coupled": Entry(coupled_lstm, "Greff et al. 2017"),
        "lstm-projected": Entry(projected_lstm, "Sak, Senior & Beaufays 2014"),
        "lstm-layer-norm": Entry(layer_norm_lstm, "Ba, Kiros & Hinton 2016"),
        "gru": Entry(functools.partial(gru, reset="after"), "Cho et al. 2014, as in cuDNN"),
        "gru-reset-before": Entry(functools.partial(gru, reset="before"), "Cho et al. 2014"),
        "mingru": Entry(mingru, "Feng et al. 2024"),
        "minlstm": Entry(minlstm, "Feng et al. 2024"),
        "lru": Entry(lru, "Orvieto et al. 2023"),
        "rg-lru": Entry(rg_lru, "De et al. 2024"),
        "sru": Entry(sru, "Lei et al. 2018"),
        "qrnn": Entry(qrnn, "Bradbury et al. 2017"),
        "indrnn": Entry(indrnn, "Li et al. 2018"),
        "para-gru": Entry(para_gru, "Danieli et al. 2025"),
        "para-lstm": Entry(para_lstm, "Danieli et al. 2025"),
        "brc": Entry(brc, "Vecoven, Ernst & Drion 2021"),
        "nbrc": Entry(nbrc, "Vecoven, Ernst & Drion 2021"),
        "unicornn": Entry(unicornn, "Rusch & Mishra 2021"),
        "minimalrnn": Entry(minimalrnn, "Chen, Pennington & Schoenholz 2018"),
        "mgu": Entry(mgu, "Zhou et al. 2016"),
        "janet": Entry(janet, "van der Westhuizen & Lasenby 2018"),
        "ligru": Entry(ligru, "Ravanelli et al. 2018"),
        "ugrnn": Entry(ugrnn, "Collins, Sohl-Dickstein & Sussillo 2017"),
        "rhn": Entry(rhn, "Zilly et al. 2017"),
        "multiplicative-lstm": Entry(multiplicative_lstm, "Krause et al. 2016"),
        "mogrifier-lstm": Entry(mogrifier_lstm, "Melis, Kočiský & Blunsom 2020"),
        "antisymmetric": Entry(antisymmetric, "Chang et al. 2019"),
        "cornn": Entry(cornn, "Rusch & Mishra 2021"),
        "lem": Entry(lem, "Rusch et al. 2022"),
        "exprnn": Entry(exprnn, "Lezcano-Casado & Martínez-Rubio 2019"),
        "gla": Entry(gla, "Yang et al. 2024, gated linear attention"),
        "deltanet": Entry(deltanet, "Schlag, Irie & Schmidhuber 2021; Yang et al. 2024"),
        "slstm": Entry(slstm, "Beck et al. 2024, xLSTM"),
        "mlstm": Entry(mlstm, "Beck et al. 2024, xLSTM"),
        "feed-forward": Entry(feed_forward, "Bengio et al. 2003"),
    },
    supplied=("hidden_size", "dtype", "param_dtype"),
    accepts_functions=True,
    check_user_product=check_user_cell,
)


def make(name: str, hidden_size: int, *, dtype: Any = None, param_dtype: Any = jnp.float32, **options: Any) -> Cell:
    """Return the cell of a name.

    Args:
        name: one of ``names()``, or a user's function, ``FILE.py:function`` or ``module:function``.
        hidden_size: H.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.
        **options: options of the cell, see its factory.

    Raises:
        ArgumentError: for an unknown name or option, or a value that the cell does not accept.
        UserError: if a user's function cannot be loaded, fails, or returns something else than such a cell.
    """
    size = check_size("hidden_size", hidden_size)
    return CELLS.make(name, options, size, dtype=dtype, param_dtype=param_dtype)


def names() -> tuple[str, ...]:
    """Return the names of all cells."""
    return CELLS.names()

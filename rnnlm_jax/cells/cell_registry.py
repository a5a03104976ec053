"""Every cell by name, with the paper it is from: what tests, benchmarks and the command line enumerate."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.coupled_lstm import coupled_lstm
from rnnlm_jax.cells.elman import elman, linear
from rnnlm_jax.cells.feed_forward import feed_forward
from rnnlm_jax.cells.gru import gru
from rnnlm_jax.cells.layer_norm_lstm import layer_norm_lstm
from rnnlm_jax.cells.lstm import lstm
from rnnlm_jax.cells.lstm_1997 import lstm_1997
from rnnlm_jax.cells.peephole_lstm import peephole_lstm
from rnnlm_jax.cells.projected_lstm import projected_lstm
from rnnlm_jax.cells.user_cell import own_cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.registry.user_source import is_reference, load, recorded


@dataclass(frozen=True)
class Entry:
    """A named cell: how to make it, and where it comes from."""

    factory: Callable[..., Cell]
    paper: str

    def options(self) -> list[str]:
        """The names of the options that ``make`` takes besides the hidden size, those the name fixes left out."""
        fixed = self.factory.keywords if isinstance(self.factory, functools.partial) else {}
        return [
            name for name in inspect.signature(self.factory).parameters if name != "hidden_size" and name not in fixed
        ]


CELLS: dict[str, Entry] = {
    "linear": Entry(linear, "the linear recurrence"),
    "elman-sigmoid": Entry(functools.partial(elman, activation="sigmoid"), "Elman 1990; Mikolov et al. 2010"),
    "elman-tanh": Entry(functools.partial(elman, activation="tanh"), "Elman 1990"),
    "elman-relu": Entry(functools.partial(elman, activation="relu"), "Elman 1990; Pascanu, Mikolov & Bengio 2013"),
    "irnn": Entry(functools.partial(elman, activation="relu", recurrent_init="identity"), "Le, Jaitly & Hinton 2015"),
    "lstm-1997": Entry(lstm_1997, "Hochreiter & Schmidhuber 1997"),
    "lstm": Entry(lstm, "Gers, Schmidhuber & Cummins 2000"),
    "lstm-peephole": Entry(peephole_lstm, "Gers, Schraudolph & Schmidhuber 2002; Graves 2013"),
    "lstm-coupled": Entry(coupled_lstm, "Greff et al. 2017"),
    "lstm-projected": Entry(projected_lstm, "Sak, Senior & Beaufays 2014"),
    "lstm-layer-norm": Entry(layer_norm_lstm, "Ba, Kiros & Hinton 2016"),
    "gru": Entry(functools.partial(gru, reset="after"), "Cho et al. 2014, as in cuDNN"),
    "gru-reset-before": Entry(functools.partial(gru, reset="before"), "Cho et al. 2014"),
    "feed-forward": Entry(feed_forward, "Bengio et al. 2003"),
}


def make(name: str, hidden_size: int, **options: Any) -> Cell:
    """The cell of that name, or of a function of the user's own, ``FILE.py:function`` or ``module:function``.

    Raises:
        UserError: for an unknown name, or an option that the cell does not have; as ``own_cell`` for a function.
    """
    if is_reference(name):
        name = recorded(name)  # what is cached goes by the source's digest
        load(name)
        types = {key: options.pop(key) for key in ("dtype", "param_dtype") if key in options}
        return own_cell(name, hidden_size, tuple(sorted(options.items())), _kinds(), **types)
    if name not in CELLS:
        raise UserError(f"unknown cell {name!r}: choose one of {', '.join(CELLS)}, or give FILE.py:function")
    known = CELLS[name].options()
    for option in options:
        if option not in known:
            raise UserError(f"cell {name!r} has no option {option!r}: it has {', '.join(known)}")
    return CELLS[name].factory(hidden_size, **options)


@functools.cache
def _kinds() -> tuple[str, ...]:
    """The kinds of the cells of the zoo."""
    return tuple(sorted({entry.factory(1).spec.kind for entry in CELLS.values()}))

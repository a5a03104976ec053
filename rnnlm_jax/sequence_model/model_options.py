"""The options of a model of sequences, and the model that they describe."""

from dataclasses import dataclass
from typing import Any

from rnnlm_jax import cells
from rnnlm_jax.cells.cell import check_size
from rnnlm_jax.config import option
from rnnlm_jax.sequence_model.model import SequenceModel, model_for
from rnnlm_jax.tasks import Objective


@dataclass(frozen=True)
class ModelOptions:
    """Cell and sizes of a model of sequences."""

    cell: str = option(
        "lstm",
        "recurrent cell by name; FILE.py:function or module:function: a cell of your own, whose source is executed",
        advanced=False,
    )
    cell_options: tuple[tuple[str, Any], ...] = option((), "options of the cell: forget_bias=0,projection_size=64")
    hidden_size: int = option(64, "units in each layer (H)", advanced=False)
    layers: int = option(1, "number of layers", advanced=False)
    residual: bool = option(False, "add each layer's input to its output, from the second layer on")
    sum_outputs: bool = option(False, "pass the sum of all layers' outputs on, in place of the highest one's")
    init_scale: float | None = option(
        None, "draw all initial parameters uniformly from [-x, x]; none: each part's own initial values"
    )
    executor: str | None = option(None, "implementation of the recurrence over time, by name; none: the fastest known")


def build_sequence_model(options: ModelOptions, objective: Objective) -> SequenceModel:
    """Return the model of an objective that options describe.

    Raises:
        UserError: if a cell, an option or an executor is unknown, or a value impossible.
    """
    cell = cells.make(options.cell, options.hidden_size, **dict(options.cell_options))
    if check_size("layers", options.layers) > 1:
        cell = cells.stack(*[cell] * options.layers, residual=options.residual, sum_outputs=options.sum_outputs)
    return model_for(objective, cell, init_scale=options.init_scale, executor=options.executor)

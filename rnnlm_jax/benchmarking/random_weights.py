"""Random weights, the same for every library: drawn with NumPy, all but one bias different from zero."""

from typing import Any

import jax
import numpy as np

from rnnlm_jax.benchmarking.measure.lm_weights import LMWeights
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams


def draw(shapes: Any, seed: int) -> Any:
    """Return random float32 arrays for a NamedTuple of shapes; entries that are None stay None.

    Matrices are scaled so that no recurrence grows; gains are about one. The recurrent candidate bias of a GRU is zero,
    because the GRU of some libraries has none.
    """
    rng = np.random.default_rng(seed)

    def array(name: str, shape: tuple[int, ...]) -> np.ndarray:
        numbers = rng.standard_normal(shape, np.float32)
        if len(shape) == 2:
            return numbers * np.float32(0.7 / np.sqrt(min(shape)))
        if name == "b_n":
            return np.zeros(shape, np.float32)
        return np.float32(name.startswith("gain")) + np.float32(0.1) * numbers

    fields = shapes._asdict().items()
    return type(shapes)(**{name: None if leaf is None else array(name, leaf.shape) for name, leaf in fields})


def cell_weights(cell: Cell, input_size: int, seed: int = 0) -> Any:
    """Return random parameters of a cell."""
    return draw(jax.eval_shape(lambda: cell.init(jax.random.key(0), input_size)), seed)


def model_params(model: LanguageModel, seed: int = 0) -> LanguageModelParams:
    """Return random parameters of a language model with one cell or a stack of cells."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0)))
    cells = shapes.cell if _is_stack(shapes.cell) else (shapes.cell,)
    drawn = tuple(draw(cell, seed + 1 + k) for k, cell in enumerate(cells))
    embedding = draw(shapes._replace(cell=None, output=None), seed).embedding
    output = draw(shapes.output, seed + 1000)
    return LanguageModelParams(embedding, drawn if _is_stack(shapes.cell) else drawn[0], output)


def weights_by_name(params: LanguageModelParams) -> LMWeights:
    """Return the same arrays by name, as the code for other libraries reads them."""
    cells = params.cell if _is_stack(params.cell) else (params.cell,)
    return LMWeights(params.embedding, tuple(cell._asdict() for cell in cells), params.output.w, params.output.b)


def _is_stack(cell: Any) -> bool:
    """Return whether parameters are those of a stack: a plain tuple of NamedTuples."""
    return isinstance(cell, tuple) and not hasattr(cell, "_fields")

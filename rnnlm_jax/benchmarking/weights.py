"""Random weights, the same for everyone: drawn with NumPy, every bias but one other than zero."""

from typing import Any

import jax
import numpy as np

from rnnlm_jax.benchmarking.measure.lm_weights import LMWeights
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams


def draw(shapes: Any, seed: int) -> Any:
    """A NamedTuple of float32 arrays in place of one of shapes; what is None stays None.

    Matrices are scaled so that no recurrence grows, gains are about one. The recurrent candidate bias of a GRU is zero,
    because there are libraries whose GRU has none.
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
    """Parameters of one cell."""
    return draw(jax.eval_shape(lambda: cell.init(jax.random.key(0), input_size)), seed)


def model_params(model: LanguageModel, seed: int = 0) -> LanguageModelParams:
    """Parameters of a language model over one cell, or a stack of them."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0)))
    cells = shapes.cell if _is_stack(shapes.cell) else (shapes.cell,)
    drawn = tuple(draw(cell, seed + 1 + k) for k, cell in enumerate(cells))
    embedding = draw(shapes._replace(cell=None, output=None), seed).embedding
    output = draw(shapes.output, seed + 1000)
    return LanguageModelParams(embedding, drawn if _is_stack(shapes.cell) else drawn[0], output)


def plain(params: LanguageModelParams) -> LMWeights:
    """The same arrays by name, for other libraries to read."""
    cells = params.cell if _is_stack(params.cell) else (params.cell,)
    return LMWeights(params.embedding, tuple(cell._asdict() for cell in cells), params.output.w, params.output.b)


def _is_stack(cell: Any) -> bool:
    """A stack's parameters are a plain tuple of NamedTuples."""
    return isinstance(cell, tuple) and not hasattr(cell, "_fields")

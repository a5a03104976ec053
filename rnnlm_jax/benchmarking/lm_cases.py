"""The language models that are trained, scored and sampled, and the random arrays that every library gets."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.benchmarking import matmul_floor
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams


@dataclass(frozen=True)
class LMCase:
    """An LSTM language model, with embeddings as wide as its layers, and the shape of its batches."""

    name: str
    layers: int
    hidden: int
    vocabulary: int
    steps: int
    batch: int
    tied: bool = False
    """Whether the embedding is the output matrix too."""

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes by letter, as in tables."""
        return {"T": self.steps, "B": self.batch, "H": self.hidden, "layers": self.layers, "V": self.vocabulary}

    def model(self, dtype: str) -> LanguageModel:
        """Return this library's model, without dropout."""
        config = ModelConfig(
            cell="lstm", hidden_size=self.hidden, layers=self.layers, tie_embeddings=self.tied, dtype=dtype
        )
        return build_model(config, self.vocabulary)

    def tokens(self) -> np.ndarray:
        """Return random ids ``[T + 1, B]``: the inputs are all but the last row, the targets all but the first."""
        shape = (self.steps + 1, self.batch)
        return np.random.default_rng(3).integers(0, self.vocabulary, shape).astype(np.int32)


#: Models of training steps: small and medium of Zaremba et al. (2014); the demo; one with a hundred thousand words.
STEPS = (
    LMCase("small", 2, 200, 10_000, 20, 20),
    LMCase("medium", 2, 650, 10_000, 35, 20),
    LMCase("demo", 1, 200, 2_995, 25, 10, tied=True),
    LMCase("large-vocabulary", 1, 512, 100_000, 20, 20),
)

#: The model that scores and samples one text.
INFERENCE = LMCase("small", 2, 200, 10_000, 256, 1)


def vocabulary(size: int) -> Vocabulary:
    """Return a vocabulary of artificial words; the first ends a line."""
    return Vocabulary("word", ("</s>", *(f"w{k}" for k in range(1, size))), None, "</s>")


def floor_matrices(params: LanguageModelParams, dtype: str) -> tuple[tuple[matmul_floor.LayerMatrices, ...], Any]:
    """Return random matrices for the floor: those of every layer, and the output matrix ``[H, V]``."""
    cells = (params.cell,) if hasattr(params.cell, "_fields") else params.cell
    layers = tuple(matmul_floor.layer_matrices(cell, dtype, seed) for seed, cell in enumerate(cells))
    size, hidden = params.embedding.shape
    w_out = np.random.default_rng(5).standard_normal((hidden, size), np.float32) / np.float32(np.sqrt(hidden))
    return layers, jnp.asarray(w_out, dtype)


def floor_inputs(case: LMCase, dtype: str) -> Any:
    """Return random inputs for the floor, ``[T, B, H]``, in place of embedded tokens."""
    shape = (case.steps, case.batch, case.hidden)
    return jnp.asarray(np.random.default_rng(6).standard_normal(shape, np.float32), dtype)

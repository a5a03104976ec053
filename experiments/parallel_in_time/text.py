"""Cells on real text: trained as small language models, and as they were initialised."""

import functools
import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.parallel_in_time.iterations import BLOCKS, DIAGONAL, Advance, iterations_by_length, largest_exponent
from experiments.parallel_in_time.recipe import Recipe
from experiments.record import without_folders
from rnnlm_jax.cells.state_blocks import state_blocks
from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig
from rnnlm_jax.jobs.run_folder import RunFolder, open_run
from rnnlm_jax.training.texts import Texts, load_texts
from rnnlm_jax.training.train import train


def configuration(cell: str, recipe: Recipe) -> Config:
    """Return the configuration of a small language model."""
    return Config(
        data=DataConfig(corpus=recipe.corpus, batch_size=20, bptt=35),
        model=ModelConfig(cell=cell, hidden_size=recipe.units, embedding_size=recipe.units),
        optimizer=OptimizerConfig(optimizer="adam", learning_rate=0.01, schedule="cosine", clip_norm=1.0),
        training=TrainingConfig(steps=recipe.training_steps, seed=recipe.seed, valid_streams=20, keep_last=1),
    )


def of_cell(cell: str, recipe: Recipe, run: Path, *, advance: Advance) -> dict[str, Any]:
    """Return exponents and iterations on the test text, before and after training in the run folder ``run``.

    Raises:
        UserError: of the training.
    """
    folder = RunFolder(run)
    if not folder.results.exists():
        train(configuration(cell, recipe), run, resume=folder.exists(), quiet=False)
    found = json.loads(folder.results.read_text())
    advance(1)
    blocks = state_blocks(open_run(run).model.cell)
    return {
        "cell": cell,
        "parameters": found["parameters"],
        "state_size": blocks.count * blocks.size,
        "block_size": blocks.size,
        "test_perplexity": found["test_perplexity"],
        "unigram_perplexity": found["baselines"]["unigram"],
        "seconds": found["seconds"],
        "initial": _measured(run, "init", recipe, advance),
        "trained": _measured(run, "best", recipe, advance),
        "config": without_folders(json.loads(folder.config.read_text())),
        "recipe": recipe.recorded(),
        "environment": found["environment"],
    }


def _measured(run: Path, which: str, recipe: Recipe, advance: Advance) -> dict[str, Any]:
    """Return the largest exponent, and the iterations: of the diagonal for the middle length only."""
    opened = open_run(run, which)
    model, params = opened.model, opened.params
    tokens = _texts(recipe).test.tokens
    lengths = [steps for steps in recipe.text_lengths if steps <= tokens.size]
    xs = model.embed(params, jnp.asarray(np.asarray(tokens[: lengths[-1]]), jnp.int32))
    found = {
        jacobian: iterations_by_length(
            model.cell, params.cell, xs, some, recipe=recipe, jacobian=jacobian, advance=advance
        )
        for jacobian, some in ((BLOCKS, lengths), (DIAGONAL, lengths[len(lengths) // 2 :][:1]))
    }
    return largest_exponent(model.cell, params.cell, xs, burn_in=min(100, lengths[-1] // 10)) | found


@functools.cache
def _texts(recipe: Recipe) -> Texts:
    return load_texts(configuration(recipe.cells[0], recipe).data)

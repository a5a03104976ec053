"""Train one cell as a language model, and measure what it predicts, how fast it trains, and how far back it looks."""

import dataclasses
import itertools
import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from experiments.every_cell import group
from experiments.record import without_folder, without_folders
from experiments.zoo.sizes import with_size
from rnnlm_jax.cells.cell_registry import CELLS
from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig
from rnnlm_jax.evaluation.horizons import HorizonOptions, measure_horizons
from rnnlm_jax.jobs.run_folder import RunFolder, build_model, open_run
from rnnlm_jax.system.progress import token_bar
from rnnlm_jax.training.results import environment
from rnnlm_jax.training.texts import Texts, load_texts, make_batches
from rnnlm_jax.training.train import train
from rnnlm_jax.training.training_program import training_program
from rnnlm_jax.unroll import describe_executor


@dataclass(frozen=True)
class Recipe:
    """How each cell is trained, and on how much of the test text horizons are measured."""

    corpus: str = "ptb"
    parameters: int = 2_500_000
    """The number of parameters that each model comes nearest to, by its number of units."""
    embedding_size: int = 100
    cutoff: int = 2000
    """The number of most frequent words in the head of the adaptive softmax; the others are one cluster."""
    epochs: int = 2
    steps: int | None = None
    """Steps of training in place of ``epochs``, for a trial."""
    seed: int = 0
    batch_size: int = 20
    bptt: int = 35
    learning_rate: float = 0.003
    """Of Adam at the first step; it falls to zero along half a cosine."""
    clip_norm: float = 1.0
    lags: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
    positions: int = 200
    """Words of the test text whose gradients and contexts are measured."""

    def recorded(self) -> dict[str, Any]:
        """Return the recipe as JSON has it, of a file's path the last part."""
        return json.loads(json.dumps(asdict(self) | {"corpus": without_folder(self.corpus)}))


def configuration(cell: str, recipe: Recipe, vocab_size: int) -> Config:
    """Return the configuration of a cell, with the number of units that its size asks for.

    Raises:
        UserError: if the cell cannot be made so small.
    """
    model = ModelConfig(
        cell=cell,
        embedding_size=recipe.embedding_size,
        output="adaptive",
        output_options=(("cutoffs", recipe.cutoff), ("bias", True)),
    )
    return Config(
        data=DataConfig(corpus=recipe.corpus, batch_size=recipe.batch_size, bptt=recipe.bptt),
        model=with_size(model, vocab_size, recipe.parameters),
        optimizer=OptimizerConfig(
            optimizer="adam", learning_rate=recipe.learning_rate, schedule="cosine", clip_norm=recipe.clip_norm
        ),
        training=TrainingConfig(
            epochs=recipe.epochs, steps=recipe.steps, seed=recipe.seed, valid_streams=20, keep_last=1
        ),
    )


def train_and_measure(cell: str, recipe: Recipe, texts: Texts, run: Path) -> dict[str, Any]:
    """Return the result of one cell: train it in the run folder ``run``, or resume it there, then measure it.

    Raises:
        UserError: of the training, or if the run was begun by another recipe.
    """
    config, folder = configuration(cell, recipe, texts.vocabulary.size), RunFolder(run)
    if not folder.results.exists():
        train(config, run, resume=folder.exists(), quiet=False)
    found = json.loads(folder.results.read_text())
    trained = open_run(run)
    options = HorizonOptions(recipe.lags, recipe.positions, sequences=0, parts=("inputs",))

    def make_bar(what: str, tokens: int) -> Any:
        return token_bar(f"{cell}: {what}", tokens)

    summary = measure_horizons(trained, texts.test, options, name=cell, data="test", make_bar=make_bar).summary
    return {
        "cell": cell,
        "paper": CELLS[cell].paper,
        "group": group(trained.model.cell),
        "hidden_size": config.model.hidden_size,
        "parameters": found["parameters"],
        "recipe": recipe.recorded(),
        "epochs": found["steps"] / make_batches(config.data, texts, recipe.seed).batch_count(0),
        "steps": found["steps"],
        "valid_perplexity": found["valid_perplexity"],
        "test_perplexity": found["test_perplexity"],
        "tokens_per_second_in_training": found["steps"] * recipe.batch_size * recipe.bptt / found["seconds"],
        "horizons": summary["horizons"]["inputs"],
        "relative_norms": summary["relative_norms"]["inputs"],
        "context_horizon": summary["context_horizon"],
        "perplexity_by_context": summary["perplexity_by_context"],
        "perplexity_full_context": summary["perplexity_full_context"],
        "config": without_folders(json.loads(folder.config.read_text())),
        "environment": found["environment"],
    }


#: Steps before the clock starts, and steps timed.
WARM_UP, TIMED = 3, 60


def training_speed(cell: str, recipe: Recipe, texts: Texts) -> dict[str, Any]:
    """Return the tokens per second of training steps of one cell on this machine, with parameters as initialised.

    The time of a step is the median over steps that are awaited one by one; it is only good on a quiet machine.
    """
    config = configuration(cell, recipe, texts.vocabulary.size)
    model = build_model(config.model, texts.vocabulary.size, words=texts.words())
    program = training_program(model, config)
    state = program.initial_state()
    seconds = []
    for batch in itertools.islice(make_batches(config.data, texts, recipe.seed).epoch(0).after(0), WARM_UP + TIMED):
        began = time.perf_counter()
        state, info = jax.block_until_ready(program.step(state, batch))
        seconds.append(time.perf_counter() - began)
        assert jnp.isfinite(info.nats)
    step = statistics.median(seconds[WARM_UP:])
    return {
        "cell": cell,
        "hidden_size": config.model.hidden_size,
        "recipe": recipe.recorded(),
        "tokens_per_second": recipe.batch_size * recipe.bptt / step,
        "executor": describe_executor(model.cell, recipe.embedding_size),
        "environment": environment(),
    }


def texts_of(recipe: Recipe) -> Texts:
    """Return the texts of a recipe, the corpus `ptb` from ``$RNNLM_JAX_DATA``.

    Raises:
        DataError: if they are missing.
    """
    return load_texts(dataclasses.replace(Config().data, corpus=recipe.corpus))

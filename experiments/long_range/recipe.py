"""How the models of the study are trained and measured."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from experiments.record import without_folder
from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig


@dataclass(frozen=True)
class Network:
    """A network of one layer, trained by plain gradient descent on importance samples of the vocabulary."""

    cell: str
    hidden_size: int = 400
    """Units, and the width of the embedding."""
    batch_size: int = 20
    learning_rate: float = 1.0
    """Of losses summed over time and averaged over the batch."""
    epochs: int = 12
    after: int = 6
    """Number of epochs after which the learning rate is halved with each."""
    dropout_input: float = 0.3
    dropout_output: float = 0.3
    init_scale: float | None = 0.08


#: Name of each network -> how it is trained on English. The simple network needs small batches, as in ``mikolov/rnn``.
NETWORKS = {
    "elman": Network("elman-sigmoid", 400, 5, 0.5, dropout_input=0.15, init_scale=None),
    "gru": Network("gru", learning_rate=0.5),
    "lstm": Network("lstm"),
}
#: Name of the n-gram model.
NGRAM = "kn5"
MODELS = (*NETWORKS, NGRAM)


@dataclass(frozen=True)
class Recipe:
    """Training and measurements."""

    corpus: str = "wikitext-2"
    """English text; "" for sentences of the study's own, for a trial."""
    hidden_size: int | None = None
    """Units of each network in place of its own, for a trial."""
    epochs: int | None = None
    """The same for the number of epochs."""
    num_samples: int = 1024
    """Words sampled for each batch."""
    bptt: int = 20
    seed: int = 0
    order: int = 5
    """Order of the n-gram model."""
    contexts: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30)
    """Numbers of words before the verb that a model reads."""
    pairs: int | None = None
    """Number of pairs read of each file, for a trial."""
    distances: tuple[int, ...] = (0, 1, 2, 3, 4, 6, 8, 10)
    """Numbers of phrases between subject and verb in the study's own sentences."""
    sentences: int = 200
    """Sentences of each such number, and of each number of subject and phrases."""
    lags: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
    positions: int = 200
    """Words of the test text whose gradients and contexts are measured."""
    german_sentences: int = 20_000
    german_hidden_size: int = 64
    german_epochs: int = 20

    def recorded(self) -> dict[str, Any]:
        """Return the recipe as JSON has it."""
        networks = {name: asdict(network) for name, network in NETWORKS.items()}
        return json.loads(
            json.dumps(asdict(self) | {"corpus": without_folder(self.corpus) or "own sentences", "networks": networks})
        )


#: The whole study in seconds, to see that it runs: its figures mean nothing.
QUICK = Recipe(
    corpus="",
    hidden_size=8,
    epochs=1,
    num_samples=16,
    contexts=(0, 2, 5),
    pairs=40,
    distances=(0, 1, 2),
    sentences=10,
    lags=(1, 2, 5),
    positions=5,
    german_sentences=60,
    german_hidden_size=8,
    german_epochs=1,
)


def english(name: str, recipe: Recipe, corpus: str) -> Config:
    """Return the configuration of a network on English text."""
    network = NETWORKS[name]
    return Config(
        data=DataConfig(corpus=corpus, batch_size=network.batch_size, bptt=recipe.bptt),
        model=ModelConfig(
            cell=network.cell,
            hidden_size=recipe.hidden_size or network.hidden_size,
            output="importance",
            output_options=(("num_samples", recipe.num_samples),),
            dropout_input=network.dropout_input,
            dropout_output=network.dropout_output,
            init_scale=network.init_scale,
        ),
        optimizer=OptimizerConfig(
            optimizer="sgd",
            learning_rate=network.learning_rate,
            schedule="epochs",
            schedule_options=(("divisor", 2.0), ("after", network.after)),
            clip_norm=5.0,
            loss_normalization="sequence",
        ),
        training=TrainingConfig(
            epochs=recipe.epochs or network.epochs, seed=recipe.seed, valid_streams=20, keep_last=1
        ),
    )


def german(name: str, recipe: Recipe, corpus: str) -> Config:
    """Return the configuration of a network on German sentences: the same cells, smaller, trained by Adam."""
    return Config(
        data=DataConfig(corpus=corpus, batch_size=32, bptt=50),
        model=ModelConfig(cell=NETWORKS[name].cell, hidden_size=recipe.german_hidden_size),
        optimizer=OptimizerConfig(optimizer="adam", learning_rate=0.005, schedule="cosine", clip_norm=1.0),
        training=TrainingConfig(epochs=recipe.german_epochs, seed=recipe.seed, valid_streams=20, keep_last=1),
    )

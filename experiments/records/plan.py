"""What the study trains: published recipes, and a ladder from a plain LSTM to one with every part."""

import dataclasses
from typing import Any, NamedTuple

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig, replace
from rnnlm_jax.presets import preset

#: Groups of models: published recipes; the ladder.
RECORDS, LADDER = "records", "ladder"
GROUPS = (RECORDS, LADDER)


class Model(NamedTuple):
    """A model to train."""

    group: str
    name: str
    title: str
    config: Config
    command: str
    """The command that trains the same model."""
    published: dict[str, float]
    """Published perplexities by split: valid, test."""

    @property
    def path(self) -> str:
        """The name as a path."""
        return f"{self.group}/{self.name}"


class Step(NamedTuple):
    """A step of the ladder: what changes in the step before it."""

    name: str
    title: str
    model: dict[str, Any] = {}
    optimizer: dict[str, Any] = {}


#: From the first to the last; each has the parts of those before it.
STEPS = (
    Step("plain", "LSTM, dropout of input and output with a mask for each step, Adam"),
    Step("tied", "+ tied embeddings, projected", {"tie_embeddings": True}),
    Step("locked", "+ one mask for all steps of a window", {"dropout_locked": True}),
    Step("state", "+ dropout of the state, one mask for a window", {"dropout_state": 0.22}),
    Step("capped", "+ input gate capped by one minus the forget gate", {"cell_options": (("input_gate", "capped"),)}),
    Step("b1", "+ Adam without its first moment (β1 = 0)", {}, {"optimizer_options": (("b1", 0.0),)}),
    Step("average", "+ exponential average of the parameters", {}, {"average": "ema"}),
)


@dataclasses.dataclass(frozen=True)
class Ladder:
    """What all steps of the ladder share: size and budget."""

    corpus: str = "ptb"
    hidden_size: int = 500
    embedding_size: int = 200
    batch_size: int = 32
    bptt: int = 35
    epochs: int = 10
    learning_rate: float = 0.002
    average_decay: float = 0.999
    valid_streams: int = 16

    def configurations(self) -> list[tuple[Step, Config]]:
        """Return the configuration of each step."""
        model: dict[str, Any] = {"dropout_input": 0.5, "dropout_output": 0.5}
        optimizer: dict[str, Any] = {}
        found = []
        for step in STEPS:
            model, optimizer = model | step.model, optimizer | step.optimizer
            average: dict[str, Any] = {}
            if "average" in optimizer:
                average = {"average_options": (("decay", self.average_decay),)}
            found.append(
                (
                    step,
                    Config(
                        data=DataConfig(corpus=self.corpus, batch_size=self.batch_size, bptt=self.bptt),
                        model=ModelConfig(hidden_size=self.hidden_size, embedding_size=self.embedding_size, **model),
                        optimizer=OptimizerConfig(
                            optimizer="adam",
                            learning_rate=self.learning_rate,
                            clip_norm=1.0,
                            **optimizer,
                            **average,
                        ),
                        training=TrainingConfig(epochs=self.epochs, valid_streams=self.valid_streams, keep_last=1),
                    ),
                )
            )
        return found


def published_recipes() -> list[Model]:
    """Return the models of published recipes."""
    rows = (
        ("zaremba-medium", "two layers of 650 units, dropout 0.5", "zaremba/medium", {"valid": 86.2, "test": 82.7}),
        ("melis-10m", "one layer of 1194 units, in 60 epochs", "melis/lstm-10m-60", {"test": 59.6}),
    )
    found = [
        Model(RECORDS, name, title, preset(source), f"rnnlm-jax train {source} --run DIR", published)
        for name, title, source, published in rows
    ]
    config = replace(preset("melis/lstm-10m-60"), data={"corpus": "wikitext-2"}, training={"epochs": 15})
    command = "rnnlm-jax train melis/lstm-10m-60 --data wikitext-2 --epochs 15 --run DIR"
    title = "the same recipe on WikiText-2, in 15 epochs"
    return [*found, Model(RECORDS, "melis-wikitext-2", title, config, command, {})]


def models(ladder: Ladder) -> list[Model]:
    """Return all models, in the order of the tables."""
    command = "python -m experiments.records --runs DIR --only ladder"
    steps = [Model(LADDER, step.name, step.title, config, command, {}) for step, config in ladder.configurations()]
    return [*published_recipes(), *steps]

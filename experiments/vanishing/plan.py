"""What the second half of the study trains: the four networks of equal size, regularised, from several seeds."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from experiments.record import without_folder
from rnnlm_jax.config import Config, replace
from rnnlm_jax.evaluation.horizons import HorizonOptions
from rnnlm_jax.presets import preset

#: The networks, of 2.70 million parameters each, by the names of their presets.
MODELS = ("elman-sigmoid", "elman-tanh", "gru", "lstm")


@dataclass(frozen=True)
class Recipe:
    """How networks are trained to their best validation perplexity, and how they are measured."""

    corpus: str = "ptb"
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = 14
    early_stop: int = 3
    """Validations in a row without a new best one, after which training ends."""
    dropout: float = 0.3
    """Of the vectors of words and of the outputs, one mask for all steps of a window."""
    batch_size: int = 20
    bptt: int = 70
    learning_rate: float = 0.003
    clip_norm: float = 1.0
    valid_streams: int = 16
    lags: tuple[int, ...] = (1, 2, 5, 7, 10, 20, 50, 100, 200)
    positions: int = 500
    smaller: tuple[tuple[str, Any], ...] = ()
    """Changes to the sizes of the models, to try the study."""

    def recorded(self) -> dict[str, Any]:
        """Return the recipe as JSON has it, of a text file its name only."""
        return json.loads(json.dumps(dataclasses.asdict(self) | {"corpus": without_folder(self.corpus)}))

    def config(self, model: str, seed: int) -> Config:
        """Return the configuration of a training."""
        config = preset(f"vanishing/{model}")
        return replace(
            config,
            data={"corpus": self.corpus, "batch_size": self.batch_size, "bptt": self.bptt},
            model={
                "dropout_input": self.dropout,
                "dropout_output": self.dropout,
                "dropout_locked": True,
                **dict(self.smaller),
            },
            optimizer={
                "learning_rate": self.learning_rate,
                "clip_norm": self.clip_norm,
                "schedule": "cosine",
                "schedule_options": (("end", 0.05),),
            },
            training={
                "epochs": self.epochs,
                "early_stop": self.early_stop,
                "seed": seed,
                "valid_streams": self.valid_streams,
                "keep_last": 1,
            },
        )

    @property
    def measured(self) -> HorizonOptions:
        """What is measured."""
        return HorizonOptions(self.lags, self.positions, sequences=0)


#: One seed of small networks on Python's own reference for an epoch, to try the study.
QUICK = dataclasses.replace(
    Recipe(),
    corpus="pydoc",
    seeds=(0, 1),
    epochs=1,
    bptt=20,
    lags=(1, 2, 5, 10),
    positions=20,
    smaller=(("hidden_size", 8), ("embedding_size", 8)),
)

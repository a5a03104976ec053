"""The One Billion Word benchmark at full size: published models on ``tfds:lm1b``.

Papers: Chelba et al. 2013 (the benchmark), Ji et al. 2016, Jozefowicz et al. 2016, Grave et al. 2017. 829,250,940
training tokens, 793,471 words that occur three times or more, sentences shuffled.
Expected: the published test perplexities are in each function's docstring; none was trained here.
Time: days on accelerators. ``python -m experiments.perplexity_table.full_size`` computes parameters, memory and
operations without training.
Command: ``rnnlm-jax train lm1b/lstm-2048 --run DIR``.
"""

from typing import Any

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig

#: Vocabulary size of Chelba et al. 2013, with the sentence marks and <UNK>.
VOCABULARY = 793_471

_SAMPLED: tuple[tuple[str, Any], ...] = (("num_samples", 8192), ("proposal", "log-uniform"))
#: 4096 filters and two highway layers, words of up to 50 characters (Jozefowicz et al. 2016, section 3.2). How many
#: filters there are of each width, 1 to 8, is our choice.
_CHARACTERS: tuple[tuple[str, Any], ...] = (
    ("filters", "32+32+64+128+256+512+1024+2048"),
    ("characters", 16),
    ("highways", 2),
    ("activation", "relu"),
    ("max_length", 50),
)
_CUTOFFS: tuple[tuple[str, Any], ...] = (("cutoffs", "4000:40000:200000"),)


def rnn_blackout() -> Config:
    """Return RNN-2048 with BlackOut, α = 0.1 and 2000 samples (Ji et al. 2016, section 5): perplexity 68.3."""
    model = ModelConfig(
        cell="elman-sigmoid",
        hidden_size=2048,
        output="blackout",
        output_options=(("num_samples", 2000), ("power", 0.1)),
    )
    return _config(
        model,
        OptimizerConfig(
            optimizer="sgd",
            learning_rate=0.1,
            schedule="epochs",
            schedule_options=(("divisor", 2.0), ("after", 5)),
            clip_norm=5.0,
        ),
    )


def rnn_maxent() -> Config:
    """Return RNN-1024 with MaxEnt 9-gram features (Chelba et al. 2013, section 4): perplexity 51.3, 20 B parameters.

    All but 1.6 B of the parameters are the table's; its size is our choice, so that the sum is the published number.
    """
    model = ModelConfig(
        cell="elman-sigmoid",
        hidden_size=1024,
        output="maxent",
        output_options=(("order", 9), ("table_size", 18_374_000_000)),
    )
    return _config(
        model,
        OptimizerConfig(
            optimizer="sgd",
            learning_rate=0.1,
            schedule="epochs",
            schedule_options=(("divisor", 2.0), ("after", 5)),
            clip_scope="cells",
        ),
    )


def lstm() -> Config:
    """Return LSTM-2048 with projection 512 (Jozefowicz et al. 2016): perplexity 43.7, 0.83 B parameters."""
    return _config(_projected(2048, 512, dropout=0.1, output="importance", output_options=_SAMPLED), _adagrad())


def big_lstm() -> Config:
    """Return the 2-layer LSTM-8192 with projection 1024 (Jozefowicz et al. 2016): perplexity 30.6, 1.8 B parameters."""
    return _config(_big(), _adagrad())


def big_lstm_char_cnn() -> Config:
    """Return the same with character-CNN inputs (Jozefowicz et al. 2016): perplexity 30.0, 1.04 B parameters."""
    return _config(_big(input="char-cnn", input_options=_CHARACTERS), _adagrad())


def adaptive_small() -> Config:
    """Return LSTM-2048 with the adaptive softmax (Grave et al. 2017, section 5): perplexity 43.9."""
    return _adaptive(layers=1)


def adaptive_large() -> Config:
    """Return two layers of it (Grave et al. 2017, section 5): perplexity 39.8."""
    return _adaptive(layers=2)


def _adaptive(layers: int) -> Config:
    model = ModelConfig(
        cell="lstm",
        hidden_size=2048,
        layers=layers,
        embedding_size=256,
        output="adaptive",
        output_options=_CUTOFFS,
        dropout_output=0.1,
    )
    return _config(model, OptimizerConfig(optimizer="adagrad", learning_rate=0.1, clip_norm=1.0))


def _big(**inputs: Any) -> ModelConfig:
    return _projected(8192, 1024, layers=2, dropout=0.25, output="importance", output_options=_SAMPLED, **inputs)


def _projected(hidden_size: int, projection: int, dropout: float, **rest: Any) -> ModelConfig:
    return ModelConfig(
        cell="lstm-projected",
        cell_options=(("projection_size", projection),),
        hidden_size=hidden_size,
        embedding_size=projection,
        dropout_input=dropout,
        dropout_hidden=dropout,
        dropout_output=dropout,
        **rest,
    )


def _adagrad() -> OptimizerConfig:
    """Return AdaGrad with clipping of the LSTM's gradient alone (Jozefowicz et al. 2016, section 4)."""
    return OptimizerConfig(
        optimizer="adagrad",
        learning_rate=0.2,
        optimizer_options=(("initial_accumulator_value", 1.0),),
        clip_scope="cells",
        clip_norm=10.0,
    )


def _config(model: ModelConfig, optimizer: OptimizerConfig) -> Config:
    return Config(
        data=DataConfig(corpus="tfds:lm1b", min_count=3, batch_size=128, bptt=20),
        model=model,
        optimizer=optimizer,
        training=TrainingConfig(epochs=5, checkpoint_every=1000),
    )

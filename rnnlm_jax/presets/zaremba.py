"""Two-layer LSTMs on Penn Treebank.

Paper: Zaremba, Sutskever & Vinyals 2014, "Recurrent Neural Network Regularization", section 4.1. Batch 20 with carried
state, plain gradient descent at learning rate 1, losses summed over time and averaged over the batch, dropout on
non-recurrent connections only.
Expected: published perplexities (validation / test): small 120.7 / 114.5, medium 86.2 / 82.7, large 82.2 / 78.4.
Measured here: small 119.1 / 114.3.
Time: small 62 minutes on 2 CPU cores shared with other work; the others were not trained here.
Command: ``rnnlm-jax train zaremba/small --run DIR``.
"""

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig


def small() -> Config:
    """Return 200 units, no dropout, 13 epochs (the paper's non-regularised LSTM)."""
    return _config(200, 0.1, dropout=0.0, bptt=20, epochs=13, divisor=2.0, after=4, clip_norm=5.0)


def medium() -> Config:
    """Return 650 units, dropout 0.5, 39 epochs."""
    return _config(650, 0.05, dropout=0.5, bptt=35, epochs=39, divisor=1.2, after=6, clip_norm=5.0)


def large() -> Config:
    """Return 1500 units, dropout 0.65, 55 epochs."""
    return _config(1500, 0.04, dropout=0.65, bptt=35, epochs=55, divisor=1.15, after=14, clip_norm=10.0)


def _config(
    hidden_size: int,
    init_scale: float,
    *,
    dropout: float,
    bptt: int,
    epochs: int,
    divisor: float,
    after: int,
    clip_norm: float,
) -> Config:
    return Config(
        data=DataConfig(corpus="ptb", batch_size=20, bptt=bptt),
        model=ModelConfig(
            cell="lstm",
            hidden_size=hidden_size,
            layers=2,
            init_scale=init_scale,
            dropout_input=dropout,
            dropout_hidden=dropout,
            dropout_output=dropout,
        ),
        optimizer=OptimizerConfig(
            optimizer="sgd",
            learning_rate=1.0,
            schedule="epochs",
            schedule_options=(("divisor", divisor), ("after", after)),
            clip_norm=clip_norm,
            loss_normalization="sequence",
        ),
        training=TrainingConfig(epochs=epochs),
    )

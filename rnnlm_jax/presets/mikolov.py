"""A simple recurrent network on Penn Treebank.

Paper: Mikolov 2012, "Statistical Language Models Based on Neural Networks". 300 sigmoid units, plain gradient descent
in batches of five, learning rate 0.1 per token, halved after each epoch from the seventh on. Importance sampling in
place of his word classes, and dropout, are later than the thesis.
Expected: test perplexity 111.5, and 101.7 mixed with a Kneser-Ney 5-gram model; the thesis reports 124.7 and 105.7.
``mikolov/blackout``: 119.3 after 6 epochs.
Time: 92 minutes on 2 CPU cores shared with other work; ``mikolov/blackout`` 10 minutes for 6 epochs.
Command: ``rnnlm-jax train mikolov/rnn --run DIR``.
"""

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig, replace
from rnnlm_jax.presets import dropout


def rnn() -> Config:
    """Return the network: importance sampling with 1024 words, dropout 0.15 on inputs and 0.3 on outputs, 13 epochs."""
    return Config(
        data=DataConfig(corpus="ptb", batch_size=5, bptt=20),
        model=ModelConfig(
            cell="elman-sigmoid",
            hidden_size=300,
            output="importance",
            output_options=(("num_samples", 1024),),
            dropout_input=0.15,
            dropout_output=0.3,
        ),
        optimizer=OptimizerConfig(
            optimizer="sgd",
            learning_rate=0.5,
            schedule="epochs",
            schedule_options=(("divisor", 2.0), ("after", 6)),
            clip_norm=5.0,
            loss_normalization="sequence",
        ),
        training=TrainingConfig(epochs=13),
    )


def blackout() -> Config:
    """Return the same trained by BlackOut (Ji et al. 2016), with the samples of ``dropout/blackout``."""
    options = dropout.blackout().model.output_options
    return replace(rnn(), model={"output": "blackout", "output_options": options})

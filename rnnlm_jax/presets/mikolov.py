"""Mikolov 2012, "Statistical Language Models Based on Neural Networks": the recurrent network, on Penn Treebank.

Test perplexity 124.7 there, 105.7 with a Kneser-Ney 5-gram. 300 sigmoid units, plain gradient descent in batches of
five, a rate of 0.1 a token, halved after each epoch from the seventh on. Importance sampling in place of his classes,
and dropout, are later than the thesis. Command: ``rnnlm-jax train mikolov/rnn --run DIR``.
"""

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig, replace
from rnnlm_jax.presets import dropout


def rnn() -> Config:
    """300 units, a softmax over each word and 1024 others, dropout 0.15 on inputs and 0.3 on outputs, 13 epochs."""
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
            optimizer="sgd", learning_rate=0.5, decay=2.0, decay_after=6, clip_norm=5.0, loss_normalization="sequence"
        ),
        training=TrainingConfig(epochs=13),
    )


def blackout() -> Config:
    """The same trained by BlackOut (Ji et al. 2016): 2048 samples, hits counted, as in ``dropout/blackout``."""
    options = dropout.blackout().model.output_options
    return replace(rnn(), model={"output": "blackout", "output_options": options})

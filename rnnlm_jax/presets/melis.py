"""Regularised LSTMs on Penn Treebank, tuned by the authors.

Paper: Melis, Dyer & Blunsom 2018, "On the State of the Art of Evaluation in Neural Language Models", sections 3 and 4;
what the paper does not say is from the configurations that the authors published with their program.
A capped input gate, tied embeddings, state dropout with one mask for the whole window while the masks of input, hidden,
output and latent dropout are drawn at every step, Adam without its first moment, losses summed over time and averaged
over the batch, an L2 penalty on all parameters, 1 % of the states forgotten at each window, and a tenth of the learning
rate after 27 validations, 100 steps apart, without a better one.
What differs from the authors' program: initial values are this library's (uniform and orthogonal in place of truncated
normal numbers of equal or similar variance; biases at zero), an epoch starts at the beginning of the text in place of
a random place in it, and the penalty is added to the clipped gradient in place of being clipped with it.
Expected: published test perplexity 59.6 (``lstm-10m``, one layer).
``lstm-10m-60`` is ours: the same in 60 epochs, with a learning rate that falls along half a cosine.
Measured here: not trained.
Time: ``lstm-10m-60`` three hours of two CPU cores. ``lstm-10m`` 241 epochs of 280 s at 200 GFLOP/s, which two CPU cores
may reach: 19 hours, by arithmetic; training stops earlier, after 31 validations without a better one.
Command: ``rnnlm-jax train melis/lstm-10m --run DIR``, then ``rnnlm-jax eval DIR --data ptb:test --temperature fit``.
"""

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig, replace


def lstm_10m() -> Config:
    """Return one layer of 1194 units with an embedding of 268: 10 million parameters."""
    return Config(
        data=DataConfig(corpus="ptb", batch_size=64, bptt=35, state_reset_probability=0.01),
        model=ModelConfig(
            cell="lstm",
            cell_options=(("forget_bias", 1.0), ("input_gate", "capped")),
            hidden_size=1194,
            embedding_size=268,
            tie_embeddings=True,
            dropout_input=0.579891622066,
            dropout_state=0.215256482363,
            dropout_output=0.327008873224,
            dropout_latent=0.327008873224,  # the authors' program drops before and after the projection alike
        ),
        optimizer=OptimizerConfig(
            optimizer="adam",
            optimizer_options=(("b1", 0.0), ("b2", 0.999), ("eps", 1e-8)),
            learning_rate=0.00417865626514,
            schedule="plateau",
            schedule_options=(("factor", 0.1), ("patience", 27), ("latest", 900)),
            clip_norm=10.0,
            weight_decay=0.000124350262922,
            loss_normalization="sequence",
        ),
        training=TrainingConfig(epochs=241, valid_every=100, valid_streams=64, early_stop=31),
    )


def lstm_10m_60() -> Config:
    """Return the same model for a quarter of the time: 60 epochs, a rate that falls along half a cosine to 1 %."""
    return replace(
        lstm_10m(),
        optimizer={"schedule": "cosine", "schedule_options": (("end", 0.01),)},
        training={"epochs": 60, "valid_every": "1 epoch", "early_stop": None},
    )

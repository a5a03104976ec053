"""The AWD-LSTM on Penn Treebank.

Paper: Merity, Keskar & Socher 2018, "Regularizing and Optimizing LSTM Language Models", sections 3 to 5; what the paper
does not say is from the authors' program.
Three layers of 1150, 1150 and 400 units with a tied embedding of 400; half of the recurrent weights dropped for a
window; one mask of input, hidden and output dropout for all steps of a window, and dropout of whole words;
activations and their changes penalised; windows of random length; plain gradient descent at a rate of 30, averaged
(NT-ASGD) from the first validation on that is worse than the best of all but the last five.
What differs from the authors' program: initial values of the LSTMs and of the embedding are this library's (theirs are
all uniform), each gate has one bias in place of two, and windows are cut at 85 steps.
Expected: published test perplexity 58.8, without fine-tuning.
Measured here: not trained.
Time: ``docs/recipes.md`` has a table.
Command: ``rnnlm-jax train awd/lstm --run DIR``.
"""

from rnnlm_jax.config import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig


def lstm() -> Config:
    """Return three layers, the last as wide as the embedding: 24 million parameters, 500 epochs."""
    return Config(
        data=DataConfig(
            corpus="ptb",
            batch_size=20,
            bptt=70,
            bptt_random=(("probability", 0.95), ("deviation", 5.0), ("minimum", 5)),
        ),
        model=ModelConfig(
            cell="lstm",
            cell_options=(("forget_bias", 0.0),),
            hidden_size=1150,
            last_hidden_size=400,
            layers=3,
            embedding_size=400,
            tie_embeddings=True,
            dropout_embedding=0.1,
            dropout_input=0.4,
            dropout_hidden=0.25,
            dropout_output=0.4,
            dropout_locked=True,
            weight_drop=0.5,
        ),
        optimizer=OptimizerConfig(
            optimizer="sgd",
            learning_rate=30.0,
            clip_norm=0.25,
            weight_decay=1.2e-6,
            average="nt-asgd",
            average_options=(("interval", 5),),
            regularize=(("activation", 2.0), ("temporal_activation", 1.0)),
        ),
        training=TrainingConfig(epochs=500, valid_streams=10),
    )

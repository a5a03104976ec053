"""The Mogrifier LSTM on Penn Treebank, tuned by the authors.

Paper: Melis, Kočiský & Blunsom 2020, "Mogrifier LSTM", section 4; the tuned numbers are those of the configuration
that the authors published with their program.
Two layers of 912 units, the largest size within 24 million parameters, whose outputs are summed; five rounds in which
input and state scale each other, with matrices of rank 84; a capped input gate; tied embeddings. Input and state are
dropped before the rounds read them: the state by one mask for a whole window, the other masks are drawn at every step.
Adam without its first moment (their "rmsprop") at one learning rate, losses summed over time and averaged over the
batch, an L2 penalty w/2 ‖p‖² on all parameters, 1 % of the states forgotten before each window. Parameters are averaged
from the 50th validation in a row without a better one on, 200 steps apart, or from validation 800 on in any case.
What differs from the authors' program: biases of the gates start at zero (the forget gate's at 1, as there), an epoch
starts at the beginning of the text in place of a place drawn at random, validations during training are without a
fitted temperature, and the penalty's gradient is added to the clipped gradient in place of being clipped with it.
Expected: published test perplexity 50.1, with dynamic evaluation 44.8.
Measured here: not trained.
Time: ``docs/recipes.md`` has a table.
Command: ``rnnlm-jax train mogrifier/lstm --run DIR``, then ``rnnlm-jax eval DIR --data ptb:test --temperature fit``.
"""

from rnnlm_jax.config import Config, replace
from rnnlm_jax.presets import melis


def lstm() -> Config:
    """Return two layers of 912 units, 24 million parameters: 200,096 steps unless stopped before."""
    return replace(
        melis.lstm_24m(),
        data={"bptt": 70},
        model={
            "cell": "mogrifier-lstm",
            "cell_options": (("rounds", 5), ("rank", 84), ("forget_bias", 1.0), ("input_gate", "capped")),
            "hidden_size": 912,
            "layers": 2,
            "dropout_input": 0.7290787773167251,
            "dropout_hidden": 0.2909822365241189,
            "dropout_state": 0.38729439899832296,
            "dropout_output": 0.7156690388448465,
        },
        optimizer={
            "learning_rate": 0.002299987130225388,
            "schedule": "constant",
            "schedule_options": (),
            "weight_decay": 0.00025235335778471014,
            "average": "plateau",
            "average_options": (("patience", 50), ("latest", 800)),
        },
        training={"epochs": 962, "valid_every": 200, "early_stop": None},
    )

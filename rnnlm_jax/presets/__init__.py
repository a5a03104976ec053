"""Presets: configurations of published experiments, by name (``paper/size``)."""

from collections.abc import Callable

from rnnlm_jax.config import Config
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.presets import (
    demo,
    dropout,
    feed_forward,
    grammar,
    jozefowicz,
    lm1b,
    melis,
    mikolov,
    rnnme,
    sampled,
    vanishing,
    zaremba,
)

PRESETS: dict[str, Callable[[], Config]] = {
    "demo": demo.demo,
    "demo/elman": demo.elman,
    "dropout/softmax": dropout.softmax,
    "dropout/adaptive": dropout.adaptive,
    "dropout/blackout": dropout.blackout,
    "dropout/importance": dropout.importance,
    "dropout/nce": dropout.nce,
    "feed-forward/5gram": feed_forward.five_gram,
    "grammar/lstm": grammar.lstm,
    "grammar/elman": grammar.elman,
    "jozefowicz/lstm": jozefowicz.lstm,
    "jozefowicz/two-layers": jozefowicz.two_layers,
    "jozefowicz/char-cnn": jozefowicz.char_cnn,
    "lm1b/rnn-blackout": lm1b.rnn_blackout,
    "lm1b/rnn-maxent": lm1b.rnn_maxent,
    "lm1b/lstm-2048": lm1b.lstm,
    "lm1b/lstm-8192": lm1b.big_lstm,
    "lm1b/lstm-8192-char-cnn": lm1b.big_lstm_char_cnn,
    "lm1b/adaptive-small": lm1b.adaptive_small,
    "lm1b/adaptive-large": lm1b.adaptive_large,
    "melis/lstm-10m": melis.lstm_10m,
    "melis/lstm-10m-60": melis.lstm_10m_60,
    "mikolov/rnn": mikolov.rnn,
    "mikolov/blackout": mikolov.blackout,
    "rnnme/alone": rnnme.alone,
    "rnnme/maxent": rnnme.maxent,
    "sampled/importance": sampled.importance,
    "sampled/nce": sampled.nce,
    "sampled/blackout": sampled.blackout,
    "vanishing/elman-sigmoid": vanishing.elman_sigmoid,
    "vanishing/elman-tanh": vanishing.elman_tanh,
    "vanishing/exploding": vanishing.exploding,
    "vanishing/clipped": vanishing.clipped,
    "vanishing/gru": vanishing.gru,
    "vanishing/lstm": vanishing.lstm,
    "zaremba/small": zaremba.small,
    "zaremba/medium": zaremba.medium,
    "zaremba/large": zaremba.large,
}


def preset(name: str) -> Config:
    """Return the configuration of a preset.

    Raises:
        ConfigError: if the name is unknown; the message lists the known ones.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}, or give a Python file")
    return PRESETS[name]()

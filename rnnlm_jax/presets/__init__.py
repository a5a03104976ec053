"""Published experiments by name, ``paper/size``: configurations, and nothing else."""

from collections.abc import Callable

from rnnlm_jax.config import Config
from rnnlm_jax.errors import UserError
from rnnlm_jax.presets import demo, grammar, vanishing, zaremba

PRESETS: dict[str, Callable[[], Config]] = {
    "demo": demo.demo,
    "demo/elman": demo.elman,
    "grammar/lstm": grammar.lstm,
    "grammar/elman": grammar.elman,
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
    """The configuration of that name.

    Raises:
        UserError: if there is none, listing those there are.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}, or give a Python file")
    return PRESETS[name]()

"""Update rules: those of optax by name, and functions of the user."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from rnnlm_jax.errors import ConfigError
from rnnlm_jax.registry import user_source
from rnnlm_jax.registry.user_source import is_reference
from rnnlm_jax.training.row_updates import with_promotion

RuleFactory = Callable[..., optax.GradientTransformation]


def momentum(learning_rate: optax.ScalarOrSchedule, momentum: float = 0.9) -> optax.GradientTransformation:
    """``v ← g + μ v``, then ``p ← p - η v``."""
    return optax.sgd(learning_rate, momentum)


def nesterov(learning_rate: optax.ScalarOrSchedule, momentum: float = 0.9) -> optax.GradientTransformation:
    """Momentum with the gradient taken ahead (Nesterov 1983; Sutskever et al. 2013)."""
    return optax.sgd(learning_rate, momentum, nesterov=True)


def sm3(learning_rate: optax.Schedule, momentum: float = 0.9) -> optax.GradientTransformation:
    """SM3 (Anil et al. 2019), whose function in optax takes no schedule."""
    return optax.chain(optax.sm3(1.0, momentum), optax.scale_by_schedule(learning_rate))


#: Options that say which parameters decay; a configuration sets them by its ``weight_decay_mask``.
_MASKS = ("mask", "weight_decay_mask")

#: Update rules by the names that optax gives them: all that need nothing but gradients and parameters.
RULES: dict[str, RuleFactory] = {
    "sgd": optax.sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "sm3": sm3,
    **{
        name: getattr(library, name)
        for library, names in (
            (
                optax,
                "adabelief adadelta adafactor adagrad adam adamax adamaxw adamw adan amsgrad fromage lamb lars lion",
            ),
            (optax, "nadam nadamw novograd optimistic_gradient_descent optimistic_adam_v2 radam rmsprop"),
            (optax, "sign_sgd signum yogi"),
            (contrib, "acprop ademamix adopt dadapt_adamw madgrad muon prodigy simplified_ademamix"),
        )
        for name in names.split()
        if hasattr(library, name)
    },
}


def make_rule(name: str, schedule: optax.Schedule, **options: Any) -> optax.GradientTransformation:
    """Return an update rule.

    Args:
        name: one of ``RULES``, or a reference ``FILE.py:function`` or ``module:function`` to a function
            ``(schedule, **options) -> optax.GradientTransformation``.
        schedule: the learning rate of each update.
        options: options of the function, checked against its signature.

    Raises:
        ConfigError: for an unknown name or option, a value that the function refuses, or a function that returns
            anything else.
    """
    if is_reference(name):
        user_source.load(name)  # before its signature is read
    known = rule_options(name)
    for option in options:
        if known is not None and option not in known and option not in _MASKS:
            its = ", ".join(known) or "none"
            raise ConfigError(f"optimizer {_shown(name)!r} has no option {option!r}: its options are {its}")
    if is_reference(name):
        rule = user_source.call(name, schedule, **options)
        if not isinstance(rule, optax.GradientTransformation):
            raise ConfigError(
                f"{_shown(name)} must return an optax.GradientTransformation, not {type(rule).__name__}: correct it"
            )
        return rule
    try:
        _try(RULES[name](schedule, **{option: value for option, value in options.items() if option not in _MASKS}))
        return RULES[name](schedule, **options)
    except Exception as error:  # optax raises many kinds for values of another type
        raise ConfigError(
            f"optimizer {name!r} cannot be made with these options ({type(error).__name__}: {error}): correct them"
        ) from error


def _try(rule: optax.GradientTransformation) -> None:
    """Trace an update: some wrong values of options are only found there."""
    params = {"matrix": jax.ShapeDtypeStruct((2, 2), jnp.float32)}
    rule = with_promotion(rule)
    jax.eval_shape(lambda p: rule.update(p, rule.init(p), p), params)


def rule_options(name: str) -> list[str] | None:
    """Return the names of the options of a rule; None if its function takes any.

    Raises:
        ConfigError: for an unknown name, or a reference to a function that does not exist.
    """
    if is_reference(name):
        function: Any = user_source.load(name)
        parameters = list(inspect.signature(function).parameters.values())[1:]
    else:
        if name not in RULES:
            raise ConfigError(
                f"unknown `optimizer` {name!r}: choose one of {', '.join(RULES)}, or give FILE.py:function"
            )
        own = inspect.signature(RULES[name]).parameters.values()
        parameters = [p for p in own if p.name not in ("learning_rate", *_MASKS)]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters]


def mask_option(name: str) -> str | None:
    """Return the option with which a rule of optax takes a mask of its weight decay; None if it has none."""
    if is_reference(name) or name not in RULES:
        return None
    return next((option for option in _MASKS if option in inspect.signature(RULES[name]).parameters), None)


def _shown(name: str) -> str:
    return user_source.shown(name)

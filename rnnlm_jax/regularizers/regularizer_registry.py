"""Every regulariser by name, with the paper that it is from, and a list of them from options."""

from collections.abc import Iterable, Sequence
from typing import Any

from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import ArgumentError, ConfigError
from rnnlm_jax.registry.registry import Entry, Registry
from rnnlm_jax.regularizers.activation import activation, temporal_activation
from rnnlm_jax.regularizers.recurrence import flossing, omega
from rnnlm_jax.regularizers.regularizer import Regularizer

#: Every regulariser by name, with its source; options of a factory are options of the command line.
REGULARIZERS: Registry[Regularizer] = Registry(
    "regulariser",
    Regularizer,
    {
        "activation": Entry(activation, "Merity, McCann & Socher 2017"),
        "temporal_activation": Entry(temporal_activation, "Merity, McCann & Socher 2017"),
        "omega": Entry(omega, "Pascanu, Mikolov & Bengio 2013"),
        "flossing": Entry(flossing, "Engelken 2023"),
    },
    supplied=("weight",),
)


def make_regularizers(pairs: Iterable[tuple[str, Any]]) -> tuple[Regularizer, ...]:
    """Return the regularisers of ``name=weight`` pairs, beside which ``name_option=value`` sets an option of one.

    Args:
        pairs: such as ``(("flossing", 1), ("flossing_exponents", 4))``.

    Raises:
        ConfigError: for an unknown name or option, one that is given twice, an option without its regulariser, or an
            impossible value.
    """
    weights: dict[str, Any] = {}
    options: dict[str, dict[str, Any]] = {}
    for name, value in pairs:
        kind, option = _split(name)
        given = weights if option is None else options.setdefault(kind, {})
        key = kind if option is None else option
        if key in given:
            raise ConfigError(f"`regularize` gives {name} twice: leave one out")
        given[key] = value
    for kind in options.keys() - weights.keys():
        first = next(iter(options[kind]))
        raise ConfigError(f"`regularize` gives {kind}_{first} without a weight of {kind}: add {kind}=1")
    try:
        return tuple(REGULARIZERS.make(kind, options.get(kind, {}), weight) for kind, weight in weights.items())
    except ArgumentError as error:
        raise ConfigError(str(error)) from None


def regularizers_for(cell: Cell, pairs: Iterable[tuple[str, Any]]) -> Sequence[Regularizer]:
    """Return ``make_regularizers`` after checking that each is defined for a cell.

    Raises:
        ConfigError: as ``make_regularizers``, or if a regulariser is not defined for the cell.
    """
    made = make_regularizers(pairs)
    for each in made:
        try:
            each.check(cell)
        except ArgumentError as error:
            raise ConfigError(str(error)) from None
    return made


def _split(name: str) -> tuple[str, str | None]:
    """Return a regulariser and its option, which is None for its weight.

    Raises:
        ConfigError: if there is no such regulariser or option.
    """
    if name in REGULARIZERS:
        return name, None
    for kind in REGULARIZERS:
        for option in REGULARIZERS.options(kind):
            if name == f"{kind}_{option}":
                return kind, option
    listed = [each for kind in REGULARIZERS for each in (kind, *(f"{kind}_{o}" for o in REGULARIZERS.options(kind)))]
    raise ConfigError(f"`regularize` has no {name!r}: choose among {', '.join(listed)}")

"""Command-line options made from the fields of the configuration's dataclasses.

The fields' metadata give each option's name, type, choices, default and help. Options of everyday use are in the group
"common options"; those whose field is marked ``advanced`` are listed by ``--help-all`` only, one group per dataclass.
"""

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any

from rnnlm_jax.cli.common_arguments import Arguments
from rnnlm_jax.cli.parser import Parser
from rnnlm_jax.config import Config, check_config, flag_of, replace

#: Type of a value -> what messages call it.
_NOUNS = {int: "a whole number", float: "a number", str: "a word"}

#: Value of an option that was given as "none"; argparse's own None means that the option was not given.
NONE = object()


def add_config_options(parser: Parser, common: Arguments, defaults: Config) -> None:
    """Add an option for every field of the configuration; its destination is ``group.field``.

    Args:
        parser: gets a group of advanced options for each part of the configuration, and ``--help-all``.
        common: the group that gets the other options.
        defaults: the configuration whose values the help shows as defaults.
    """
    parser.add_help_all()
    for group in dataclasses.fields(Config):
        add_fields(parser, common, getattr(defaults, group.name), name=group.name, prefix=f"{group.name}.")


def add_fields(parser: Parser, common: Arguments, defaults: Any, *, name: str, prefix: str = "") -> None:
    """Add an option for every field of a dataclass.

    Args:
        parser: gets a group of the advanced options.
        common: the group that gets the other options.
        defaults: an instance, whose values the help shows as defaults.
        name: the name of the group of advanced options.
        prefix: text before the name of a field in its destination.
    """
    kind = type(defaults)
    hints = typing.get_type_hints(kind)
    advanced: Arguments | None = None
    for spec in dataclasses.fields(kind):
        help = f"{spec.metadata['help']} (default: {_shown(getattr(defaults, spec.name))})".replace("%", "%%")
        destination = f"{prefix}{spec.name}"
        if not spec.metadata.get("advanced", False):
            _add_option(common, destination, spec, hints[spec.name], help)
            continue
        if advanced is None:
            about = (kind.__doc__ or "").strip() if parser.shows_advanced else None
            advanced = parser.add_argument_group(f"{name} options", about)
        _add_option(advanced, destination, spec, hints[spec.name], parser.advanced(help))


def fields_from(arguments: argparse.Namespace, defaults: Any) -> Any:
    """Return a copy of a dataclass with the fields whose options, added without a prefix, were given."""
    given = {spec.name: getattr(arguments, spec.name) for spec in dataclasses.fields(defaults)}
    changes = {name: None if value is NONE else value for name, value in given.items() if value is not None}
    return dataclasses.replace(defaults, **changes)


def _add_option(parser: Arguments, destination: str, spec: dataclasses.Field, hint: Any, help: str) -> None:
    flag = flag_of(spec)
    if hint is bool:
        parser.add_argument(flag, dest=destination, action=argparse.BooleanOptionalAction, default=None, help=help)
        return
    choices = spec.metadata["choices"] or None
    metavar = None if choices else (spec.metadata.get("flag") or spec.name).upper().replace("-", "_")
    parser.add_argument(
        flag, dest=destination, type=value_parser(hint), choices=choices, default=None, metavar=metavar, help=help
    )


def _shown(value: Any) -> str:
    return "none" if value is None or value == () else str(value)


def value_parser(hint: Any) -> Callable[[str], Any]:
    """Return a function from a word of the command line to a value of a field's type.

    The word "none" becomes ``NONE`` where the type includes None.
    """
    if typing.get_origin(hint) is tuple:
        return parse_numbers if typing.get_args(hint)[0] is int else parse_pairs
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kinds = [kind for kind in (int, float, str) if kind in members]

    def parse(word: str) -> Any:
        if type(None) in members and word.lower() == "none":
            return NONE
        for kind in kinds:
            try:
                return kind(word)
            except ValueError:
                continue
        raise argparse.ArgumentTypeError(f"{word!r} is not {' or '.join(_NOUNS[kind] for kind in kinds)}")

    return parse


def parse_numbers(word: str) -> tuple[int, ...]:
    """Return whole numbers that are separated by commas."""
    try:
        return tuple(int(part) for part in word.split(",") if part)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is not a list of whole numbers such as 100,200") from None


def parse_pairs(word: str) -> tuple[tuple[str, Any], ...]:
    """Return ``name=value,name=value`` as pairs; values that look like numbers, booleans or none become those."""
    pairs: dict[str, Any] = {}
    for part in filter(None, word.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise argparse.ArgumentTypeError(f"{part!r} is not name=value")
        name = name.strip().replace("-", "_")
        if name in pairs:
            raise argparse.ArgumentTypeError(f"{name} is given twice")
        pairs[name] = _literal(value.strip())
    return tuple(pairs.items())


def _literal(word: str) -> Any:
    named = {"true": True, "false": False, "none": None}
    if word.lower() in named:
        return named[word.lower()]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def apply_options(config: Config, arguments: argparse.Namespace) -> Config:
    """Return the configuration with the fields whose options were given replaced.

    Where the name of a part changes, such as that of the cell or the schedule, and its options are not given, they are
    none. A number of epochs alone takes the place of a number of steps.

    Raises:
        ConfigError: if a value is out of range.
    """
    changes: dict[str, dict[str, Any]] = {}
    for destination, value in vars(arguments).items():
        group, dot, name = destination.partition(".")
        if dot and value is not None:
            changes.setdefault(group, {})[name] = None if value is NONE else value
    length = changes.get("training", {})
    if "epochs" in length:
        length.setdefault("steps", None)
    for group, new in changes.items():  # options of a cell, schedule, … that is replaced are not those of the new one
        part = getattr(config, group)
        for name in [name for name in new if hasattr(part, f"{name}_options") and new[name] != getattr(part, name)]:
            new.setdefault(f"{name}_options", ())
    return check_config(replace(config, **changes))

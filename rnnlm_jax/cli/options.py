"""Command-line options made from the fields of the configuration's dataclasses: one place says what each is.

argparse does the parsing; what is here reads types, defaults and help from the fields, and tells errors in one line.
"""

import argparse
import dataclasses
import sys
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from rnnlm_jax.config import Config, check_config, flag_of, replace
from rnnlm_jax.errors import UserError
from rnnlm_jax.system.input_files import read_input

#: Metavariables of arguments that name files, folders, or corpora.
_NAMES = {"CONFIG", "DATA", "DATA_DIR", "DIR", "FILE", "MODEL", "PATH", "RUN", "TOKENIZER", "VOCABULARY"}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit with 2, and for which no file has an empty name."""

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """Parse, and refuse the empty names that come of shell variables that are not set."""
        found, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            value = getattr(found, action.dest, None)
            if action.metavar in _NAMES and "" in (value if isinstance(value, list) else [value]):
                self.error(f"argument {'/'.join(action.option_strings) or action.metavar}: a name cannot be empty")
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and where help is, without the usage."""
        print(f"{self.prog}: error: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


def add_config_options(parser: argparse.ArgumentParser, base: Config) -> None:
    """An option for every field of the configuration, in one group a dataclass; ``base`` gives the defaults shown."""
    for group in dataclasses.fields(Config):
        kind = typing.get_type_hints(Config)[group.name]
        section = parser.add_argument_group(f"{group.name} options", (kind.__doc__ or "").strip())
        hints = typing.get_type_hints(kind)
        for spec in dataclasses.fields(kind):
            default = getattr(getattr(base, group.name), spec.name)
            _add_option(section, group.name, spec, hints[spec.name], default)


def _add_option(section: Any, group: str, spec: dataclasses.Field, hint: Any, default: Any) -> None:
    flag, destination = flag_of(spec), f"{group}.{spec.name}"
    about = f"{spec.metadata['help']} (default: {_shown(default)})".replace("%", "%%")
    if hint is bool:
        section.add_argument(flag, dest=destination, action=argparse.BooleanOptionalAction, default=None, help=about)
        return
    choices = spec.metadata["choices"] or None
    metavar = None if choices else (spec.metadata.get("flag") or spec.name).upper().replace("-", "_")
    section.add_argument(
        flag, dest=destination, type=value_parser(hint), choices=choices, default=None, metavar=metavar, help=about
    )


def _shown(value: Any) -> str:
    return "none" if value is None or value == () else str(value)


def value_parser(hint: Any) -> Callable[[str], Any]:
    """What turns a word of the command line into a value of a field's type; "none" is None where the type has it."""
    if typing.get_origin(hint) is tuple:
        return parse_pairs
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


#: Stands for a None that was asked for: argparse's own None means that the option was not given.
NONE = object()
_NOUNS = {int: "a whole number", float: "a number", str: "a word"}


def parse_pairs(word: str) -> tuple[tuple[str, Any], ...]:
    """``name=value,name=value`` as pairs; values are numbers or booleans where they look like it."""
    pairs = []
    for part in filter(None, word.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise argparse.ArgumentTypeError(f"{part!r} is not name=value")
        pairs.append((name.strip().replace("-", "_"), _literal(value.strip())))
    return tuple(pairs)


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
    """The configuration with the options that were given in place of its fields.

    Raises:
        UserError: if a number is out of range.
    """
    changes: dict[str, dict[str, Any]] = {}
    for destination, value in vars(arguments).items():
        group, dot, name = destination.partition(".")
        if dot and value is not None:
            changes.setdefault(group, {})[name] = None if value is NONE else value
    return check_config(replace(config, **changes))


def given_options(arguments: argparse.Namespace) -> Sequence[str]:
    """The names of the configuration options that were given."""
    return [name for name, value in vars(arguments).items() if "." in name and value is not None]


def load_config_file(path: str) -> Config:
    """The configuration that a Python file's ``get_config()`` returns.

    Raises:
        UserError: if the file cannot be run, or returns something else.
    """
    return config_of_source(read_input(path, "configuration file"), path)


def config_of_source(source: bytes, path: str) -> Config:
    """The configuration that ``get_config()`` of some Python source returns; ``path`` is where it is from.

    Raises:
        UserError: if it cannot be run, or returns something else.
    """
    module: dict[str, Any] = {"__name__": "<run_path>", "__file__": path}
    try:
        exec(compile(source, path, "exec"), module)
        get_config = module.get("get_config")
        config = get_config() if callable(get_config) else None
    except (Exception, SystemExit) as error:  # the file is the user's code: whatever it raises is told in one line
        raise UserError(f"{path} failed with {type(error).__name__}: {error}; mend it and try again") from error
    if not callable(get_config):
        raise UserError(f"cannot read a configuration from {path}: it needs a function get_config()")
    if not isinstance(config, Config):
        raise UserError(f"get_config() of {path} must return a rnnlm_jax.config.Config, not {type(config).__name__}")
    return config

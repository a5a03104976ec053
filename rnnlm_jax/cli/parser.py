"""The argument parser of every command: a short help text, errors of one line, no empty file names."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

#: Metavariables of arguments that name a file, a folder or a corpus.
FILE_METAVARS = {"CONFIG", "DATA", "DATA_DIR", "DIR", "FILE", "MODEL", "PATH", "RUN", "TOKENIZER", "VOCABULARY"}


class Parser(argparse.ArgumentParser):
    """An argument parser with a short help text, errors of one line, and no empty file names.

    Parsed arguments have an attribute ``option_names``: the option of each argument by its name in Python, such as
    ``{"top_k": "--top-k"}``.
    """

    def __init__(self, *arguments: Any, shows_advanced: bool = False, **options: Any):
        """Create a parser; ``shows_advanced`` is whether its help lists advanced options, as for ``--help-all``."""
        super().__init__(*arguments, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.shows_advanced, self.has_advanced = shows_advanced, False

    def advanced(self, help: str) -> str:
        """Return the help text of an option that only ``--help-all`` lists."""
        return help if self.shows_advanced else argparse.SUPPRESS

    def add_help_all(self) -> None:
        """Add ``--help-all``, for a parser with advanced options."""
        self.has_advanced = True
        self.add_argument("--help-all", action="help", help="show all options, advanced ones too, and exit")

    def finish(self, examples: str = "") -> None:
        """Set a usage of one line, and close the help with examples; call it after the last argument is added."""
        self.usage = " ".join([self.prog, *self._usage_words(), "[options]"])
        if examples:
            self.epilog = "\n\n".join(filter(None, [self.epilog, f"examples:\n{examples}"]))

    def _usage_words(self) -> Iterator[str]:
        """Yield the positional arguments, then the required options, as a user types them.

        Of a group of which one is required, the first.
        """
        firsts = [group._group_actions[0] for group in self._mutually_exclusive_groups if group.required]
        for action in sorted(self._actions, key=lambda action: bool(action.option_strings)):
            name = action.metavar if isinstance(action.metavar, str) else action.dest
            if action.option_strings:
                if action.required or action in firsts:
                    yield f"{action.option_strings[0]} {name}"
            else:
                yield {"?": f"[{name}]", "+": f"{name} [{name} ...]"}.get(str(action.nargs), name)

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """Parse, and refuse empty file names, which come from shell variables that are not set."""
        found, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            value = getattr(found, action.dest, None)
            if action.metavar in FILE_METAVARS and "" in (value if isinstance(value, list) else [value]):
                self.error(f"argument {'/'.join(action.option_strings) or action.metavar}: a name cannot be empty")
        own = {action.dest: action.option_strings[-1] for action in self._actions if action.option_strings}
        found.option_names = own | getattr(found, "option_names", {})  # those of a subcommand's parser come first
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Print an error and where to find help on one line, and exit with code 2."""
        print(f"{self.prog}: error: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)

"""What ``--help`` shows: the basic options first, examples at the end, and everything with ``--help-all``."""

import dataclasses
import re
import shlex
import typing
from pathlib import Path

import pytest

from rnnlm_jax.cli import config_options
from rnnlm_jax.cli.main import COMMANDS
from rnnlm_jax.cli.parser import Parser
from rnnlm_jax.config import Config, flag_of
from rnnlm_jax.presets import PRESETS, preset

DOCS = Path(__file__).parents[2] / "docs"


def without_spaces(text):
    return "".join(text.split())  # lines break at hyphens too


def config_fields():
    for group in dataclasses.fields(Config):
        for spec in dataclasses.fields(typing.get_type_hints(Config)[group.name]):
            yield group.name, spec


def test_full_help_of_training_has_every_option_with_its_default(rnnlm):
    outcome = rnnlm("train", "--help-all")
    assert outcome.code == 0
    shown = without_spaces(outcome.out)
    for group, spec in config_fields():
        default = getattr(getattr(preset("demo"), group), spec.name)  # the value without the option
        default = "none" if default in (None, ()) else default
        about = without_spaces(f"{spec.metadata['help']} (default: {default})")
        assert re.search(rf"{flag_of(spec)}[^()]*{re.escape(about)}", shown), spec.name
    for word in ("--run", "--resume-or-start", "--json", "--partner-timeout", "--profile-steps", "--compilation-cache"):
        assert word in shown


def test_short_help_of_training_has_the_options_that_are_not_advanced(rnnlm):
    outcome = rnnlm("train", "--help")
    assert outcome.code == 0
    options = set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", outcome.out, re.MULTILINE))
    basic = {flag_of(spec) for _, spec in config_fields() if not spec.metadata.get("advanced", False)}
    assert options == basic | {"--help", "--help-all", "--run", "--resume", "--json"}


@dataclasses.dataclass(frozen=True)
class Part:
    """A part with two options."""

    size: int = dataclasses.field(default=3, metadata={"help": "the size", "choices": ()})
    seed: int = dataclasses.field(default=0, metadata={"help": "the seed", "choices": (), "advanced": True})


@dataclasses.dataclass(frozen=True)
class TinyConfig:
    part: Part = dataclasses.field(default_factory=Part)


@pytest.mark.parametrize("shows_advanced", [False, True])
def test_advanced_options_are_grouped_and_listed_by_help_all_only(monkeypatch, shows_advanced):
    monkeypatch.setattr(config_options, "Config", TinyConfig)
    parser = Parser(prog="program", shows_advanced=shows_advanced)
    config_options.add_config_options(parser, parser.add_argument_group("common options"), TinyConfig())
    parser.finish("  program --size 4")
    shown = parser.format_help()
    assert shown.startswith("usage: program [options]\n")
    assert "common options:\n  --size SIZE  the size (default: 3)\n" in shown
    assert ("part options:\n  A part with two options.\n\n  --seed SEED  the seed" in shown) is shows_advanced
    assert ("--seed" in shown) is shows_advanced
    assert shown.endswith("examples:\n  program --size 4\n")
    assert vars(parser.parse_args(["--seed", "5"]))["part.seed"] == 5


def test_presets_are_listed_by_group_and_described_by_help_all(rnnlm):
    short, full = (rnnlm("train", word).out for word in ("--help", "--help-all"))
    assert "  zaremba/small, zaremba/medium, zaremba/large\n" in short
    for name in PRESETS:
        assert name in short
        assert re.search(rf"^  {name} +\S", full, re.MULTILINE), name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(rnnlm, command):
    outcome = rnnlm(command, "--help")
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.out.startswith(f"usage: rnnlm-jax {command} ")
    assert re.search(rf"^examples:\n(.*\n)*  .*rnnlm-jax {command}", outcome.out, re.MULTILINE)
    if command not in ("bench", "ngram", "build-kernels"):
        assert "--json" in outcome.out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_of_examples_exist(rnnlm, command):
    shown = rnnlm(command, "--help-all" if command in ("train", "aot") else "--help").out
    examples = [line for line in shown.partition("examples:\n")[2].splitlines() if f"rnnlm-jax {command}" in line]
    for line in examples:
        words = shlex.split(line.partition("  rnnlm-jax")[2].partition("   ")[0] or line)
        action = words[1:2] if command == "ngram" else []
        known = rnnlm(command, *action, "--help").out if action else shown
        for option in [word for word in words if word.startswith("--")]:
            assert re.search(rf"^  {option}\b|, {option}\b", known, re.MULTILINE), (line, option)


@pytest.mark.parametrize("page", ["training", "optimizers", "recipes", "training-jobs", "evaluation"])
def test_the_options_of_a_page_exist(rnnlm, page):
    text = (DOCS / f"{page}.md").read_text().replace("\\\n", " ")
    for command in ("train", "eval"):
        shown = rnnlm(command, "--help-all" if command == "train" else "--help").out
        known = set(re.findall(r"--[a-z][a-z-]*", shown))
        for line in re.findall(rf"(?:rnnlm-jax|`){command} [^#\n`]*", text.replace("rnnlm-jax ", "rnnlm-jax")):
            assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", line)) <= known, line


def test_the_usage_names_what_is_required(rnnlm):
    usage = {command: rnnlm(command, "--help").out.splitlines()[0] for command in ("train", "eval", "compare")}
    assert usage["train"] == "usage: rnnlm-jax train [CONFIG] --run DIR [options]"
    assert usage["eval"] == "usage: rnnlm-jax eval RUN --data FILE [options]"
    assert usage["compare"] == "usage: rnnlm-jax compare RUN [RUN ...] --data FILE [options]"
    assert rnnlm("ngram", "train", "--help").out.startswith("usage: rnnlm-jax ngram train FILE --out MODEL [options]\n")


def test_the_program_names_its_commands_and_version(rnnlm):
    from rnnlm_jax import __version__

    outcome = rnnlm("--help")
    assert all(command in outcome.out for command in COMMANDS)
    assert rnnlm("--version").out == f"rnnlm-jax {__version__}\n"

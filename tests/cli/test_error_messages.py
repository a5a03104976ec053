"""The options that the command line shows for the arguments that the library's messages name."""

import dataclasses
import typing

import pytest

from rnnlm_jax.cli.commands import sample as command
from rnnlm_jax.cli.error_messages import describe, errors_with_option_names, with_option_names
from rnnlm_jax.config import Config, flag_of
from rnnlm_jax.errors import ArgumentError
from tests.cli.conftest import one_line

FIELDS = [spec for kind in typing.get_type_hints(Config).values() for spec in dataclasses.fields(kind)]


@pytest.mark.parametrize("spec", FIELDS, ids=lambda spec: spec.name)
def test_a_configuration_field_becomes_its_option(spec):
    assert with_option_names(f"`{spec.name}` must be positive", {}) == f"{flag_of(spec)} must be positive"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`top_k` must be 1 or more, not 0", "--top-k must be 1 or more, not 0"),
        ("`hidden_size` and `top_k` differ", "--hidden-size and --top-k differ"),
        ("`corpus` is empty", "--data is empty"),
        ("`xs` must have shape [T, B, D]", "`xs` must have shape [T, B, D]"),
        ("run `rnnlm-jax train --resume` again", "run `rnnlm-jax train --resume` again"),
        ("top_k must be 1 or more", "top_k must be 1 or more"),
    ],
)
def test_only_backquoted_names_of_known_arguments_are_replaced(message, shown):
    assert with_option_names(message, {"top_k": "--top-k", "corpus": "--corpus"}) == shown


def test_the_error_keeps_its_class_and_cause():
    with pytest.raises(ArgumentError) as caught, errors_with_option_names({"lines": "--lines"}):
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ArgumentError("`lines` must be positive") from error
    assert describe(caught.value) == (2, "--lines must be positive")
    assert isinstance(caught.value.__cause__, KeyError)


def test_other_errors_are_unchanged():
    with pytest.raises(ZeroDivisionError, match="`lines`"), errors_with_option_names({"lines": "--lines"}):
        raise ZeroDivisionError("`lines`")


def test_a_command_shows_its_own_options_and_those_of_the_configuration(trained, rnnlm, monkeypatch):
    def fail(*_, **__):
        raise ArgumentError("`top_p`, `hidden_size` and `prompt_ids` cannot be")

    monkeypatch.setattr(command, "sample", fail)
    outcome = rnnlm("sample", trained)
    assert outcome.code == 2
    assert one_line(outcome.err) == "rnnlm-jax: error: --top-p, --hidden-size and `prompt_ids` cannot be"

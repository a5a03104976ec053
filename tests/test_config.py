"""Configurations: JSON and back, impossible values, digests, and the metadata of options."""

import dataclasses
import hashlib
import json
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlm_jax.config import Config, check_config, fixed_options_digest, flag_of, from_json, option, replace, to_json
from rnnlm_jax.errors import ConfigError

POSITIVE = st.floats(1e-6, 1e6)
#: Strategies by type of field, and by name for the fields with rules of their own.
KINDS = {
    bool: st.booleans(),
    int: st.integers(1, 10**6),
    float: st.floats(0.0, 0.99, exclude_min=True),
    str: st.text(max_size=8),
    type(None): st.none(),
}
PAIRS = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=8),
        st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=5),
    ),
    max_size=3,
).map(tuple)
OWN = {
    "remat_chunk": st.none() | st.just("sqrt") | st.integers(1, 99),
    "watchdog": st.none() | st.just("auto") | POSITIVE,
    "learning_rate": POSITIVE,
    "clip_norm": st.none() | POSITIVE,
}


def values(spec, hint):
    if spec.metadata["choices"]:
        return st.sampled_from(spec.metadata["choices"])
    if typing.get_origin(hint) is tuple:
        return PAIRS
    members = typing.get_args(hint) if not isinstance(hint, type) else (hint,)
    return OWN[spec.name] if spec.name in OWN else st.one_of([KINDS[member] for member in members])


def parts():
    made = {}
    for group, kind in typing.get_type_hints(Config).items():
        hints = typing.get_type_hints(kind)
        made[group] = st.builds(
            kind, **{spec.name: values(spec, hints[spec.name]) for spec in dataclasses.fields(kind)}
        )
    return st.builds(Config, **made)


@settings(max_examples=60, deadline=None)
@given(config=parts())
def test_json_gives_the_same_configuration_back(config):
    again = from_json(to_json(config))
    assert again == config
    assert hash(again) == hash(config)
    assert to_json(again) == to_json(config)


def test_json_has_the_names_of_the_fields_and_missing_ones_have_defaults():
    content = json.loads(to_json(Config()))
    assert content["model"]["hidden_size"] == 200
    assert set(content) == {"data", "model", "optimizer", "training", "parallel"}
    # Files of older versions lack later fields.
    del content["training"]["log_every"]
    assert from_json(json.dumps(content)) == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"model": {"width": 3}}', "unexpected keyword argument 'width'"),
        ('{"modell": {}}', "'modell'"),
        ('{"model": 3}', "not a configuration of this version"),
        ("[]", "not a configuration of this version"),
        ("", "not a configuration of this version"),
        (b"\xff\xff", "not a configuration of this version"),
        ('{"model": {"cell_options": [["forget_bias"]]}}', "not a configuration of this version"),
        ('{"model": {"layers": 1.5}}', "`layers` cannot be 1.5: it must be a whole number"),
        ('{"model": {"residual": 1}}', "`residual` cannot be 1: it must be true or false"),
        ('{"training": {"epochs": true}}', "`epochs` cannot be True"),
        ('{"optimizer": {"learning_rate": NaN}}', "`learning_rate` must be a positive number"),
        ('{"data": {"corpus": null}}', "`corpus` cannot be None: it must be a string"),
        ('{"data": {"batch_size": 2147483648}}', "`batch_size` must be below 2^31"),
        ('{"optimizer": {"accumulate": 0}}', "`accumulate` must be a positive number, not 0"),
        ('{"optimizer": {"average": "mean"}}', "`average` must be one of none, ema"),
    ],
)
def test_text_that_is_not_a_configuration_is_refused_in_one_line(text, message):
    with pytest.raises(ConfigError) as raised:
        from_json(text, "runs/x/config.json")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_whole_numbers_are_allowed_for_floats():
    config = replace(Config(), optimizer={"learning_rate": 1, "clip_norm": 5})
    assert check_config(config) is config


def test_replace_changes_a_copy():
    before = Config()
    after = replace(before, model={"layers": 3}, training={"seed": 4})
    assert (after.model.layers, after.training.seed, after.data) == (3, 4, before.data)
    assert before == Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        after.model.layers = 1


def test_the_digest_depends_only_on_options_that_change_the_numbers():
    """Options at their defaults do not count."""
    config = replace(Config(), model={"layers": 2}, data={"corpus": "a.txt"})
    for same in (
        {"training": {"epochs": 99, "log_every": 3, "keep_last": 5, "log_jacobian": True}},
        {"data": {"corpus": "/b.txt", "data_dir": "there", "vocabulary": "words.json", "input_workers": 2}},
        {"parallel": {"mesh": "data=2"}},
    ):
        assert fixed_options_digest(replace(config, **same)) == fixed_options_digest(config)
    for other in (
        {"training": {"seed": 1}},
        {"data": {"bptt": 36}},
        {"model": {"layers": 1}},
        {"model": {"cell_options": (("forget_bias", 0),)}},
        {"optimizer": {"learning_rate": 0.1}},
    ):
        assert fixed_options_digest(replace(config, **other)) != fixed_options_digest(config)
    assert fixed_options_digest(Config()) == hashlib.sha256(b"{}").hexdigest()
    assert fixed_options_digest(from_json(to_json(config))) == fixed_options_digest(config)


def test_every_field_has_help_and_a_flag_of_its_own():
    flags = [flag_of(spec) for kind in typing.get_type_hints(Config).values() for spec in dataclasses.fields(kind)]
    assert len(set(flags)) == len(flags)
    assert flag_of(dataclasses.fields(dataclasses.make_dataclass("X", [("a_b", int, option(1, "h"))]))[0]) == "--a-b"


def test_options_for_newcomers_are_few():
    kinds = typing.get_type_hints(Config).values()
    basic = [flag_of(spec) for kind in kinds for spec in dataclasses.fields(kind) if not spec.metadata["advanced"]]
    assert "--data" in basic and "--cell" in basic and "--hidden-size" in basic
    assert len(basic) < 10

"""A configuration goes to JSON and back, and what is impossible is said by the option's name."""

import dataclasses
import hashlib
import json
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlm_jax import UserError
from rnnlm_jax.config import Config, check_config, flag_of, from_json, kept_digest, option, replace, to_json

POSITIVE = st.floats(1e-6, 1e6)
#: What each kind of field may hold; the fields with rules of their own are named.
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
    "learning_rate": POSITIVE,
    "clip_norm": st.none() | POSITIVE,
    "cell_options": PAIRS,
    "input_options": PAIRS,
    "output_options": PAIRS,
}


def values(spec, hint):
    if spec.metadata["choices"]:
        return st.sampled_from(spec.metadata["choices"])
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
def test_json_and_back(config):
    again = from_json(to_json(config))
    assert again == config
    assert hash(again) == hash(config)
    assert to_json(again) == to_json(config)


def test_json_is_made_of_the_names_of_the_fields():
    content = json.loads(to_json(Config()))
    assert content["model"]["hidden_size"] == 200
    assert set(content) == {"data", "model", "optimizer", "training", "parallel"}
    # What an older version did not know has its default.
    del content["training"]["log_every"]
    assert from_json(json.dumps(content)) == Config()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"model": {"width": 3}}', "unexpected keyword argument 'width'"),
        ('{"modell": {}}', "'modell'"),
        ('{"model": 3}', "no configuration of this version"),
        ("[]", "no configuration of this version"),
        ("", "no configuration of this version"),
        (b"\xff\xff", "no configuration of this version"),
        ('{"model": {"cell_options": [["forget_bias"]]}}', "no configuration of this version"),
        ('{"model": {"layers": 1.5}}', "--layers cannot be 1.5: it must be a whole number"),
        ('{"model": {"residual": 1}}', "--residual cannot be 1: it must be true or false"),
        ('{"training": {"epochs": true}}', "--epochs cannot be True"),
        ('{"optimizer": {"learning_rate": NaN}}', "--learning-rate must be a positive number"),
        ('{"data": {"corpus": null}}', "--data cannot be None: it must be a word"),
        ('{"optimizer": {"optimizer": "magic"}}', "--optimizer must be one of sgd, momentum"),
    ],
)
def test_what_is_no_configuration_is_told(text, said):
    with pytest.raises(UserError) as told:
        from_json(text, "runs/x/config.json")
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_a_whole_number_will_do_for_a_float():
    config = replace(Config(), optimizer={"learning_rate": 1, "clip_norm": 5})
    assert check_config(config) is config


def test_replace_changes_a_copy():
    before = Config()
    after = replace(before, model={"layers": 3}, training={"seed": 4})
    assert (after.model.layers, after.training.seed, after.data) == (3, 4, before.data)
    assert before == Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        after.model.layers = 1


def test_the_digest_of_what_a_resumed_run_keeps():
    """It depends on options that touch numbers, and on no others; one at its default is as if there were none."""
    config = replace(Config(), model={"layers": 2}, data={"corpus": "a.txt"})
    for same in (
        {"training": {"epochs": 99, "log_every": 3, "keep_last": 5, "log_jacobian": True}},
        {"data": {"corpus": "/b.txt", "data_dir": "there", "vocabulary": "words.json", "input_workers": 2}},
        {"parallel": {"mesh": "data=2"}},
    ):
        assert kept_digest(replace(config, **same)) == kept_digest(config)
    for other in (
        {"training": {"seed": 1}},
        {"data": {"bptt": 36}},
        {"model": {"layers": 1}},
        {"model": {"cell_options": (("forget_bias", 0),)}},
        {"optimizer": {"learning_rate": 0.1}},
    ):
        assert kept_digest(replace(config, **other)) != kept_digest(config)
    assert kept_digest(Config()) == hashlib.sha256(b"{}").hexdigest()
    assert kept_digest(from_json(to_json(config))) == kept_digest(config)


def test_every_field_has_help_and_a_flag_of_its_own():
    flags = [flag_of(spec) for kind in typing.get_type_hints(Config).values() for spec in dataclasses.fields(kind)]
    assert len(set(flags)) == len(flags)
    assert flag_of(dataclasses.fields(dataclasses.make_dataclass("X", [("a_b", int, option(1, "h"))]))[0]) == "--a-b"

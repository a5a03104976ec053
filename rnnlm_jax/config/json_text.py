"""A configuration as JSON text, with a digest that detects damage."""

import dataclasses
import hashlib
import json
import typing
from typing import Any

from rnnlm_jax.config.checks import check_config, replace
from rnnlm_jax.config.experiment import Config, options
from rnnlm_jax.errors import ConfigError


def to_json(config: Config) -> str:
    """Return the configuration as JSON text."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str | bytes, name: str = "the configuration") -> Config:
    """Return the configuration that JSON text describes; missing fields have their defaults.

    Args:
        text: the text, with or without the digest that ``to_sealed_json`` adds.
        name: the name of its file, for errors.

    Raises:
        ConfigError: if it is not JSON, has unknown fields, does not have its digest, or has values that are not
            possible.
    """
    return config_and_identity_from_json(text, name)[0]


def config_and_identity_from_json(text: str | bytes, name: str = "the configuration") -> tuple[Config, Any]:
    """Return the configuration and the ``identity`` that JSON text contains; None if it has no identity.

    Raises:
        ConfigError: as ``from_json``.
    """
    try:
        groups = json.loads(text)
        seal = groups.pop("digest", None)
        content = dict(groups)
        identity = groups.pop("identity", None)
        kinds = typing.get_type_hints(Config)
        config = Config(**{group: dataclasses.replace(kinds[group](), **values) for group, values in groups.items()})
        for group, spec, value in list(options(config)):
            if typing.get_origin(typing.get_type_hints(kinds[group])[spec.name]) is tuple:  # JSON has lists of lists
                config = replace(config, **{group: {spec.name: tuple((str(k), v) for k, v in value)}})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{name} is not a configuration of this version ({error}): train again, or restore the file"
        ) from error
    if seal is not None and seal != content_digest(content):
        raise ConfigError(
            f"{name} is damaged, or was edited by hand: restore it from a copy; to change options of a run, give them "
            "to rnnlm-jax train --resume"
        )
    return check_config(config), identity


def to_sealed_json(config: Config, identity: dict[str, Any] | None = None) -> str:
    """Return the configuration as JSON text with a digest of its content, with which ``from_json`` detects damage.

    Args:
        config: the configuration.
        identity: the identity of the run, as ``RunIdentity.entry`` returns it.
    """
    groups = json.loads(to_json(config)) | ({} if identity is None else {"identity": identity})
    return json.dumps(groups | {"digest": content_digest(groups)}, indent=2) + "\n"


def fixed_options_digest(config: Config) -> str:
    """Return the digest of the options that a resumed run must not change.

    Options at their defaults are left out, so that the digest stays the same in a version with more options.
    """
    fixed = {
        f"{group}.{spec.name}": value
        for group, spec, value in options(config)
        if not spec.metadata["may_change"] and value != spec.default
    }
    return content_digest(fixed)


def content_digest(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a JSON object, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

"""The configuration that a command starts from: a preset, or a Python file with ``get_config()``."""

import inspect
import itertools
from typing import Any

from rnnlm_jax.config import Config
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.presets import PRESETS
from rnnlm_jax.system.input_files import read_input


def list_presets(with_descriptions: bool) -> str:
    """Return the list of presets for a command's help: one line per paper or study, or one line per preset."""
    lines = ["presets:"]
    if with_descriptions:
        width = max(map(len, PRESETS))
        lines += [f"  {name:<{width}}  {_description(make)}" for name, make in PRESETS.items()]
    else:
        groups = itertools.groupby(PRESETS, key=lambda name: name.partition("/")[0])
        lines += [f"  {', '.join(names)}" for _, names in groups]
        lines += ["  (--help-all describes each)"]
    return "\n".join(lines)


def _description(make: Any) -> str:
    return (inspect.getdoc(make) or "").partition("\n")[0].replace("``", "")


def load_config_file(path: str) -> Config:
    """Return the configuration from a Python file's ``get_config()``.

    Raises:
        ConfigError: if running the file raises an error, or it returns something else.
    """
    return config_from_source(read_input(path, "configuration file"), path)


def config_from_source(source: bytes, path: str) -> Config:
    """Return the configuration from ``get_config()`` of Python source code, read from ``path``.

    Raises:
        ConfigError: if running the code raises an error, or it returns something else.
    """
    module: dict[str, Any] = {"__name__": "<run_path>", "__file__": path}
    try:
        exec(compile(source, path, "exec"), module)
        get_config = module.get("get_config")
        config = get_config() if callable(get_config) else None
    except (Exception, SystemExit) as error:  # user code may raise anything
        raise ConfigError(f"{path} failed with {type(error).__name__}: {error}; correct it and try again") from error
    if not callable(get_config):
        raise ConfigError(f"cannot read a configuration from {path}: it needs a function get_config()")
    if not isinstance(config, Config):
        raise ConfigError(f"get_config() of {path} must return a rnnlm_jax.config.Config, not {type(config).__name__}")
    return config

"""The configuration of an experiment, read from and written to JSON."""

from rnnlm_jax.config.checks import check_config, replace
from rnnlm_jax.config.experiment import (
    Config,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    ParallelConfig,
    TrainingConfig,
    flag_of,
    option,
    options,
)
from rnnlm_jax.config.json_text import (
    config_and_identity_from_json,
    fixed_options_digest,
    from_json,
    to_json,
    to_sealed_json,
)

__all__ = [
    "Config",
    "DataConfig",
    "ModelConfig",
    "OptimizerConfig",
    "ParallelConfig",
    "TrainingConfig",
    "check_config",
    "config_and_identity_from_json",
    "fixed_options_digest",
    "flag_of",
    "from_json",
    "option",
    "options",
    "replace",
    "to_json",
    "to_sealed_json",
]

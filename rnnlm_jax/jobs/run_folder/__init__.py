"""The folder of a training run: configuration, vocabulary, checkpoints, metrics and results."""

from rnnlm_jax.jobs.checkpoints import START
from rnnlm_jax.jobs.run_folder.build_model import NO_CELL, build_model, initial_params
from rnnlm_jax.jobs.run_folder.paths import RunFolder
from rnnlm_jax.jobs.run_folder.read_run import (
    Run,
    checkpoint_steps,
    newest_position,
    open_run,
    read_config,
    read_config_and_identity,
    read_vocabulary,
    read_words,
)
from rnnlm_jax.jobs.run_folder.write_run import write_config, write_json, write_new_run, write_text

__all__ = [
    "NO_CELL",
    "START",
    "Run",
    "RunFolder",
    "build_model",
    "checkpoint_steps",
    "initial_params",
    "newest_position",
    "open_run",
    "read_config",
    "read_config_and_identity",
    "read_vocabulary",
    "read_words",
    "write_config",
    "write_json",
    "write_new_run",
    "write_text",
]

"""Resolve what a configuration leaves automatic when a run begins, and record the values in its configuration."""

from rnnlm_jax.config import Config, replace
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.outputs.automatic_cutoffs import has_automatic_cutoffs, resolve_cutoffs
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.registry.user_source import is_reference, recorded, same_function
from rnnlm_jax.training.metrics_writers import record_writers

_ADAPTIVE = "adaptive"
#: Options that may name a function of the user, by group.
_USER_FUNCTIONS = (("model", "cell"), ("model", "output"), ("optimizer", "optimizer"))


def resolve_automatic(config: Config, words: WordCounts) -> Config:
    """Return the configuration with its automatic values replaced by explicit ones.

    References to a user's cell, output layer or optimiser get the digest of their source. Automatic cut-offs of an
    adaptive softmax are chosen by measurements on this device. A run that is resumed or opened elsewhere reads the
    values from its configuration.

    Args:
        config: the configuration that the user gave.
        words: the vocabulary's words with their counts.

    Raises:
        UserError: if the vocabulary or the hidden state is too small to divide.
    """
    for group, name in _USER_FUNCTIONS:
        value = getattr(getattr(config, group), name)
        if is_reference(value):
            config = replace(config, **{group: {name: recorded(value)}})
    if (writers := record_writers(config)) != config.training.metrics_writer:
        config = replace(config, training={"metrics_writer": writers})
    if not has_automatic_cutoffs(config.model.output, config.model.output_options):
        return config
    without = replace(config, model={"output": "softmax", "output_options": (), "dropout_word": 0.0}).model
    hidden_size = build_model(without, words.size, words=words).cell.spec.output_size
    rows = config.data.batch_size * config.data.bptt
    options = resolve_cutoffs(config.model.output_options, words, hidden_size, rows=rows, dtype=config.model.dtype)
    return replace(config, model={"output_options": options})


def resolve_as_begun(begun: Config, config: Config) -> Config:
    """Return a configuration with its automatic values replaced by those of a run that was begun.

    Args:
        begun: the configuration of the run.
        config: the configuration with which it is to be resumed.
    """
    for group, name in _USER_FUNCTIONS:
        value = getattr(getattr(begun, group), name)
        if same_function(getattr(getattr(config, group), name), value):
            config = replace(config, **{group: {name: value}})
    if (writers := record_writers(config, begun)) != config.training.metrics_writer:
        config = replace(config, training={"metrics_writer": writers})
    same_output = config.model.output == begun.model.output
    if not same_output or not has_automatic_cutoffs(config.model.output, config.model.output_options):
        return config
    cutoffs = tuple(pair for pair in begun.model.output_options if pair[0] == "cutoffs")
    rest = tuple(pair for pair in config.model.output_options if pair[0] != "cutoffs")
    return replace(config, model={"output_options": (*rest, *cutoffs)})

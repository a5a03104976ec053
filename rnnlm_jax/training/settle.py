"""What a configuration leaves to the device is measured when a run is begun, and kept in its configuration."""

from rnnlm_jax.config import Config, replace
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.outputs.automatic_cutoffs import has_automatic_cutoffs, resolve_cutoffs
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.registry.user_source import is_reference, recorded, same_function

#: Options that may name a function of the user's own.
_OWN = ("cell", "output")


def settle(config: Config, words: Words) -> Config:
    """The configuration with what it leaves open.

    References to the user's own cell and output layer get the digest of their source; the cut-offs of an adaptive
    softmax are measured here if it has none.

    A run that is resumed, or opened elsewhere, has them from its configuration.

    Raises:
        UserError: if the vocabulary or the hidden state is too small to divide.
    """
    own = {name: recorded(getattr(config.model, name)) for name in _OWN if is_reference(getattr(config.model, name))}
    config = replace(config, model=own) if own else config
    if not has_automatic_cutoffs(config.model.output, config.model.output_options):
        return config
    without = replace(config, model={"output": "softmax", "output_options": ()}).model
    hidden_size = build_model(without, words.size, words=words).cell.spec.output_size
    rows = config.data.batch_size * config.data.bptt
    options = resolve_cutoffs(config.model.output_options, words, hidden_size, rows=rows, dtype=config.model.dtype)
    return replace(config, model={"output_options": options})


def settle_as(begun: Config, config: Config) -> Config:
    """The configuration with what it leaves open as it was settled when the run was begun."""
    own = {name: getattr(begun.model, name) for name in _OWN}
    own = {name: value for name, value in own.items() if same_function(getattr(config.model, name), value)}
    config = replace(config, model=own) if own else config
    same_output = config.model.output == begun.model.output
    if not same_output or not has_automatic_cutoffs(config.model.output, config.model.output_options):
        return config
    cutoffs = tuple(pair for pair in begun.model.output_options if pair[0] == "cutoffs")
    rest = tuple(pair for pair in config.model.output_options if pair[0] != "cutoffs")
    return replace(config, model={"output_options": (*rest, *cutoffs)})

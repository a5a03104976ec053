"""The configuration of an experiment: frozen dataclasses, read from and written to JSON.

Each field is also an option of ``rnnlm-jax train``: its metadata has the help text and how the option behaves.
"""

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rnnlm_jax.errors import ConfigError


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    flag: str = "",
    may_change: bool = False,
    path: bool = False,
    advanced: bool = True,
) -> Any:
    """Return a dataclass field with the metadata of its command-line option.

    Args:
        default: the default value.
        help: the help text, with the unit.
        choices: the allowed values, if they are few.
        flag: the name of the option, if it is not the name of the field.
        may_change: whether a resumed run may change it. Such an option does not affect the numbers that steps produce.
        path: whether it names a file or folder. It may be moved; its contents are identified by digests.
        advanced: False for the options that newcomers need, which ``--help`` lists first.
    """
    metadata = {"help": help, "choices": choices, "flag": flag, "may_change": may_change or path, "path": path}
    return field(default=default, metadata={**metadata, "advanced": advanced})


@dataclass(frozen=True)
class DataConfig:
    """Text, vocabulary and batches."""

    corpus: str = option(
        "pydoc",
        "training, validation and test text: pydoc, grammar, ptb, wikitext-2, tfds:NAME, a text file, a folder of text "
        "files, or a quoted pattern such as 'news-*.txt'",
        flag="data",
        path=True,
        advanced=False,
    )
    data_dir: str | None = option(
        None, "folder that contains ptb/, wikitext-2/ or TFDS's manual files [$RNNLM_JAX_DATA]", path=True
    )
    level: str = option(
        "auto",
        "what a token is; auto: the default of the corpus",
        choices=("auto", "word", "char", "byte", "subword"),
    )
    vocabulary: str | None = option(
        None,
        "vocabulary.json of a run, or a text file with one word on each line, to use in place of a vocabulary built "
        "from the training text",
        path=True,
    )
    tokenizer: str | None = option(
        None,
        "tokenizer.json of Hugging Face tokenizers; its subwords become the vocabulary (extra: subwords)",
        path=True,
    )
    min_count: int = option(
        1,
        "replace tokens seen fewer times than this in the training text by <unk>; with --level subword: do not merge "
        "subword pairs seen fewer times",
    )
    max_vocabulary: int | None = option(
        None,
        "number of most frequent tokens to keep; the others become <unk>; with --level subword: number of subwords to "
        "build (8000 unless given); none: no limit",
    )
    batching: str = option(
        "stream",
        "stream: contiguous text, the state carried from batch to batch; sentences: independent sentences",
        choices=("stream", "sentences"),
    )
    batch_size: int = option(20, "streams or sentences in a batch (B)", advanced=False)
    bptt: int = option(35, "length of truncated back-propagation through time, in steps (T), for streams")
    input_workers: int | None = option(
        None,
        "read training text from disk during training, with this many processes (0: a thread of this process); needs "
        "--data tfds:NAME and --vocabulary or --tokenizer; none: keep the whole text in memory",
        may_change=True,
    )


@dataclass(frozen=True)
class ModelConfig:
    """The language model."""

    cell: str = option(
        "lstm",
        "recurrent cell by name; FILE.py:function or module:function: a cell of your own, whose source is executed; "
        "none: no recurrent part, with --output maxent",
        advanced=False,
    )
    cell_options: tuple[tuple[str, Any], ...] = option((), "options of the cell: forget_bias=0,projection_size=64")
    hidden_size: int = option(200, "units in each layer (H)", advanced=False)
    layers: int = option(1, "number of layers", advanced=False)
    residual: bool = option(False, "add each layer's input to its output, from the second layer on")
    input: str = option("embedding", "input layer by name: how a token becomes a vector")
    input_options: tuple[tuple[str, Any], ...] = option((), "options of the input layer: name=value,name=value")
    output: str = option(
        "softmax",
        "output layer by name, or FILE.py:function for one of your own: how a hidden state becomes a distribution "
        "over tokens",
    )
    output_options: tuple[tuple[str, Any], ...] = option((), "options of the output layer: samples=1024,power=1")
    embedding_size: int | None = option(None, "embedding width (D); none: the width of the cell's output")
    tie_embeddings: bool = option(False, "use the transposed embedding as output matrix")
    dropout_input: float = option(0.0, "dropout rate on the embedding, from 0 to below 1")
    dropout_hidden: float = option(0.0, "dropout rate between layers, from 0 to below 1")
    dropout_output: float = option(0.0, "dropout rate before the output layer, from 0 to below 1")
    dropout_locked: bool = option(False, "use the same dropout mask for all steps of a batch (variational dropout)")
    init_scale: float | None = option(
        None, "draw all initial parameters uniformly from [-x, x]; none: each layer's own initializer"
    )
    remat_chunk: int | str | None = option(
        None,
        "save memory: recompute the forward pass in chunks of this many steps, or sqrt (of --bptt), during the "
        "backward pass; none: store everything",
    )
    executor: str = option(
        "auto",
        "implementation of the recurrence over time; auto: the fastest known for the device",
        choices=("auto", "scan", "structured", "native", "cudnn"),
    )
    dtype: str = option("float32", "number type of the matrix products", choices=("float32", "bfloat16", "float64"))
    param_dtype: str = option("float32", "number type of parameters and state", choices=("float32", "float64"))


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser, learning rate and gradient clipping."""

    optimizer: str = option("adam", "update rule", choices=("sgd", "momentum", "adagrad", "adam", "adamw"))
    learning_rate: float = option(0.002, "initial learning rate", advanced=False)
    decay: float = option(1.0, "divide the learning rate by this at every epoch after the first --decay-after")
    decay_after: int = option(0, "number of epochs at the initial learning rate")
    clip_norm: float | None = option(5.0, "rescale gradients with a larger global norm to this norm; none: never")
    clip_scope: str = option(
        "all",
        "all: clip by the norm of all gradients; cells: clip only the gradients of the cells, by their norm",
        choices=("all", "cells"),
    )
    momentum: float = option(0.9, "momentum coefficient of --optimizer momentum")
    initial_accumulator: float = option(0.1, "initial sum of squared gradients of --optimizer adagrad")
    weight_decay: float = option(0.01, "weight decay coefficient of --optimizer adamw")
    loss_normalization: str = option(
        "token",
        "divide the summed negative log-likelihood of a batch by its number of tokens, or of sequences",
        choices=("token", "sequence"),
    )


@dataclass(frozen=True)
class TrainingConfig:
    """Duration, logging and checkpoints."""

    epochs: int = option(10, "passes over the training text", may_change=True, advanced=False)
    seed: int = option(0, "seed of initial parameters, dropout and the order of sentences")
    valid_streams: int = option(
        1, "number of parallel streams to cut the validation text into; 1: exact; more: faster, approximate"
    )
    log_every: int = option(50, "steps between two lines of metrics", may_change=True)
    checkpoint_every: int = option(
        1000, "steps between two checkpoints; there is also one after each epoch", may_change=True
    )
    keep_last: int = option(2, "number of newest checkpoints to keep", may_change=True)
    max_bad_steps: int = option(
        20, "stop after this many consecutive steps whose loss or gradient is not finite", may_change=True
    )
    log_jacobian: bool = option(
        False, "log the mean log|det| of the step Jacobians, in nats per dimension of the state", may_change=True
    )
    tensorboard: bool = option(False, "also write TensorBoard event files (extra: tensorboard)", may_change=True)
    metrics_writer: str | None = option(
        None,
        "also write metrics with these, separated by commas: csv, tensorboard, FILE.py:function or module:function of "
        "your own, whose source is executed; none: metrics.jsonl only",
        may_change=True,
    )
    watchdog: float | str | None = option(
        "auto",
        "report in one line when no step has ended for this many seconds (it ends nothing); auto: 10 times the slowest "
        "step, at least 120, and 900 for the first; none: never",
        may_change=True,
    )
    init_from: str | None = option(
        None,
        "start from the parameters of another run (its best checkpoint), or of a safetensors file, in place of drawing "
        "them; rows of tables are copied by word",
        path=True,
    )
    init_parts: str | None = option(
        None,
        "parameters to take from --init-from, as patterns separated by commas: embedding,cell.0.*; none: all",
    )
    freeze: str | None = option(
        None, "parameters that training does not change, as patterns separated by commas: embedding,cell.0.*,output.b"
    )


@dataclass(frozen=True)
class ParallelConfig:
    """Devices. Losses do not depend on their number."""

    mesh: str | None = option(
        None,
        "number of devices along the axes data (divides batches) and model (divides large tables): data=4,model=2; "
        "none: all devices along data",
        may_change=True,
    )


@dataclass(frozen=True)
class Config:
    """The configuration of an experiment."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)


#: Fields whose numbers must be above zero, and those that may also be zero, by group.
_POSITIVE = (
    ("data", ("min_count", "max_vocabulary", "batch_size", "bptt")),
    ("model", ("hidden_size", "layers", "embedding_size", "init_scale")),
    ("optimizer", ("learning_rate", "decay", "clip_norm")),
    ("training", ("epochs", "valid_streams", "log_every", "checkpoint_every", "keep_last", "max_bad_steps")),
)
_NOT_NEGATIVE = (
    ("optimizer", ("decay_after", "momentum", "weight_decay", "initial_accumulator")),
    ("training", ("seed",)),
    ("data", ("input_workers",)),
)
#: Fields that are lengths of array axes, which XLA counts in 32 bits.
_SIZES = (("data", ("batch_size", "bptt")), ("model", ("hidden_size", "layers", "embedding_size")))


def flag_of(spec: dataclasses.Field) -> str:
    """Return the command-line option of a field, such as ``--learning-rate``."""
    return "--" + (spec.metadata.get("flag") or spec.name).replace("_", "-")


def check_config(config: Config) -> Config:
    """Check the type and range of every value, and return ``config``.

    Raises:
        ConfigError: naming the first field whose value is not possible.
    """
    for group in dataclasses.fields(config):
        part = getattr(config, group.name)
        if type(part) is not group.default_factory:
            raise ConfigError(f"the {group.name} part of a configuration cannot be a {type(part).__name__}")
        hints = typing.get_type_hints(type(part))
        for spec in dataclasses.fields(part):
            choices, value = spec.metadata["choices"], getattr(part, spec.name)
            if not _has_type(value, hints[spec.name]):
                raise ConfigError(f"`{spec.name}` cannot be {value!r}: it must be {_describe_type(hints[spec.name])}")
            if choices and value not in choices:
                raise ConfigError(f"`{spec.name}` must be one of {', '.join(choices)}, not {value}")
    for name, value in _values(config, _POSITIVE):
        if not 0 < value < math.inf:
            raise ConfigError(f"`{name}` must be a positive number, not {value}")
    for name, value in _values(config, _NOT_NEGATIVE):
        if not 0 <= value < math.inf:
            raise ConfigError(f"`{name}` must be 0 or more, not {value}")
    for name, value in _values(config, _SIZES):
        if value >= 2**31:
            raise ConfigError(f"`{name}` must be below 2^31, not {value}")
    if config.optimizer.momentum >= 1:
        raise ConfigError(f"`momentum` must be below 1, not {config.optimizer.momentum}")
    if config.training.seed >= 2**32:
        raise ConfigError(f"`seed` must be below 2^32, not {config.training.seed}")
    watchdog = config.training.watchdog
    if watchdog not in (None, "auto") and not (isinstance(watchdog, int | float) and 0 < watchdog < math.inf):
        raise ConfigError(f"`watchdog` must be a positive number of seconds, auto or none, not {watchdog}")
    chunk = config.model.remat_chunk
    if chunk is not None and chunk != "sqrt" and not (isinstance(chunk, int) and chunk > 0):
        raise ConfigError(f"`remat_chunk` must be a positive number of steps or sqrt, not {chunk}")
    return config


def _values(config: Config, names: tuple[tuple[str, tuple[str, ...]], ...]) -> Iterator[tuple[str, float]]:
    """Yield the names and values of fields, given by group, but for those that are None."""
    for group, members in names:
        for name in members:
            if (value := getattr(getattr(config, group), name)) is not None:
                yield name, value


def _has_type(value: Any, hint: Any) -> bool:
    """Return whether a value has a field's type; whole numbers are allowed for floats."""
    members = _union_members(hint)
    if isinstance(value, bool):
        return bool in members
    return isinstance(value, members) or (float in members and isinstance(value, int))


def _union_members(hint: Any) -> tuple[type, ...]:
    if typing.get_origin(hint) is tuple:
        return (tuple,)
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


_NOUNS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", tuple: "name=value pairs"}


def _describe_type(hint: Any) -> str:
    return " or ".join(_NOUNS.get(member, "none") for member in _union_members(hint))


def replace(config: Config, **changes: Mapping[str, Any]) -> Config:
    """Return a copy with some fields changed: ``replace(config, model={"layers": 2})``."""
    return dataclasses.replace(
        config, **{group: dataclasses.replace(getattr(config, group), **dict(new)) for group, new in changes.items()}
    )


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
        pairs = {
            spec.name: tuple((str(k), v) for k, v in getattr(config.model, spec.name))
            for spec in dataclasses.fields(ModelConfig)
            if spec.name.endswith("_options")
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{name} is not a configuration of this version ({error}): train again, or restore the file"
        ) from error
    if seal is not None and seal != _digest(content):
        raise ConfigError(
            f"{name} is damaged, or was edited by hand: restore it from a copy; to change options of a run, give them "
            "to rnnlm-jax train --resume"
        )
    return check_config(replace(config, model=pairs)), identity


def to_sealed_json(config: Config, identity: dict[str, Any] | None = None) -> str:
    """Return the configuration as JSON text with a digest of its content, with which ``from_json`` detects damage.

    Args:
        config: the configuration.
        identity: the identity of the run, as ``RunIdentity.entry`` returns it.
    """
    groups = json.loads(to_json(config)) | ({} if identity is None else {"identity": identity})
    return json.dumps(groups | {"digest": _digest(groups)}, indent=2) + "\n"


def options(config: Config) -> Iterator[tuple[str, dataclasses.Field, Any]]:
    """Yield each option as the name of its group, its field, and its value."""
    for group in dataclasses.fields(config):
        part = getattr(config, group.name)
        yield from ((group.name, spec, getattr(part, spec.name)) for spec in dataclasses.fields(part))


def fixed_options_digest(config: Config) -> str:
    """Return the digest of the options that a resumed run must not change.

    Options at their defaults are left out, so that the digest stays the same in a version with more options.
    """
    fixed = {
        f"{group}.{spec.name}": value
        for group, spec, value in options(config)
        if not spec.metadata["may_change"] and value != spec.default
    }
    return _digest(fixed)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

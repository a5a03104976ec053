"""An experiment as data: frozen dataclasses, read from and written to JSON."""

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rnnlm_jax.errors import UserError


def option(
    default: Any, help: str, choices: tuple[str, ...] = (), flag: str = "", may_change: bool = False, path: bool = False
) -> Any:
    """A field with its help on the command line.

    Args:
        default: its value where none is given.
        help: what ``--help`` says.
        choices: the values it may have, if they are few.
        flag: the name of its option where the field's name is not.
        may_change: whether a resumed run may change it: it touches none of the numbers of the steps that both have.
        path: whether it names a file or folder, which may be moved; what lies there is known by its digest.
    """
    return field(
        default=default,
        metadata={"help": help, "choices": choices, "flag": flag, "may_change": may_change or path, "path": path},
    )


@dataclass(frozen=True)
class DataConfig:
    """The text, its vocabulary, and how it is cut into batches."""

    corpus: str = option(
        "pydoc",
        "pydoc, grammar, ptb, wikitext-2, tfds:NAME, a text file, a folder of text files, or a quoted pattern such as "
        "'news-*.txt'",
        flag="data",
        path=True,
    )
    data_dir: str | None = option(
        None, "folder that holds ptb/, wikitext-2/ or TFDS's manual files [$RNNLM_JAX_DATA]", path=True
    )
    level: str = option("auto", "what a token is; auto: the corpus's own", ("auto", "word", "char", "byte", "subword"))
    vocabulary: str | None = option(
        None,
        "a vocabulary.json, or a text with one word a line, to use in place of one built from the training text",
        path=True,
    )
    tokenizer: str | None = option(
        None,
        "a tokenizer.json of Hugging Face tokenizers, whose subwords are then the vocabulary (extra: subwords)",
        path=True,
    )
    min_count: int = option(1, "tokens seen less often become <unk>; pairs of subwords seen less often stay two")
    max_vocabulary: int | None = option(
        None,
        "keep this many types, the most frequent ones; the rest become <unk>; of --level subword: merge bytes until "
        "there are so many (8000 unless given)",
    )
    batching: str = option(
        "stream", "contiguous streams with carried state, or independent sentences", ("stream", "sentences")
    )
    batch_size: int = option(20, "streams, or sentences, a batch (B)")
    bptt: int = option(35, "steps of truncated back-propagation through time (T), for streams")
    input_workers: int | None = option(
        None,
        "read training text from disk as it is wanted, with so many processes (0: a thread of this one); needs a TFDS "
        "data set and --vocabulary or --tokenizer; none: the whole text in memory",
        may_change=True,
    )


@dataclass(frozen=True)
class ModelConfig:
    """The language model."""

    cell: str = option(
        "lstm",
        "a cell of the zoo, by name; FILE.py:function or module:function: one of your own, whose source is executed; "
        "none: no recurrent part, with --output maxent",
    )
    cell_options: tuple[tuple[str, Any], ...] = option(
        (), "options of the cell, as in forget_bias=0,projection_size=64"
    )
    hidden_size: int = option(200, "units a layer (H)")
    layers: int = option(1, "layers, one above the other")
    residual: bool = option(False, "add each layer's input to its output, from the second layer on")
    input: str = option("embedding", "what a cell sees of a token: embedding (a table), or another input layer by name")
    input_options: tuple[tuple[str, Any], ...] = option((), "options of the input layer, as name=value,name=value")
    output: str = option(
        "softmax",
        "the output layer, by name, or one of your own, FILE.py:function: how a hidden state becomes a distribution",
    )
    output_options: tuple[tuple[str, Any], ...] = option(
        (), "options of the output layer, as in num_samples=1024,power=1"
    )
    embedding_size: int | None = option(None, "width of the embedding (D); none: the width of the cell's output")
    tie_embeddings: bool = option(False, "use the embedding, transposed, as the output matrix")
    dropout_input: float = option(0.0, "dropout rate on the embedding")
    dropout_hidden: float = option(0.0, "dropout rate between layers")
    dropout_output: float = option(0.0, "dropout rate before the softmax")
    dropout_locked: bool = option(False, "one dropout mask for all steps of a window (variational)")
    init_scale: float | None = option(None, "draw all parameters uniformly from plus or minus this")
    remat_chunk: int | str | None = option(None, "recompute in chunks of this many steps going back, or sqrt")
    executor: str = option(
        "auto",
        "what runs the cells over time; auto: the fastest that the device is known to have",
        ("auto", "scan", "structured", "native", "cudnn"),
    )
    dtype: str = option("float32", "of the matrix products", ("float32", "bfloat16", "float64"))
    param_dtype: str = option("float32", "of parameters and state", ("float32", "float64"))


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimiser, its schedule, and clipping."""

    optimizer: str = option("adam", "the update rule", ("sgd", "momentum", "adagrad", "adam", "adamw"))
    learning_rate: float = option(0.002, "learning rate of the first epochs")
    decay: float = option(1.0, "divide the learning rate by this at each epoch after --decay-after")
    decay_after: int = option(0, "epochs at the full learning rate")
    clip_norm: float | None = option(5.0, "rescale gradients of a larger global norm to it; none: never")
    clip_scope: str = option(
        "all",
        "what is rescaled: everything by its common norm, or the cells by theirs and the rest never",
        ("all", "cells"),
    )
    momentum: float = option(0.9, "of momentum")
    initial_accumulator: float = option(0.1, "adagrad's sum of squares before the first step")
    weight_decay: float = option(0.01, "of adamw")
    loss_normalization: str = option(
        "token",
        "divide summed nats by this for the gradient: the batch's tokens, or its sequences",
        ("token", "sequence"),
    )


@dataclass(frozen=True)
class TrainingConfig:
    """How long, how often, and what is kept."""

    epochs: int = option(10, "passes over the training text", may_change=True)
    seed: int = option(0, "of initial parameters, dropout and the order of sentences")
    valid_streams: int = option(
        1, "streams that validation text is cut into: 1 is exact, more is faster and approximate"
    )
    log_every: int = option(50, "steps between two lines of metrics", may_change=True)
    checkpoint_every: int = option(
        1000, "steps between two checkpoints inside an epoch; each epoch ends with one", may_change=True
    )
    keep_last: int = option(
        2, "checkpoints to keep of each kind: the newest ones; resuming takes the last that is whole", may_change=True
    )
    max_bad_steps: int = option(
        20, "stop after this many steps in a row with a loss or gradient that is not finite", may_change=True
    )
    log_jacobian: bool = option(
        False, "log the mean log|det| of step Jacobians, in nats per dimension of the state", may_change=True
    )
    tensorboard: bool = option(False, "write TensorBoard event files too (extra: tensorboard)", may_change=True)


@dataclass(frozen=True)
class ParallelConfig:
    """How many devices a job has, and what is divided over them; losses do not depend on it."""

    mesh: str | None = option(
        None,
        "devices along data, which divides batches, and model, which divides large tables, as in data=4,model=2; "
        "none: all devices along data",
        may_change=True,
    )


@dataclass(frozen=True)
class Config:
    """A whole experiment."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)


#: Numbers that only make sense above zero, and those that may be zero too.
_POSITIVE = (
    ("data", ("min_count", "max_vocabulary", "batch_size", "bptt")),
    ("model", ("hidden_size", "layers", "embedding_size", "init_scale")),
    ("optimizer", ("learning_rate", "decay", "clip_norm")),
    ("training", ("epochs", "valid_streams", "log_every", "checkpoint_every", "keep_last", "max_bad_steps")),
)
#: Lengths of an array's axes, which are counted in 32 bits.
_SIZES = (("data", ("batch_size", "bptt")), ("model", ("hidden_size", "layers", "embedding_size")))
_NOT_NEGATIVE = (
    ("optimizer", ("decay_after", "momentum", "weight_decay", "initial_accumulator")),
    ("training", ("seed",)),
    ("data", ("input_workers",)),
)


def flag_of(spec: dataclasses.Field) -> str:
    """The command-line option of a field, ``--learning-rate``."""
    return "--" + (spec.metadata.get("flag") or spec.name).replace("_", "-")


def check_config(config: Config) -> Config:
    """``config`` itself, if every number and choice in it is possible.

    Raises:
        UserError: for the first that is not, by its command-line name.
    """
    for group in dataclasses.fields(config):
        part = getattr(config, group.name)
        if type(part) is not group.default_factory:
            raise UserError(f"the {group.name} part of a configuration cannot be a {type(part).__name__}")
        hints = typing.get_type_hints(type(part))
        for spec in dataclasses.fields(part):
            choices, value = spec.metadata["choices"], getattr(part, spec.name)
            if not _is_of(value, hints[spec.name]):
                raise UserError(f"{flag_of(spec)} cannot be {value!r}: it must be {_kind(hints[spec.name])}")
            if choices and value not in choices:
                raise UserError(f"{flag_of(spec)} must be one of {', '.join(choices)}, not {value}")
    for names, possible, what in (
        (_POSITIVE, lambda value: 0 < value < math.inf, "a positive number"),
        (_NOT_NEGATIVE, lambda value: 0 <= value < math.inf, "0 or more"),
    ):
        for group, name in ((group, name) for group, members in names for name in members):
            value = getattr(getattr(config, group), name)
            if value is not None and not possible(value):
                raise UserError(f"--{name.replace('_', '-')} must be {what}, not {value}")
    for group, name in ((group, name) for group, members in _SIZES for name in members):
        value = getattr(getattr(config, group), name)
        if value is not None and value >= 2**31:
            raise UserError(f"--{name.replace('_', '-')} must be below 2^31, not {value}")
    if config.optimizer.momentum >= 1:
        raise UserError(f"--momentum must be below 1, not {config.optimizer.momentum}")
    if config.training.seed >= 2**32:
        raise UserError(f"--seed must be below 2^32, not {config.training.seed}")
    chunk = config.model.remat_chunk
    if chunk is not None and chunk != "sqrt" and not (isinstance(chunk, int) and chunk > 0):
        raise UserError(f"--remat-chunk must be a positive number of steps or sqrt, not {chunk}")
    return config


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value is of a field's type; a whole number will do for a float."""
    kinds = _members(hint)
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) or (float in kinds and isinstance(value, int))


def _members(hint: Any) -> tuple[type, ...]:
    if typing.get_origin(hint) is tuple:
        return (tuple,)
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


_NOUNS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", tuple: "name=value pairs"}


def _kind(hint: Any) -> str:
    return " or ".join(_NOUNS.get(kind, "none") for kind in _members(hint))


def replace(config: Config, **changes: Mapping[str, Any]) -> Config:
    """A copy with fields of its parts changed: ``replace(config, model={"layers": 2})``."""
    return dataclasses.replace(
        config, **{group: dataclasses.replace(getattr(config, group), **dict(new)) for group, new in changes.items()}
    )


def to_json(config: Config) -> str:
    """The configuration as JSON."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str | bytes, name: str = "the configuration") -> Config:
    """The configuration back from JSON.

    Raises:
        UserError: if it is no JSON, has a field this version does not know, or is sealed and not as it was written.
    """
    return with_identity_from_json(text, name)[0]


def with_identity_from_json(text: str | bytes, name: str = "the configuration") -> tuple[Config, Any]:
    """The configuration back from JSON, and the entry that says which run it is of; None if there is none.

    Raises:
        UserError: as ``from_json``.
    """
    try:
        groups = json.loads(text)
        seal = groups.pop("digest", None)
        content = dict(groups)
        identity = groups.pop("identity", None)
        parts = {spec.name: spec.default_factory for spec in dataclasses.fields(Config)}
        made = {group: dataclasses.replace(parts[group](), **values) for group, values in groups.items()}  # type: ignore[operator]
        config = Config(**made)
        pairs = {
            spec.name: tuple((str(k), v) for k, v in getattr(config.model, spec.name))
            for spec in dataclasses.fields(ModelConfig)
            if spec.name.endswith("_options")
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{name} is no configuration of this version ({error}): train again, or restore the file"
        ) from error
    if seal is not None and seal != _digest(content):
        raise UserError(
            f"{name} is damaged, or was edited by hand: restore it from a copy; options that a run may change are "
            "given to rnnlm-jax train --resume"
        )
    return check_config(replace(config, model=pairs)), identity


def to_sealed_json(config: Config, identity: dict[str, Any] | None = None) -> str:
    """The configuration as JSON with a digest of its content, so that ``from_json`` notices damage.

    ``identity`` says which run it is of.
    """
    groups = json.loads(to_json(config)) | ({} if identity is None else {"identity": identity})
    return json.dumps(groups | {"digest": _digest(groups)}, indent=2) + "\n"


def options(config: Config) -> Iterator[tuple[str, dataclasses.Field, Any]]:
    """Each option: the name of its group, its field, its value."""
    for group in dataclasses.fields(config):
        part = getattr(config, group.name)
        yield from ((group.name, spec, getattr(part, spec.name)) for spec in dataclasses.fields(part))


def kept_digest(config: Config) -> str:
    """The digest of the options that a resumed run keeps.

    Those that have their default are left out, so that a version with one option more gives the same.
    """
    kept = {
        f"{group}.{spec.name}": value
        for group, spec, value in options(config)
        if not spec.metadata["may_change"] and value != spec.default
    }
    return _digest(kept)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

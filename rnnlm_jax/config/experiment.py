"""The configuration of an experiment: frozen dataclasses.

Each field is also an option of ``rnnlm-jax train``: its metadata has the help text and how the option behaves.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


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
    bptt_random: tuple[tuple[str, Any], ...] = option(
        (),
        "draw the length of each window at random (Merity et al. 2018), and multiply its learning rate by length / "
        "--bptt; give at least one of probability=0.95 (of the full --bptt as mean, else half of it), deviation=5 "
        "(steps), minimum=5 (steps), shapes=6 (padded lengths, each compiled); these are the defaults",
    )
    state_reset_probability: float = option(
        0.0,
        "probability that a stream forgets its state before a window of training, from 0 to 1: as evaluation starts "
        "from the initial state (Melis et al. 2018)",
    )
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
    last_hidden_size: int | None = option(
        None, "units in the highest layer, if they are not as many as in the others, of which there must be some"
    )
    layers: int = option(1, "number of layers", advanced=False)
    residual: bool = option(False, "add each layer's input to its output, from the second layer on")
    sum_outputs: bool = option(False, "pass the sum of all layers' outputs on, in place of the highest one's")
    input: str = option("embedding", "input layer by name: how a token becomes a vector")
    input_options: tuple[tuple[str, Any], ...] = option((), "options of the input layer: name=value,name=value")
    output: str = option(
        "softmax",
        "output layer by name, or FILE.py:function for one of your own: how a hidden state becomes a distribution "
        "over tokens",
    )
    output_options: tuple[tuple[str, Any], ...] = option((), "options of the output layer: num_samples=1024,power=1")
    embedding_size: int | None = option(None, "embedding width (D); none: the width of the cell's output")
    tie_embeddings: bool = option(False, "use the transposed embedding as output matrix; projected if widths differ")
    dropout_word: float = option(
        0.0, "rate of input tokens that are replaced by the unknown token in training, from 0 to below 1"
    )
    dropout_embedding: float = option(
        0.0, "rate of words of the vocabulary whose embedding is zero throughout a batch, from 0 to below 1"
    )
    dropout_input: float = option(0.0, "dropout rate on the embedding, from 0 to below 1")
    dropout_hidden: float = option(0.0, "dropout rate between layers, from 0 to below 1")
    dropout_output: float = option(0.0, "dropout rate before the output layer, from 0 to below 1")
    dropout_latent: float = option(
        0.0, "dropout rate after the projection of tied embeddings, or on the components of a mixture of softmaxes"
    )
    dropout_locked: bool = option(
        False,
        "use the same mask of the input, hidden, output and latent dropout for all steps of a batch, one for each "
        "sequence and layer (variational dropout)",
    )
    dropout_state: float = option(
        0.0,
        "dropout rate on the state that enters the recurrent product, with one mask per sequence and layer for all "
        "steps of a batch, from 0 to below 1",
    )
    weight_drop: float = option(
        0.0, "rate of recurrent weights that are zero throughout a batch (DropConnect), from 0 to below 1"
    )
    zoneout: float = option(
        0.0, "rate of hidden units that keep their previous value, drawn at every step, from 0 to below 1"
    )
    zoneout_cell: float = option(0.0, "the same for the cell state of an LSTM, from 0 to below 1")
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
        choices=(
            "auto",
            "scan",
            "structured",
            "native",
            "cudnn",
            "associative",
            "associative-backward",
            "newton",
        ),
    )
    dtype: str = option("float32", "number type of the matrix products", choices=("float32", "bfloat16", "float64"))
    param_dtype: str = option("float32", "number type of parameters and state", choices=("float32", "float64"))


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser, learning rate and gradient clipping."""

    optimizer: str = option(
        "adam",
        "update rule: one of optax's by name, or FILE.py:function or module:function for one of your own, a function "
        "(schedule) -> optax.GradientTransformation, whose source is executed",
    )
    optimizer_options: tuple[tuple[str, Any], ...] = option((), "options of the update rule: b1=0,eps=1e-8")
    learning_rate: float = option(0.002, "learning rate, which the schedule multiplies", advanced=False)
    schedule: str = option(
        "constant",
        "learning rate of each step, by name: constant, cosine, linear, inverse-sqrt, one-cycle, piecewise, "
        "exponential, epochs; plateau and new-bob follow the validation loss",
    )
    schedule_options: tuple[tuple[str, Any], ...] = option((), "options of the schedule: warmup_steps=500,end=0.1")
    clip_norm: float | None = option(5.0, "rescale gradients with a larger global norm to this norm; none: never")
    clip_scope: str = option(
        "all",
        "all: clip by the norm of all gradients; cells: clip only the gradients of the cells, by their norm",
        choices=("all", "cells"),
    )
    weight_decay: float = option(
        0.0,
        "add this times the parameters to the clipped gradient (L2 penalty); decoupled decay is an option of rules "
        "that have it: --optimizer adamw --optimizer-options weight_decay=0.01",
    )
    weight_decay_mask: str = option(
        "*",
        "parameters that decay: names or patterns such as cell*,output.w, or matrices: all with two axes or more",
    )
    loss_normalization: str = option(
        "token",
        "divide the summed negative log-likelihood of a batch by its number of tokens, or of sequences",
        choices=("token", "sequence"),
    )
    accumulate: int = option(
        1,
        "sum the gradients of this many parts of each batch, one after the other, to save memory; it divides "
        "--batch-size",
    )
    average: str = option(
        "none",
        "average of the parameters that validations evaluate and the best checkpoint holds: ema: exponential; nt-asgd: "
        "mean from the first validation on that is worse than earlier ones (Merity et al. 2018); plateau: mean from a "
        "plateau of the validation loss on (Melis et al. 2020)",
        choices=("none", "ema", "nt-asgd", "plateau"),
    )
    average_options: tuple[tuple[str, Any], ...] = option(
        (),
        "options of the average: decay=0.999 of ema; interval=5 (validations) of nt-asgd; patience=50,latest=0 "
        "(validations) of plateau",
    )
    label_smoothing: float = option(
        0.0, "probability that the targets of training give to the uniform distribution, from 0 to below 1"
    )
    regularize: tuple[tuple[str, Any], ...] = option(
        (),
        "terms to add to the loss of training, with their weights, and options: activation=2,temporal_activation=1, or "
        "omega=2, or flossing=1,flossing_exponents=4,flossing_every=10",
    )


@dataclass(frozen=True)
class TrainingConfig:
    """Duration, logging and checkpoints."""

    epochs: int = option(10, "passes over the training text", may_change=True, advanced=False)
    steps: int | None = option(
        None, "steps of training in place of --epochs; the text repeats as often as needed", may_change=True
    )
    seed: int = option(0, "seed of initial parameters, dropout and the order of sentences")
    valid_every: int | str = option("1 epoch", "time between two validations: 500 (steps), '500 steps' or '2 epochs'")
    valid_streams: int = option(
        1, "number of parallel streams to cut the validation text into; 1: exact; more: faster, approximate"
    )
    early_stop: int | None = option(
        None, "stop after this many validations in a row without a new best one; none: never", may_change=True
    )
    log_every: int = option(50, "steps between two lines of metrics", may_change=True)
    checkpoint_every: int | str = option(
        1000,
        "time between two checkpoints: 1000 (steps) or '10 minutes'; there is also one after each validation",
        may_change=True,
    )
    keep_last: int = option(2, "number of newest checkpoints to keep", may_change=True)
    max_bad_steps: int = option(
        20, "stop after this many consecutive steps whose loss or gradient is not finite", may_change=True
    )
    log_jacobian: bool = option(
        False, "log the mean log|det| of the step Jacobians, in nats per dimension of the state", may_change=True
    )
    log_spectrum: int | None = option(
        None,
        "log exponents and singular values of the recurrent Jacobians at every so many validations; none: never",
        may_change=True,
    )
    spectrum_options: tuple[tuple[str, Any], ...] = option(
        (), "options of --log-spectrum: lag=10,exponents=8,steps=100,burn_in=50", may_change=True
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


def flag_of(spec: dataclasses.Field) -> str:
    """Return the command-line option of a field, such as ``--learning-rate``."""
    return "--" + (spec.metadata.get("flag") or spec.name).replace("_", "-")


def options(config: Config) -> Iterator[tuple[str, dataclasses.Field, Any]]:
    """Yield each option as the name of its group, its field, and its value."""
    for group in dataclasses.fields(config):
        part = getattr(config, group.name)
        yield from ((group.name, spec, getattr(part, spec.name)) for spec in dataclasses.fields(part))

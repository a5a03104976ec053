"""Parameters, memory and FLOPs of the One Billion Word models at full size, beside the published numbers.

python -m experiments.perplexity_table.full_size [NAME …]

The training step is compiled for abstract arrays; nothing is trained, and no array of that size is allocated. Word
counts follow Zipf's law; the FLOPs of the adaptive softmax, of word classes and of a character network depend on them.
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rnnlm_jax.data import Batch
from rnnlm_jax.jobs.ahead_of_time import zipf_words
from rnnlm_jax.jobs.run_folder import build_model, write_json
from rnnlm_jax.language_model.flops import token_flops
from rnnlm_jax.language_model.parameters import parameter_count
from rnnlm_jax.presets import lm1b, preset
from rnnlm_jax.training.training_program import training_program

#: Preset -> millions of parameters in its paper, None if it does not say; and the number of words.
PUBLISHED: dict[str, tuple[float | None, int]] = {
    # Jozefowicz et al. 2016 quote 4.1 billion: two tables of a million words.
    "lm1b/rnn-blackout": (4100, 1_000_000),
    "lm1b/rnn-maxent": (20_000, lm1b.VOCABULARY),
    "lm1b/lstm-2048": (830, lm1b.VOCABULARY),
    "lm1b/lstm-8192": (1800, lm1b.VOCABULARY),
    "lm1b/lstm-8192-char-cnn": (1040, lm1b.VOCABULARY),
    "lm1b/adaptive-small": (None, lm1b.VOCABULARY),
    "lm1b/adaptive-large": (None, lm1b.VOCABULARY),
}


@dataclass(frozen=True)
class FullSize:
    """Parameters of a model, and memory and FLOPs of its training step on one device."""

    parameters: int
    published_parameters: float | None
    vocabulary: int
    arguments_gib: float
    temporaries_gib: float
    step_gflop: float
    tokens_a_step: int


def parameters(name: str) -> int:
    """Return the number of parameters of a preset."""
    words = zipf_words(PUBLISHED[name][1])
    model = build_model(preset(name).model, words.size, words=words)
    return parameter_count(jax.eval_shape(model.init, jax.random.key(0)))


def measure(name: str, published: float | None, vocabulary: int) -> FullSize:
    """Compile the training step of a preset for abstract arrays, and return its memory and FLOPs.

    Args:
        name: the preset.
        published: millions of parameters in its paper, None if it does not say.
        vocabulary: number of words.
    """
    config = preset(name)
    words = zipf_words(vocabulary)
    model = build_model(config.model, vocabulary, words=words)
    shape = (config.data.bptt, config.data.batch_size)
    tokens = shape[0] * shape[1]
    program = training_program(model, config)
    state = jax.eval_shape(program.initial_state)
    abstract: list[Any] = [jax.ShapeDtypeStruct(shape, kind) for kind in (np.int32, np.int32, np.bool_)]
    step: Any = program.step
    memory = step.lower(state, Batch(*abstract)).compile().memory_analysis()
    return FullSize(
        parameters=parameter_count(state.params),
        published_parameters=None if published is None else published * 1e6,
        vocabulary=vocabulary,
        arguments_gib=memory.argument_size_in_bytes / 2**30,
        temporaries_gib=memory.temp_size_in_bytes / 2**30,
        step_gflop=token_flops(model, words, tokens).training * tokens / 1e9,
        tokens_a_step=tokens,
    )


def main(arguments: list[str]) -> int:
    """Print the table, and write ``full_size.json`` if it has all models."""
    unknown = [name for name in arguments if name not in PUBLISHED]
    if unknown:
        print(f"error: {unknown[0]} is not a full-size model: choose among {', '.join(PUBLISHED)}", file=sys.stderr)
        return 2
    heads = f"{'published':>10} {'state GiB':>10} {'temp GiB':>9} {'GFLOP/step':>11}"
    print(f"{'model':<26} {'words':>9} {'parameters':>14} {heads}")
    found = {}
    for name in arguments or PUBLISHED:
        found[name] = each = measure(name, *PUBLISHED[name])
        published = "" if each.published_parameters is None else f"{each.published_parameters / 1e9:.2f} B"
        print(
            f"{name:<26} {each.vocabulary:9,d} {each.parameters:14,d} {published:>10} "
            f"{each.arguments_gib:10.2f} {each.temporaries_gib:9.2f} {each.step_gflop:11.0f}"
        )
    if not arguments:
        file = Path(__file__).parent / "full_size.json"
        write_json(file, {name: asdict(each) for name, each in found.items()})
        print(f"recorded in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

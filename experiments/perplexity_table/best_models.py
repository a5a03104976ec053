"""Cost of the best recurrent models of Penn Treebank at full size: parameters, memory, FLOPs and hours.

python -m experiments.perplexity_table.best_models [NAME …]

The training step is compiled for abstract arrays; nothing is trained. Hours are arithmetic, the operations of all
epochs over a speed, without validations: the speed of two CPU cores is about what they reach in these shapes, that of a
GPU is an assumption.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from experiments.perplexity_table.full_size import FullSize, measure
from experiments.readme_table import markdown, write_table
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.presets import preset

#: Preset -> published test perplexity of one model without dynamic evaluation, and millions of parameters.
PUBLISHED: dict[str, tuple[float, float]] = {
    "melis/lstm-10m": (59.6, 10),
    "melis/lstm-24m": (58.3, 24),
    "awd/lstm": (58.8, 24),
    "mogrifier/lstm": (50.1, 24),
}
VOCABULARY, TRAINING_TOKENS = 10_000, 929_589
#: Floating-point operations a second.
TWO_CORES, GPU = 200e9, 10e12
HEAD = (
    "preset",
    "published test",
    "parameters",
    "state, GiB",
    "temporaries, GiB",
    "MFLOP a token",
    "epochs",
    "an epoch, 2 cores",
    "all, 2 cores",
    "all, GPU",
)
HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "recipes.md"


def cost(name: str, size: FullSize) -> dict[str, float]:
    """Return operations a token, and the time of training in hours at each speed."""
    per_token = size.step_gflop * 1e9 / size.tokens_a_step
    epoch = per_token * TRAINING_TOKENS / 3600
    epochs = preset(name).training.epochs
    return {
        "mflop_a_token": per_token / 1e6,
        "epochs": epochs,
        "epoch_hours_two_cores": epoch / TWO_CORES,
        "hours_two_cores": epochs * epoch / TWO_CORES,
        "hours_gpu": epochs * epoch / GPU,
    }


def row(name: str, size: FullSize) -> list[str]:
    """Return the table's row of a preset."""
    found = cost(name, size)
    return [
        f"`{name}`",
        f"{PUBLISHED[name][0]}",
        f"{size.parameters / 1e6:.2f} M",
        f"{size.arguments_gib:.2f}",
        f"{size.temporaries_gib:.2f}",
        f"{found['mflop_a_token']:.0f}",
        f"{found['epochs']:.0f}",
        f"{60 * found['epoch_hours_two_cores']:.1f} min",
        f"{found['hours_two_cores']:.0f} h",
        f"{found['hours_gpu']:.1f} h",
    ]


def main(arguments: list[str]) -> int:
    """Print the table; if it has all presets, also write it to ``docs/recipes.md`` and ``best_models.json``."""
    unknown = [name for name in arguments if name not in PUBLISHED]
    if unknown:
        print(f"error: {unknown[0]} is not one of these presets: choose among {', '.join(PUBLISHED)}", file=sys.stderr)
        return 2
    sizes = {name: measure(name, PUBLISHED[name][1], VOCABULARY) for name in arguments or PUBLISHED}
    table = markdown(HEAD, [row(name, size) for name, size in sizes.items()])
    print(table, end="")
    if not arguments:
        write_json(HERE / "best_models.json", {name: asdict(size) | cost(name, size) for name, size in sizes.items()})
        write_table(DOCUMENT, table)
        print(f"recorded in {HERE / 'best_models.json'} and {DOCUMENT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Write the measurements of the study into ``results.json``, draw its figures, and print its tables.

python -m experiments.vanishing.record RUNS TRAINED INITIAL

RUNS contains the trained runs (lstm, gru, elman-tanh, elman-sigmoid, exploding, clipped); TRAINED and INITIAL are the
output folders of ``rnnlm-jax jacobians`` for the first four, at their best checkpoint and before training. The README
has the commands.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.record import without_folder, without_folders
from experiments.vanishing.plan import MODELS
from rnnlm_jax import cells, plotting
from rnnlm_jax.errors import DataError, UserError
from rnnlm_jax.jacobians import decay_rates, state_product
from rnnlm_jax.jobs.run_folder import RunFolder, write_json

STUDY = Path(__file__).parent

#: Entries of the summaries of ``rnnlm-jax jacobians`` that are recorded.
KEPT = (
    "step",
    "horizons",
    "relative_norms",
    "context_horizon",
    "perplexity_by_context",
    "perplexity_full_context",
    "decay_rates",
    "lyapunov",
    "largest_singular_value_per_step",
    "trusted",
    "state_size",
    "positions",
    "data",
)


def model_results(run: Path, trained: Path, initial: Path) -> dict[str, Any]:
    """Return the results of one model: its training, and its horizons after and before training.

    Raises:
        DataError: if one of its files is missing.
    """
    found = _read(RunFolder(run).results)
    return {
        "parameters": found["parameters"],
        "test_perplexity": found["test_perplexity"],
        "valid_perplexity": found["valid_perplexity"],
        "seconds": found["seconds"],
        "environment": found["environment"],
        "config": without_folders(_read(RunFolder(run).config)),
        "trained": _kept(_read(trained / "jacobians.json")),
        "initial": _kept(_read(initial / "jacobians.json")),
    }


def descent(run: Path) -> dict[str, Any]:
    """Return losses and gradient norms of the first steps of a run; None where they are not finite."""
    records = [record for record in plotting.read_metrics(RunFolder(run).metrics) if record["kind"] == "step"]
    finished = RunFolder(run).results
    return {
        "steps": [record["step"] for record in records],
        "nats_per_token": [record["nats_per_token"] for record in records],
        "grad_norm": [record["grad_norm"] for record in records],
        "skipped": records[-1]["skipped"],
        "test_perplexity": _read(finished)["test_perplexity"] if finished.exists() else None,
    }


def sigmoid_quarter() -> dict[str, float]:
    """Return the Jacobian of three steps of a scalar sigmoid network at its steepest point, 0.25³, and its bound.

    The weight is 1, and every pre-activation is 0.
    """
    cell = cells.elman(1, activation="sigmoid", bias=True)
    params = cell.init(jax.random.key(0), 1)._replace(
        w_h=jnp.ones((1, 1)), w_x=jnp.ones((1, 1)), b=jnp.zeros(1, jnp.float32)
    )
    # From h = 0 with x = 0 the state is ½; x = -½ brings the next pre-activation back to 0.
    xs = jnp.asarray([[0.0], [-0.5], [-0.5]], jnp.float32)
    product = state_product(cell, params, cell.initial_state(()), xs, i=3, j=0)
    rates = decay_rates(cell, params)
    assert rates is not None
    return {
        "three_steps": float(product.plain()[0, 0]),
        "bound_three_steps": float(np.exp(3 * rates.log_norm_bound)),
    }


def main(arguments: list[str]) -> int:
    """Write the record, draw the figures, and print the tables."""
    try:
        runs, trained, initial = map(Path, arguments)
    except ValueError:
        print((__doc__ or "").split("\n\n")[1], file=sys.stderr)
        return 2
    try:
        models = {name: model_results(runs / name, trained / name, initial / name) for name in MODELS}
        descents = {name: descent(runs / name) for name in ("exploding", "clipped")}
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    results = {"models": models, "sigmoid": sigmoid_quarter(), "gradient_descent": descents}
    write_json(STUDY / "results.json", results)
    for name, folder in (("trained", trained), ("initial", initial)):
        plotting.horizons([folder / model for model in MODELS], STUDY / f"horizons-{name}.png")
    for model in ("elman-sigmoid", "lstm"):
        plotting.decay_curves(trained / model, STUDY / f"decay-{model}.png")
    plotting.spectra(trained / "lstm", STUDY / "spectra-lstm.png")
    print_tables(results)
    return 0


def print_tables(results: dict[str, Any]) -> None:
    """Print the tables of the README, as Markdown."""
    head = ("model", "parameters", "test ppl", "inputs 1/e", "inputs 1 %", "hidden 1 %", "cell 1 %", "5 %", "1 %")
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for when in ("trained", "initial"):
        for name, found in results["models"].items():
            horizons, context = found[when]["horizons"], found[when]["context_horizon"]
            row = (
                f"{name}, {when}",
                f"{found['parameters']:,}",
                f"{found['test_perplexity']:.1f}" if when == "trained" else "",
                _shown(horizons["inputs"]["1/e"]),
                _shown(horizons["inputs"]["1%"]),
                _shown(horizons["hidden"]["1%"]),
                _shown(horizons["cell"]["1%"]) if "cell" in horizons else "",
                *((_shown(context["5%"]), _shown(context["1%"])) if when == "trained" else ("", "")),
            )
            print("| " + " | ".join(row) + " |")
    print(f"\nsigmoid, three steps: {results['sigmoid']}")
    for name, found in results["gradient_descent"].items():
        norms = ["not finite" if norm is None else f"{norm:.3g}" for norm in found["grad_norm"][:8]]
        print(f"{name}: gradient norms {', '.join(norms)} …; test perplexity {found['test_perplexity']}")


def _shown(lag: int | None) -> str:
    return "beyond" if lag is None else str(lag)


def _kept(summary: dict[str, Any]) -> dict[str, Any]:
    kept = {key: summary[key] for key in KEPT if key in summary}
    return kept | ({"data": without_folder(kept["data"])} if "data" in kept else {})


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise DataError(f"there is no file {path}: the README of this study has the command that makes it")
    return json.loads(path.read_text())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Train one regularised network, or resume it, and measure how far back it looks; tables over seeds."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.record import without_folder, without_folders
from experiments.vanishing.plan import Recipe
from rnnlm_jax.evaluation.horizons import HorizonOptions, measure_horizons
from rnnlm_jax.jobs.run_folder import RunFolder, open_run
from rnnlm_jax.system.progress import token_bar
from rnnlm_jax.training.texts import load_texts
from rnnlm_jax.training.train import train

#: Entries of the summaries of measurements that are recorded.
KEPT = ("horizons", "relative_norms", "context_horizon", "perplexity_by_context", "perplexity_full_context")


def train_and_measure(model: str, seed: int, recipe: Recipe, runs: Path) -> dict[str, Any]:
    """Return the result of one network, trained in its folder below ``runs``, or resumed there."""
    folder = RunFolder(runs / "trained" / f"{model}-{seed}")
    if not folder.results.exists():
        train(recipe.config(model, seed), folder.path, resume=folder.exists(), quiet=False)
    return {"model": model, "seed": seed, "recipe": recipe.recorded()} | measure(folder.path, recipe.measured)


def measure(run: Path, options: HorizonOptions) -> dict[str, Any]:
    """Return training and horizons of a run, on its test text."""
    folder = RunFolder(run)
    found, opened = json.loads(folder.results.read_text()), open_run(run)
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    texts = load_texts(opened.config.data)
    report = measure_horizons(
        opened,
        texts.test,
        options,
        name=run.name,
        data=without_folder(f"{opened.config.data.corpus}:test"),
        make_bar=lambda what, tokens: token_bar(f"{run.name}: {what}", tokens),
    )
    return {
        "parameters": found["parameters"],
        "valid_perplexity": found["valid_perplexity"],
        "test_perplexity": found["test_perplexity"],
        "epochs": [line["valid_perplexity"] for line in lines if line["kind"] == "validation"],
        "best_step": opened.position.step,
        "seconds": found["seconds"],
        "largest_lag": max(options.lags),
        **{key: report.summary[key] for key in KEPT},
        "config": without_folders(json.loads(folder.config.read_text())),
        "environment": found["environment"],
    }


HEAD = (
    *("model", "seeds", "parameters", "test perplexity", "gradient of the input: 1/e", "1 %"),
    *("of h: 1 %", "of c: 1 %", "context: 5 %", "1 %"),
)


def rows(found: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a row for each model: means over its seeds with standard errors."""
    by_model: dict[str, list[dict[str, Any]]] = {}
    for result in found:
        by_model.setdefault(result["model"], []).append(result)
    return [row(model, results) for model, results in by_model.items()]


def row(model: str, results: Sequence[dict[str, Any]]) -> list[str]:
    """Return the row of one model."""
    horizons = [result["horizons"] for result in results]
    contexts = [result["context_horizon"] for result in results]
    largest = min(result["largest_lag"] for result in results)
    cells = [each["cell"]["1%"] for each in horizons if "cell" in each]
    return [
        model,
        str(len(results)),
        f"{results[0]['parameters']:,}",
        with_error([result["test_perplexity"] for result in results], largest, digits=1),
        with_error([each["inputs"]["1/e"] for each in horizons], largest),
        with_error([each["inputs"]["1%"] for each in horizons], largest),
        with_error([each["hidden"]["1%"] for each in horizons], largest),
        with_error(cells, largest) if cells else "",
        ", ".join(f"{each['5%']}" for each in contexts),
        ", ".join(f"{each['1%']}" for each in contexts),
    ]


def with_error(values: Sequence[float | None], largest: int, digits: int = 0) -> str:
    """Return the mean and its standard error; how many are beyond the largest lag, if any is."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return f"over {largest} in {len(values) - len(known)} of {len(values)}"
    mean = sum(known) / len(known)
    if len(known) == 1:
        return f"{mean:.{digits}f}"
    deviation = math.sqrt(sum((value - mean) ** 2 for value in known) / (len(known) - 1))
    return f"{mean:.{digits}f} ± {deviation / math.sqrt(len(known)):.{digits or 1}f}"

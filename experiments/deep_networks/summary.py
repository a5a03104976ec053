"""The tables and the record of the study."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import readme_table
from experiments.deep_networks.figures import draw_gradients, draw_learning, draw_probes, draw_spectra
from experiments.deep_networks.networks import ACTIVATIONS, VARIANTS
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.plotting.style import save

Result = dict[str, Any]
#: Results by kind: "bound", "initial", "trained".
Results = dict[str, list[Result]]
Table = tuple[list[str], list[list[str]]]


def record(found: Results, study: Path) -> None:
    """Write ``results.json``, the figures, and the tables of a study's README, if it has one."""
    found = {kind: in_order(parts) for kind, parts in found.items()}
    write_json(study / "results.json", found)
    if found["initial"]:
        save(draw_gradients(found["initial"]), study / "gradients.png")
        save(draw_spectra(found["initial"]), study / "singular-values.png")
    if found["trained"]:
        save(draw_learning(found["trained"]), study / "learning.png")
        save(draw_probes(found["trained"]), study / "probes.png")
    if (study / "README.md").exists():
        readme_table.write_table(study / "README.md", tables(found))


def in_order(parts: Sequence[Result]) -> list[Result]:
    """Return results in the order of activations and variants."""
    names = [(activation, variant) for activation in ACTIVATIONS for variant in VARIANTS]
    return sorted(
        parts, key=lambda part: names.index((part["activation"], part["variant"])) if "variant" in part else 0
    )


def tables(found: Results, *, plain: bool = False) -> str:
    """Return the tables of the kinds that have results, each under its title; ``plain`` for a terminal."""
    found = {kind: in_order(parts) for kind, parts in found.items()}
    makers = {
        "The sigmoid's bound: products over three layers": ("bound", bound_table),
        "Gradients at initialisation": ("initial", initial_table),
        "Test accuracy by depth, per cent": ("trained", accuracy_table),
        "Movement of the first layer by depth, per cent": ("trained", movement_table),
    }
    parts = []
    for title, (kind, make) in makers.items():
        if found[kind]:
            table = make(found[kind])
            text = readme_table.plain(*table) + "\n" if plain else readme_table.markdown(*table)
            parts.append(f"{title}\n\n{text}" if plain else f"### {title}\n\n{text}")
    return "\n".join(parts)


def bound_table(results: Sequence[Result]) -> Table:
    """Return a row for each kind of weights of the sigmoid network."""
    (result,) = results
    head = [
        "sigmoid, weights",
        "‖W‖",
        "product of slopes",
        "largest σ",
        "0.25³ ‖W‖³",
        "root mean square σ",
        "smallest σ",
    ]
    rows = []
    for kind, row in result["weights"].items():
        bound = "" if kind.startswith("residual") else f"{result['bound'] * row['norm'] ** result['layers']:.4f}"
        slopes, largest, mean_square = (f"{row[name]:.4f}" for name in ("slopes", "largest", "root_mean_square"))
        rows.append([kind, f"{row['norm']:.3f}", slopes, largest, bound, mean_square, small(row["smallest"])])
    return head, rows


def initial_table(results: Sequence[Result]) -> Table:
    """Return a row for each network: the theory's χ and depth scale, and factors of the gradient's norm a layer."""
    depth = results[0]["recipe"]["depths"][-1]
    head = ["network", "χ", "depth scale", "a layer, theory", "a layer, measured"]
    head += [f"over {depth} layers, theory", "measured", "largest σ, a layer"]
    rows = []
    for result in results:
        theory, measured = log_changes(result)
        largest = result["largest_log_singular_value"][-1]
        rows.append(
            [
                name_of(result),
                f"{result['limiting_factor']:.4f}" if result["limiting_factor"] is not None else "",
                scale_words(result),
                f"{math.exp(theory / depth):.4f}",
                f"{math.exp(measured / depth):.4f}",
                power_of_ten(theory),
                power_of_ten(measured),
                f"{math.exp(largest / depth):.4f}" if largest is not None else "0",
            ]
        )
    return head, rows


def log_changes(result: Result) -> tuple[float, float]:
    """Return the logarithm of the gradient's norm at the inputs over that at the last layer, by theory and measured."""
    gradients = result["log_gradient_of_activations"]
    return 0.5 * sum(result["theory_log_factors"]), gradients[0] - gradients[-1]


def accuracy_table(results: Sequence[Result]) -> Table:
    """Return a row for each network: mean accuracy over seeds, and the smallest in brackets where seeds differ."""
    depths = results[0]["recipe"]["depths"]

    def words(accuracies: Sequence[float]) -> str:
        mean, least = 100 * np.mean(accuracies), 100 * min(accuracies)
        return f"{mean:.1f} ({least:.1f})" if mean - least >= 1 else f"{mean:.1f}"

    rows = [
        [name_of(result), *(words(result["depths"][str(depth)]["accuracy"]) for depth in depths)] for result in results
    ]
    return ["network", *(str(depth) for depth in depths)], rows


def movement_table(results: Sequence[Result]) -> Table:
    """Return a row for each network: ``‖W - W_0‖ / ‖W_0‖`` of the first layer."""
    depths = results[0]["recipe"]["depths"]
    rows = [
        [name_of(result), *(percent(result["depths"][str(depth)]["movement"][0]) for depth in depths)]
        for result in results
    ]
    return ["network", *(str(depth) for depth in depths)], rows


def name_of(result: Result) -> str:
    """Return the name of a network in a table."""
    return f"{result['activation']}, {VARIANTS[result['variant']].label}"


def scale_words(result: Result) -> str:
    """Return the depth scale in layers; ∞ where the gradient neither vanishes nor explodes exponentially."""
    if result["limiting_factor"] is None:
        return ""
    return f"{result['depth_scale']:.2f}" if result["depth_scale"] is not None else "∞"


def power_of_ten(log: float) -> str:
    """Return ``e^log`` in scientific notation, also where that is no float."""
    exponent = math.floor(log / math.log(10))
    mantissa = f"{math.exp(log - exponent * math.log(10)):.1f}"
    if mantissa == "10.0":
        mantissa, exponent = "1.0", exponent + 1
    return mantissa if exponent == 0 else f"{mantissa}e{exponent}".replace("-", "−")


def percent(share: float) -> str:
    """Return a share in per cent, small ones in scientific notation."""
    return small(100 * share) if share < 1e-3 else f"{100 * share:.3g}"


def small(value: float) -> str:
    """Return a number with two digits, zero as such."""
    if value == 0:
        return "0"
    return f"{value:.1e}".replace("e-0", "e−").replace("e-", "e−") if value < 1e-2 else f"{value:.2f}"

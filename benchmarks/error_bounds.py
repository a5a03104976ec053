"""Error bounds of singular values against exact arithmetic: ``python -m benchmarks.error_bounds [--products N]``.

Products of more than twenty families are computed in float64 and in float32; if an error exceeds its bound, the exit
code is 1. The record is written after every hundred products, and a stopped run goes on from it.
"""

import argparse
import collections
import json
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from benchmarks.singular_products import ARITHMETIC, HEALTHY, OF_FLOATS, SINGULAR, exact_values, judge, networks, table
from benchmarks.trained_networks import jacobians_of_trained
from rnnlm_jax.jacobians import product_spectrum
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.system.progress import token_bar
from rnnlm_jax.training.results import environment

#: Number of factors of the long products, and their rows; one shape, so that one compilation serves all.
STEPS, SIZE = 40, 5

Long = Callable[[np.random.Generator], np.ndarray]  # random numbers -> factors [STEPS, SIZE, SIZE]


def repeated(matrix: np.ndarray) -> np.ndarray:
    """Return copies of one factor for all steps."""
    return np.broadcast_to(matrix, (STEPS, SIZE, SIZE)).copy()


def shift(values: np.ndarray, k: int = 1) -> np.ndarray:
    """Return a matrix with values on the k-th diagonal."""
    return np.diag(values, k)


def hilbert() -> np.ndarray:
    """Return the Hilbert matrix, 1 / (i + j + 1)."""
    index = np.arange(SIZE)
    return 1 / (index[:, None] + index[None, :] + 1)


def kahan(angle: float) -> np.ndarray:
    """Return Kahan's upper triangular matrix."""
    rows = np.diag(np.sin(angle) ** np.arange(SIZE))
    return rows @ (np.eye(SIZE) - np.cos(angle) * np.triu(np.ones((SIZE, SIZE)), 1))


def with_identities(rng: np.random.Generator, matrix: np.ndarray) -> np.ndarray:
    """Return one to four copies of a matrix, then identities."""
    found = repeated(np.eye(SIZE))
    found[: rng.integers(1, 5)] = matrix
    return found


def delay_line(rng: np.random.Generator) -> np.ndarray:
    """Return Jacobians of tanh units that pass their values on and keep a part of them."""
    line = np.eye(SIZE) * rng.uniform(0.2, 0.9) + shift(rng.uniform(0.5, 1.2, SIZE - 1), -1)
    return rng.uniform(0.8, 1.0, (STEPS, SIZE, 1)) * line


def conditioned(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Return factors with singular values between 1 and 10⁻¹⁵ or more."""
    turns = np.linalg.qr(rng.normal(size=(2, steps, SIZE, SIZE)))[0]
    return turns[0] * 10.0 ** -rng.uniform(0, rng.uniform(0, 15), (steps, 1, SIZE)) @ turns[1]


LONG: dict[str, Long] = {
    "gaussian_long": lambda rng: rng.normal(size=(STEPS, SIZE, SIZE)),
    "orthogonal_long": lambda rng: np.linalg.qr(rng.normal(size=(STEPS, SIZE, SIZE)))[0],
    "non_normal": lambda rng: np.triu(rng.normal(size=(STEPS, SIZE, SIZE))) + np.eye(SIZE),
    "jordan": lambda rng: repeated(rng.choice([0.1, 0.5, 0.9, rng.uniform()]) * np.eye(SIZE) + np.eye(SIZE, k=1)),
    "jordan_turned": lambda rng: repeated(
        (lambda q: q @ (rng.uniform() * np.eye(SIZE) + np.eye(SIZE, k=1)) @ q.T)(
            np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0]
        )
    ),
    "delay_line": delay_line,
    "graded_rows": lambda rng: rng.normal(size=(STEPS, SIZE, SIZE)) * 10.0 ** rng.uniform(-3, 3, (STEPS, SIZE, 1)),
    "graded_columns": lambda rng: rng.normal(size=(STEPS, SIZE, SIZE)) * 10.0 ** rng.uniform(-3, 3, (STEPS, 1, SIZE)),
    "hilbert": lambda rng: with_identities(rng, hilbert() * rng.uniform(0.5, 2, (SIZE, 1))),
    "kahan": lambda rng: repeated(kahan(rng.uniform(0.3, 1.5))),
    "grcar": lambda rng: repeated(
        rng.uniform(0.2, 1) * (np.triu(np.ones((SIZE, SIZE))) - np.triu(np.ones((SIZE, SIZE)), 4) - np.eye(SIZE, k=-1))
    ),
    "whole_numbers": lambda rng: rng.integers(-3, 4, size=(STEPS, SIZE, SIZE)).astype(float),
    "nilpotent_long": lambda rng: with_identities(rng, shift(rng.uniform(0.5, 2, SIZE - 1))),
    "rank_deficient": lambda rng: rng.normal(size=(STEPS, SIZE, 3)) @ rng.normal(size=(STEPS, 3, SIZE)),
    "one_matrix": lambda rng: repeated(rng.normal(size=(SIZE, SIZE))),
    "symmetric": lambda rng: repeated((lambda a: a + a.T)(rng.normal(size=(SIZE, SIZE)))),
    "sizes_1e200": lambda rng: rng.normal(size=(STEPS, SIZE, SIZE)) * 10.0 ** rng.uniform(-200, 200, (STEPS, 1, 1)),
    "trained": lambda rng: jacobians_of_trained(rng, STEPS),
    "one_factor": lambda rng: conditioned(rng, 1),
    "three_factors": lambda rng: conditioned(rng, 3),
    "saturated": lambda rng: np.exp(-rng.uniform(0, 20, (STEPS, SIZE, 1))) * repeated(rng.normal(size=(SIZE, SIZE))),
}

#: Families whose singular values change little by rounding.
WELL_CONDITIONED = ("gaussian", "gaussian_long", "orthogonal", "orthogonal_long", "graded", "nilpotent")


def main() -> int:
    """Draw the products, compare their values with exact ones, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=20_000, metavar="N", help="number of products (default: 20000)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "error-bounds.json")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    record = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"products": 0, "families": {}}
    families: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    families |= {name: collections.Counter(row) for name, row in record["families"].items()}
    wrong = record.get("wrong", [])
    short = SINGULAR | OF_FLOATS | HEALTHY
    names = [*LONG, *short, "network"]

    def save(done: int) -> None:
        rows = dict(sorted(families.items()))
        write_json(arguments.out, {"products": done, "families": rows, "wrong": wrong, "environment": environment()})

    with token_bar("products", arguments.products, unit="product") as progress:
        for number in range(record["products"], arguments.products):
            rng, name = np.random.default_rng([26, number]), names[number % len(names)]
            if name in LONG:
                matrices = LONG[name](rng)
            elif name in short:
                matrices = short[name](rng, 3).astype(np.float64)
            else:
                made = networks(rng)
                matrices = np.asarray(made[str(rng.choice(list(made)))], np.float64)
            for arithmetic in ARITHMETIC:
                dtype = np.float32 if arithmetic == "float32" else np.float64
                with np.errstate(over="ignore"):
                    given = matrices.astype(dtype)
                if not np.isfinite(given).all():
                    continue  # beyond the range of float32
                row = judge(product_spectrum(given, arithmetic=arithmetic), exact_values(given), arithmetic)
                families[f"{name}, {arithmetic}"].update(row)
                if row["beyond_bound"]:
                    wrong.append({"family": name, "arithmetic": arithmetic, "number": number})
            progress.update(1)
            if number % 100 == 99:
                save(number + 1)
    save(arguments.products)
    table(families)
    for name in WELL_CONDITIONED:
        row = families[f"{name}, float64"]
        print(f"{name}: {row['bounded'] / max(row['values'], 1):.2%} of the values are bounded by 1e-9 nats")
    print(f"{len(wrong)} products with an error beyond its bound; recorded in {arguments.out}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

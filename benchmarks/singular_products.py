"""Trusted singular values against exact arithmetic: ``python -m benchmarks.singular_products [--products N]``.

Random products of every dtype are singular, nearly singular, or neither. Each is multiplied in whole numbers without
rounding; its rank is found by elimination without fractions, its singular values by mpmath with as many digits as they
need. A value that ``product_spectrum`` trusts is wrong if its error is larger than the documented tolerance, ``n √ε``
of the arithmetic plus the rounding of the result's dtype. If a trusted value is wrong, or an error exceeds its bound,
the exit code is 1.
"""

import argparse
import collections
import json
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np

from rnnlm_jax import cells
from rnnlm_jax.jacobians import product_spectrum
from rnnlm_jax.jacobians.products import step_jacobians
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.system.progress import token_bar
from rnnlm_jax.training.results import environment

Matrices = np.ndarray
Family = Callable[[np.random.Generator, int], Matrices]  # (random generator, n) -> factors [STEPS, n, n]

#: Number of factors of each product; identities are added to shorter ones, so that one compilation serves all.
STEPS = 4

#: Numbers of rows.
SIZES = (2, 3, 4)

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
FLOATS = ("bfloat16", "float16", "float32", "float64")
ARITHMETIC = ("float64", "float32")

#: Number of steps of networks' Jacobians, whose products are of full rank and of wide dtypes.
NETWORK_STEPS = 60


def filled(matrices: Matrices) -> Matrices:
    """Return the factors, followed by identities."""
    n = matrices.shape[-1]
    rest = np.broadcast_to(np.eye(n, dtype=matrices.dtype), (STEPS - len(matrices), n, n))
    return np.concatenate([matrices, rest])


def small_numbers(rng: np.random.Generator, n: int) -> Matrices:
    """Return matrices of whole numbers up to 2, 5, 10 or 60."""
    largest = int(rng.choice([2, 5, 10, 60]))
    return rng.integers(-largest, largest + 1, size=(int(rng.integers(1, STEPS + 1)), n, n))


def dependent_rows(rng: np.random.Generator, n: int) -> Matrices:
    """Return factors of which one has a row that is a multiple or a sum of others."""
    matrices = small_numbers(rng, n)
    which, (i, j) = rng.integers(len(matrices)), rng.permutation(n)[:2]
    matrices[which, i] = rng.choice([-2, -1, 1, 2]) * matrices[which, j]
    if n > 2 and rng.random() < 0.5:
        k = next(k for k in range(n) if k not in (i, j))
        matrices[which, i] += matrices[which, k]
    return filled(matrices)


def dependent_columns(rng: np.random.Generator, n: int) -> Matrices:
    """Return the same with columns in place of rows."""
    return np.swapaxes(dependent_rows(rng, n), 1, 2)[::-1]


def low_rank(rng: np.random.Generator, n: int) -> Matrices:
    """Return factors of rank n - 1 or less, each a product of two narrow matrices."""
    steps, rank = int(rng.integers(1, STEPS + 1)), int(rng.integers(1, n))
    return filled(rng.integers(-3, 4, size=(steps, n, rank)) @ rng.integers(-3, 4, size=(steps, rank, n)))


def zeros(rng: np.random.Generator, n: int) -> Matrices:
    """Return factors with zero rows, and other zeros at random positions."""
    matrices = small_numbers(rng, n)
    matrices *= rng.random(matrices.shape) < 0.7
    matrices *= (rng.random(matrices.shape[:2]) < 0.8)[:, :, None]
    return filled(matrices)


def nearly_singular(rng: np.random.Generator, n: int) -> Matrices:
    """Return matrices of whole numbers in the hundreds with a determinant of about 1."""
    matrices = np.stack([np.eye(n, dtype=np.int64)] * STEPS)
    for matrix in matrices:
        for _ in range(2 * n):
            i, j = rng.permutation(n)[:2]
            row = matrix[i] + rng.integers(-3, 4) * matrix[j]
            if np.abs(row).max() < 120:
                matrix[i] = row
    return matrices


def almost_dependent(rng: np.random.Generator, n: int) -> Matrices:
    """Return factors of which one has a row that is a multiple of another up to one part in 10² to 10²⁰."""
    matrices = rng.normal(size=(STEPS, n, n))
    which, (i, j) = rng.integers(STEPS), rng.permutation(n)[:2]
    off = 10.0 ** -rng.uniform(2, 20)
    matrices[which, i] = rng.normal() * matrices[which, j] + off * rng.normal(size=n)
    return matrices


def any_size(rng: np.random.Generator, n: int) -> Matrices:
    """Return singular and regular matrices times powers of ten from -30 to 30 (to ±200 in float64)."""
    return dependent_rows(rng, n) * 10.0 ** rng.integers(-30, 31) if rng.random() < 0.5 else extreme(rng, n)


def extreme(rng: np.random.Generator, n: int) -> Matrices:
    """Return random matrices whose sizes differ by hundreds of powers of ten."""
    return rng.normal(size=(STEPS, n, n)) * 10.0 ** rng.uniform(-200, 200, size=(STEPS, 1, 1))


def gaussian(rng: np.random.Generator, n: int) -> Matrices:
    """Return matrices of independent normal entries."""
    return rng.normal(size=(STEPS, n, n))


def orthogonal(rng: np.random.Generator, n: int) -> Matrices:
    """Return random orthogonal matrices."""
    return np.linalg.qr(rng.normal(size=(STEPS, n, n)))[0]


def graded(rng: np.random.Generator, n: int) -> Matrices:
    """Return orthogonal matrices and a diagonal one with entries of very different sizes."""
    q = orthogonal(rng, n)
    diagonals = np.exp(rng.uniform(-40, 40, size=(STEPS, n)))[:, :, None] * np.eye(n)
    return np.where(np.arange(STEPS)[:, None, None] == 1, diagonals, q)


def nilpotent(rng: np.random.Generator, n: int) -> Matrices:
    """Return weighted shifts in a random order of the units."""
    order = rng.permutation(n)
    matrices = np.eye(n, k=1) * rng.uniform(0.5, 2, size=(int(rng.integers(1, STEPS + 1)), n, n))
    return filled(matrices[:, order][:, :, order])


SINGULAR: dict[str, Family] = {
    each.__name__: each for each in (dependent_rows, dependent_columns, low_rank, zeros, nearly_singular)
}
OF_FLOATS: dict[str, Family] = {each.__name__: each for each in (almost_dependent, any_size)}
HEALTHY: dict[str, Family] = {each.__name__: each for each in (gaussian, orthogonal, graded, nilpotent)}


def networks(rng: np.random.Generator) -> dict[str, Matrices]:
    """Return step Jacobians of cells with random weights along random inputs."""
    made = {"elman-tanh": cells.elman(6), "lstm": cells.lstm(3), "gru": cells.gru(6)}
    found = {}
    for name, cell in made.items():
        key = jax.random.key(int(rng.integers(2**31)))
        params = cell.init(key, 3)
        xs = jax.random.normal(key, (NETWORK_STEPS, 3), jnp.float32)
        found[name] = np.asarray(step_jacobians(cell, params, cell.initial_state(()), xs))
    return found


def exact_product(matrices: Matrices) -> tuple[list[list[int]], int]:
    """Return the product as whole numbers, and the power of two to multiply them with."""
    n, power = matrices.shape[-1], 0
    product = np.array([[int(i == j) for j in range(n)] for i in range(n)], object)
    for matrix in matrices:
        parts = [
            [Fraction(float(v)) if matrix.dtype.kind not in "biu" else Fraction(int(v)) for v in r] for r in matrix
        ]
        low = max(part.denominator for row in parts for part in row)  # a power of two
        whole = np.array([[int(part * low) for part in row] for row in parts], object)
        product, power = whole.dot(product), power - (low.bit_length() - 1)
    return product.tolist(), power


def rank(product: list[list[int]]) -> int:
    """Return the rank, by elimination without fractions (Bareiss 1968)."""
    rows, pivot, found = [list(row) for row in product], 1, 0
    for column in range(len(rows)):
        chosen = next((i for i in range(found, len(rows)) if rows[i][column]), None)
        if chosen is None:
            continue
        rows[found], rows[chosen] = rows[chosen], rows[found]
        top = rows[found]
        for i in range(found + 1, len(rows)):
            first = rows[i][column]
            rows[i] = [(v * top[column] - first * t) // pivot for v, t in zip(rows[i], top, strict=True)]
        pivot, found = top[column], found + 1
    return found


def exact_values(matrices: Matrices) -> np.ndarray:
    """Return the exact log singular values of the product, -inf for zeros."""
    product, power = exact_product(matrices)
    live, n = rank(product), len(product)
    digits = 60
    while True:
        with mpmath.workdps(digits):
            values = mpmath.svd_r(mpmath.matrix([[mpmath.mpf(v) for v in row] for row in product]), compute_uv=False)
            if not live or values[live - 1] > values[0] * mpmath.mpf(10) ** (-digits * 0.7):
                logs = [float(mpmath.log(values[k]) + power * mpmath.log(2)) for k in range(live)]
                return np.array(logs + [-np.inf] * (n - live))
        digits *= 2


def judge(found: Any, wanted: np.ndarray, arithmetic: str) -> dict[str, int]:
    """Count values: all, right, trusted, bounded by 1e-9 nats, trusted but wrong, and with an error beyond the bound.

    A value is right if its error is at most ``n √ε`` of the arithmetic plus the rounding of the result's dtype.
    """
    values, error = (np.asarray(part, np.float64) for part in (found.log_singular_values, found.error))
    trusted = np.asarray(found.trusted)
    rounding = np.finfo(found.log_singular_values.dtype).eps * np.where(np.isfinite(wanted), np.abs(wanted), 0)
    with np.errstate(invalid="ignore"):
        off = np.where(values == wanted, 0, np.abs(values - wanted))
    right = off <= values.size * np.finfo(arithmetic).eps ** 0.5 + rounding
    return {
        "products": 1,
        "values": values.size,
        "right": int(right.sum()),
        "trusted": int(trusted.sum()),
        "bounded": int((error <= 1e-9).sum()),
        "trusted_and_wrong": int((trusted & ~right).sum()),
        "beyond_bound": int((~(off <= error)).sum()),
    }


def cast(matrices: Matrices, dtype: str) -> Matrices | None:
    """Return the factors in a dtype, without signs for unsigned and boolean ones; None if one is out of its range."""
    if dtype.startswith(("uint", "bool")):
        matrices = np.abs(matrices)
    if dtype in INTEGERS:
        limits = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if dtype == "bool":
            matrices = matrices != 0
        elif matrices.min() < limits[0] or matrices.max() > limits[1]:
            return None
        return matrices.astype(dtype)
    with np.errstate(over="ignore"):
        narrow = matrices.astype(jnp.dtype(dtype))
    finite = np.isfinite(narrow.astype(np.float64)).all()
    normal = (np.abs(narrow) >= jnp.finfo(dtype).tiny) | (matrices == 0)  # subnormal numbers may be flushed to zero
    return narrow if finite and normal.all() else None


def draws(rng: np.random.Generator, count: int, healthy_only: bool) -> list[tuple[str, str, Matrices]]:
    """Draw (family, dtype, factors) of each product, families in turn."""
    kinds = [(name, family, INTEGERS + FLOATS) for name, family in SINGULAR.items()]
    kinds += [(name, family, FLOATS) for name, family in OF_FLOATS.items()]
    if healthy_only:
        kinds = []
    kinds += [(name, family, ("float32", "float64")) for name, family in HEALTHY.items()]
    found = []
    while len(found) < count:
        for name, family, types in kinds:
            dtype, matrices = "", None
            while matrices is None:
                dtype = str(rng.choice(types))
                matrices = cast(family(rng, int(rng.choice(SIZES))), dtype)
            found.append((name, dtype, matrices))
    for _ in range(max(1, count // 300)):
        found += [(f"network {name}", str(matrices.dtype), matrices) for name, matrices in networks(rng).items()]
    return found


def table(counts: dict[str, collections.Counter[str]]) -> None:
    """Print the counts of each family or dtype."""
    print(f"{'':<24}{'products':>9}{'values':>9}{'right':>9}{'trusted':>9}{'1e-9':>9}{'wrong':>7}{'beyond':>7}")
    for name, row in counts.items():
        shares = "".join(f"{row[key]:>9,}" for key in ("products", "values", "right", "trusted", "bounded"))
        print(f"{name:<24}{shares}{row['trusted_and_wrong']:>7}{row['beyond_bound']:>7}")


def main() -> int:
    """Draw the products, compare their values with exact ones, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=6000, metavar="N", help="number of products (default: 6000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the products (default: 0)")
    parser.add_argument("--healthy", action="store_true", help="only well-conditioned families")
    parser.add_argument("--types", help="only products of these dtypes, separated by commas")
    parser.add_argument("--jit", action="store_true", help="call the function under jax.jit")
    results = Path(__file__).parent / "results"
    parser.add_argument("--before", type=Path, help="the record of another version, to include in this one")
    parser.add_argument("--out", type=Path, default=results / "singular-products.json")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    call = jax.jit(product_spectrum, static_argnames="arithmetic") if arguments.jit else product_spectrum
    families: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    types: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    wrong: list[dict[str, Any]] = []
    chosen = draws(np.random.default_rng(arguments.seed), arguments.products, arguments.healthy)
    if arguments.types:
        chosen = [each for each in chosen if each[1] in arguments.types.split(",")]
    with token_bar("products", len(chosen), unit="product") as progress:
        for name, dtype, matrices in chosen:
            wanted = exact_values(matrices)
            for arithmetic in ARITHMETIC:
                if arithmetic == "float32" and matrices.dtype == np.float64 and name in ("any_size", "graded"):
                    continue  # beyond the range of float32
                found = call(matrices, arithmetic=arithmetic)
                row = judge(found, wanted, arithmetic)
                families[f"{name}, {arithmetic}"].update(row)
                types[f"{dtype}, {arithmetic}"].update(row)
                if row["trusted_and_wrong"] or row["beyond_bound"]:
                    values = np.asarray(found.log_singular_values, np.float64).tolist()
                    about = {"family": name, "dtype": dtype, "arithmetic": arithmetic, "found": values}
                    wrong.append(about | {"exact": wanted.tolist(), "matrices": matrices.astype(float).tolist()})
            progress.update(1)
    families, types = (dict(sorted(each.items())) for each in (families, types))
    table(families)
    table(types)
    record = {"products": len(chosen), "seed": arguments.seed, "families": families, "types": types, "wrong": wrong}
    if arguments.before:
        earlier = json.loads(arguments.before.read_text())
        record["before"] = {key: earlier[key] for key in ("products", "seed", "families", "types")}
    write_json(arguments.out, record | {"environment": environment()})
    for key, words in (
        ("trusted_and_wrong", "trusted values are wrong"),
        ("beyond_bound", "values exceed their bound"),
    ):
        print(f"{sum(row[key] for row in families.values())} {words}")
    print(f"recorded in {arguments.out}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

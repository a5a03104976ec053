"""Singular values of nearly defective products by several methods: ``python -m benchmarks.defective_products``.

Jordan blocks, delay lines and other products whose values cancel out of entries far larger than themselves, computed

- by graded QR steps in float64, as ``product_spectrum`` does, with the bounds that it gives;
- by the same of the transposed factors in reverse, a second opinion;
- by QR steps of 106 bits (double-double), everything else exact: the least error that such steps can have;
- by a plain product in float64, its singular values exact: what accuracy of each entry of the product alone is worth;
- in multiprecision;
- and by another version of this project in FOLDER.

All are compared with exact arithmetic; the record has the largest error of each in nats, and its seconds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np

from benchmarks.singular_products import exact_values
from rnnlm_jax import cells
from rnnlm_jax.jacobians import product_spectrum
from rnnlm_jax.jacobians.products import step_jacobians
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.training.results import environment

#: Digits of the arithmetic around the steps that are rounded.
DIGITS = 700

#: The program that computes the values with another version.
PROGRAM = """
import sys, jax, numpy as np
jax.config.update("jax_enable_x64", True)
from rnnlm_jax.jacobians import product_spectrum
given = np.load(sys.argv[1])
found = {name: product_spectrum(given[name]) for name in given}
trusted = {f"{name}, trusted": np.sum(each.trusted) for name, each in found.items()}
np.savez(sys.argv[2], **{name: each.log_singular_values for name, each in found.items()}, **trusted)
"""


def jordan(value: float, n: int, steps: int) -> np.ndarray:
    """Return copies of a Jordan block, whose product is its power."""
    return np.broadcast_to(value * np.eye(n) + np.eye(n, k=1), (steps, n, n))


def delay_line(n: int, steps: int) -> np.ndarray:
    """Return step Jacobians of tanh units that keep half of their value and pass it on; inputs are about 1e-6."""
    cell = cells.elman(n, param_dtype="float64")
    params = cell.init(jax.random.key(0), 1)
    params = jax.tree.map(jnp.zeros_like, params)._replace(
        w_h=jnp.asarray(0.5 * np.eye(n) + np.eye(n, k=1)), w_x=jnp.zeros((1, n)).at[0, 0].set(1e-6)
    )
    xs = jax.random.normal(jax.random.key(1), (steps, 1))
    return np.asarray(step_jacobians(cell, params, cell.initial_state(()), xs))


def hilbert(n: int, steps: int) -> np.ndarray:
    """Return copies of the Hilbert matrix, 1 / (i + j + 1), in float64."""
    index = np.arange(n)
    return np.broadcast_to(1 / (index[:, None] + index[None, :] + 1), (steps, n, n))


def graded_rows() -> np.ndarray:
    """Return random matrices with rows of sizes from 1e200 to 1e-200."""
    return np.random.default_rng(0).normal(size=(4, 5, 5)) * 10.0 ** np.linspace(200, -200, 5)[:, None]


CASES: dict[str, Callable[[], np.ndarray]] = {
    "Jordan 0.5, n 8, T 100": lambda: jordan(0.5, 8, 100),
    "Jordan 0.5, n 8, T 500": lambda: jordan(0.5, 8, 500),
    "Jordan 0.5, n 8, T 1000": lambda: jordan(0.5, 8, 1000),
    "Jordan 0.5, n 8, T 2000": lambda: jordan(0.5, 8, 2000),
    "Jordan 0.1, n 8, T 500": lambda: jordan(0.1, 8, 500),
    "Jordan 0.5, n 20, T 500": lambda: jordan(0.5, 20, 500),
    "delay line, n 12, T 300": lambda: delay_line(12, 300),
    "delay line, n 20, T 100": lambda: delay_line(20, 100),
    "delay line, n 12, T 1000": lambda: delay_line(12, 1000),
    "Hilbert 12, T 3": lambda: hilbert(12, 3),
    "rows 1e200 to 1e-200, T 4": graded_rows,
}


def in_float64(matrices: np.ndarray) -> np.ndarray:
    """Return log singular values by graded QR steps."""
    return np.asarray(product_spectrum(matrices).log_singular_values)


def transposed(matrices: np.ndarray) -> np.ndarray:
    """Return the same of the transposed product."""
    return in_float64(np.swapaxes(matrices, 1, 2)[::-1])


def in_double_double(matrices: np.ndarray) -> np.ndarray:
    """Return log singular values by QR steps of 106 bits, with an exact product of the triangles."""
    n = matrices.shape[1]
    with mpmath.workdps(DIGITS):
        q, product = mpmath.eye(n), mpmath.eye(n)
        for matrix in matrices:
            with mpmath.workprec(106):
                q, r = mpmath.qr(mpmath.matrix(matrix.tolist()) * q)
            product = r * product
        return logs(product)


def by_plain_product(matrices: np.ndarray) -> np.ndarray:
    """Return exact log singular values of a product computed in float64, rescaled by powers of two."""
    product, exponent = np.eye(matrices.shape[1]), 0
    for matrix in matrices:
        product = matrix @ product
        shift = int(np.frexp(np.abs(product).max())[1])
        product, exponent = np.ldexp(product, -shift), exponent + shift
    with mpmath.workdps(DIGITS):
        return logs(mpmath.matrix(product.tolist())) + exponent * np.log(2)


def in_multiprecision(matrices: np.ndarray) -> np.ndarray:
    """Return log singular values in as many bits as they need."""
    return np.asarray(product_spectrum(matrices, arithmetic="multiprecision").log_singular_values)


def logs(matrix: Any) -> np.ndarray:
    """Return log singular values, -inf for zeros."""
    return np.array([float(mpmath.log(v)) if v else -np.inf for v in mpmath.svd_r(matrix, compute_uv=False)])


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "float64": in_float64,
    "transposed": transposed,
    "double-double": in_double_double,
    "plain product": by_plain_product,
    "multiprecision": in_multiprecision,
}


def by_another_version(folder: Path, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the log singular values of another version, and how many of them it trusts."""
    with tempfile.TemporaryDirectory() as name:
        given_file, found_file = Path(name) / "given.npz", Path(name) / "found.npz"
        np.savez(given_file, allow_pickle=False, **given)
        search = {"PYTHONPATH": str(folder.resolve())}
        subprocess.run(
            [sys.executable, "-c", PROGRAM, given_file, found_file], check=True, cwd=name, env=os.environ | search
        )
        with np.load(found_file) as found:
            return dict(found)


def main() -> int:
    """Compute, compare and write the record; return 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another version of this project")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "defective-products.json")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    given = {name: make() for name, make in CASES.items()}
    earlier = by_another_version(arguments.before, given) if arguments.before else {}
    methods = [*(["before"] if earlier else []), *METHODS]
    print(
        f"{'largest error in nats':<28}"
        + "".join(f"{method:>16}" for method in methods)
        + f"{'bound':>10}{'trusted':>9}"
    )
    record: dict[str, Any] = {}
    wrong = 0
    for name, matrices in given.items():
        wanted = exact_values(matrices)
        row: dict[str, Any] = {"error": {}, "seconds": {}}
        if earlier:
            row["error"]["before"] = float(np.abs(earlier[name] - wanted).max())
            row["trusted_before"] = int(earlier[f"{name}, trusted"])
        for method, run in METHODS.items():
            start = time.perf_counter()
            values = run(matrices)
            row["seconds"][method] = time.perf_counter() - start
            with np.errstate(invalid="ignore"):
                row["error"][method] = float(np.where(values == wanted, 0, np.abs(values - wanted)).max())
        found = product_spectrum(matrices)
        off, bounds = np.abs(np.asarray(found.log_singular_values) - wanted), np.asarray(found.error)
        wrong += int((~(off <= bounds)).sum())
        row |= {"bound": bounds.tolist(), "off": off.tolist(), "trusted": int(found.trusted.sum()), "n": off.size}
        record[name] = row
        errors = "".join(f"{row['error'][method]:>16.1e}" for method in methods)
        print(f"{name:<28}{errors}{bounds.max():>10.0e}{row['trusted']:>4} of {off.size:>2}", flush=True)
    write_json(arguments.out, {"cases": record, "environment": environment()})
    print(f"{wrong} values exceed their bound; recorded in {arguments.out}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

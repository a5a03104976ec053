"""Random programs compiled as users compile them, held to the unoptimised program; and that the sweep sees a fault."""

import os
import random
import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import compiler_sweep
from benchmarks.sweep_programs import Program, draw_program

#: With the seed below: of every family, by every executor, five transformations.
PROGRAMS = 8


def test_programs_compiled_as_users_compile_them_are_right():
    """In a process of its own: the suite itself is compiled without optimisation."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.compiler_sweep", f"--programs={PROGRAMS}", "--seed=5", "--only-chosen"],
        env={name: value for name, value in os.environ.items() if name != "XLA_FLAGS"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^{PROGRAMS} programs, 0 mismatches", done.stdout, re.MULTILINE)


def test_a_seed_draws_the_same_programs():
    drawn = [[draw_program(rng).what for _ in range(5)] for rng in (random.Random(3), random.Random(3))]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 5


def test_a_wrong_program_is_counted(monkeypatch, tmp_path, capsys):
    """The plain program is right, and the one that users compile is 1 % off in one entry."""
    x = jnp.arange(1.0, 6.0)
    wrong = Program("unroll", "value of one", lambda x: x.at[4].mul(1.01), lambda x: x, (x,))
    right = Program("unroll", "value of another", lambda x: 2 * x, lambda x: x + x, (x,))
    programs = iter([right, wrong, right])
    monkeypatch.setattr(compiler_sweep, "draw_program", lambda rng: next(programs))
    monkeypatch.setattr(sys, "argv", ["compiler_sweep", "--programs=3", f"--out={tmp_path / 'record.json'}"])
    assert compiler_sweep.main() == 1
    assert "3 programs, 1 mismatches" in capsys.readouterr().out
    assert '"value of one"' in (tmp_path / "record.json").read_text()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_passes_and_anything_more_does_not(dtype):
    expected = {"large": np.array([1.0, -2.0, 0.5], dtype), "counts": np.array([3])}
    tolerance = compiler_sweep.TOLERANCE[dtype]

    def off_by(error):
        return compiler_sweep.difference(expected | {"large": expected["large"] + np.array(error, dtype)}, expected)

    assert off_by(tolerance) <= 1 < off_by(3 * tolerance)
    assert off_by(np.nan) == np.inf
    assert compiler_sweep.difference(expected | {"counts": np.array([4])}, expected) == np.inf

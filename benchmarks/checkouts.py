"""Two checkouts of this project, timed in turn: ``python -m benchmarks.checkouts OTHER [--rounds N] [--only TEXT]``.

Layers forward and backward, training steps and Jacobian spectra, each compiled once in a process of either checkout.
The processes are timed in turn, so that a machine whose speed drifts is fair to both; what is printed is the median
over the rounds of this checkout's time divided by that of OTHER, a folder with the other version, and the ratio of the
memory that the compiled programs take beside arguments and results.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing_server import programs
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.training.results import environment

OURS = Path(__file__).parents[1]


class Server:
    """A process of ``timing_server`` with the library of one checkout."""

    def __init__(self, checkout: Path, folder: Path):
        """Start it in ``folder``, where nothing but that library is found before this checkout."""
        folder.mkdir()
        (folder / "rnnlm_jax").symlink_to(checkout / "rnnlm_jax")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.timing_server"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{OURS}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def time(self, name: str) -> tuple[float, float]:
        """Seconds of a program, the least of one turn, and bytes beside its arguments and results."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(name, file=self._process.stdin, flush=True)
        seconds, memory = self._process.stdout.readline().split()
        return float(seconds), float(memory)


def main() -> int:
    """Time, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="a folder with the other version")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="turns of each program (default: 7)")
    parser.add_argument("--only", default="", metavar="TEXT", help="programs whose name has it (default: all)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the record, as JSON")
    arguments = parser.parse_args()
    if not (arguments.other / "rnnlm_jax" / "__init__.py").is_file():
        parser.error(f"{arguments.other} is not a checkout: it has no rnnlm_jax")
    chosen = [program for program in programs() if arguments.only in program]
    if not chosen:
        parser.error(f"no program has {arguments.only!r} in its name: {'; '.join(programs())}")
    record: dict[str, Any] = {}
    print(f"{'':52s}{'other ms':>10s}{'ours ms':>10s}{'ratio':>8s}{'memory':>8s}")
    with tempfile.TemporaryDirectory() as name:
        ours = Server(OURS, Path(name) / "ours")
        other = Server(arguments.other.resolve(), Path(name) / "other")
        for program in chosen:
            found = np.array([[ours.time(program), other.time(program)] for _ in range(arguments.rounds + 1)])[1:]
            times, (my_bytes, their_bytes) = found[..., 0], found[0, :, 1]
            mine, theirs = np.median(times, axis=0)
            ratio = float(np.median(times[:, 0] / times[:, 1]))
            record[program] = {"ours": float(mine), "other": float(theirs), "ratio": ratio}
            line = f"{program:52s}{1e3 * theirs:10.3f}{1e3 * mine:10.3f}{ratio:8.3f}"
            if their_bytes:
                record[program] |= {"memory": my_bytes, "other_memory": their_bytes}
                line += f"{my_bytes / their_bytes:8.2f}"
            print(line, flush=True)
    if arguments.out:
        write_json(arguments.out, {"environment": environment(), "rounds": arguments.rounds, "seconds": record})
    return 0


if __name__ == "__main__":
    sys.exit(main())

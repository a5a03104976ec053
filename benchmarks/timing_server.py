"""Time programs whose names come on standard input, with the imported library; ``benchmarks.checkouts`` starts two.

For each name it prints the least seconds of one call and the bytes of memory, or, if the imported library lacks what
the program uses, ``unavailable`` and the reason.
"""

import sys
import time

import jax

from benchmarks.timed_programs import Program, programs

#: Seconds that one turn of a program calls it for.
TURN = 0.4


def least_seconds(program: Program) -> float:
    """Return the time of the fastest call of one turn."""
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < TURN:
        before = time.perf_counter()
        jax.block_until_ready(program.call())
        times.append(time.perf_counter() - before)
    return min(times)


def main() -> None:
    """Answer each line of standard input."""
    ready: dict[str, Program] = {}
    for line in sys.stdin:
        name = line.strip()
        try:
            if name not in ready:
                ready[name] = programs()[name]()
                jax.block_until_ready(ready[name].call())
        except (ImportError, AttributeError, TypeError) as error:
            print("unavailable", " ".join(str(error).split()), flush=True)
            continue
        print(least_seconds(ready[name]), ready[name].memory, flush=True)


if __name__ == "__main__":
    main()

"""``python -m benchmarks [options]`` is the same as ``rnnlm-jax bench [options]``."""

import sys

from rnnlm_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))

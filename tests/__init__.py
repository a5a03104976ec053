"""Tests of the package, laid out as it is."""

import os

# The suite compiles thousands of small programs and runs each a few times: ask XLA for quick compilation, in this
# process and in those that tests start. Here, because jax reads it when it is first used.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()

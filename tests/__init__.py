"""Tests of the package, laid out as it is."""

import os
from importlib import metadata

# The suite compiles thousands of small programs and runs each a few times: ask XLA for quick compilation, in this
# process and in those that tests start. Here, because jax reads it when it is first used.
QUICK = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
if tuple(map(int, metadata.version("jaxlib").split(".")[:2])) < (0, 11):  # later releases have no such option
    QUICK.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *QUICK]).strip()

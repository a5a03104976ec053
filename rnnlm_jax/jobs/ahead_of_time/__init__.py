"""The training step compiled for accelerators that are not there: what it takes of them, and whether it fits."""

from rnnlm_jax.jobs.ahead_of_time.compiling import compile_step
from rnnlm_jax.jobs.ahead_of_time.report import StepReport, describe
from rnnlm_jax.jobs.ahead_of_time.topology import Topology, open_topology, parse_topology
from rnnlm_jax.jobs.ahead_of_time.vocabularies import words_of, zipf_words

__all__ = [
    "StepReport",
    "Topology",
    "compile_step",
    "describe",
    "open_topology",
    "parse_topology",
    "words_of",
    "zipf_words",
]

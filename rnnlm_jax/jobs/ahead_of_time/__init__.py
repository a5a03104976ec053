"""Compile the training step for accelerators that this machine does not have, and report whether it fits them."""

from rnnlm_jax.jobs.ahead_of_time.compiling import compile_step
from rnnlm_jax.jobs.ahead_of_time.report import StepReport, describe
from rnnlm_jax.jobs.ahead_of_time.topology import Topology, open_topology, parse_topology
from rnnlm_jax.jobs.ahead_of_time.vocabularies import vocabulary_words, zipf_words

__all__ = [
    "StepReport",
    "Topology",
    "compile_step",
    "describe",
    "open_topology",
    "parse_topology",
    "vocabulary_words",
    "zipf_words",
]

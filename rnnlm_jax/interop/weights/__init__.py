"""Weights of torch, flax (linen, nnx), haiku, equinox and keras to parameters of our cells and back; NumPy only."""

from rnnlm_jax.interop.weights.conventions import CONVENTIONS, SYSTEMS, Convention
from rnnlm_jax.interop.weights.convert import dump, load
from rnnlm_jax.interop.weights.fit_cell import Loaded
from rnnlm_jax.interop.weights.safetensors_files import read_safetensors, read_tensors, write_safetensors
from rnnlm_jax.interop.weights.states import dump_state, load_state

__all__ = [
    "CONVENTIONS",
    "SYSTEMS",
    "Convention",
    "Loaded",
    "dump",
    "dump_state",
    "load",
    "load_state",
    "read_safetensors",
    "read_tensors",
    "write_safetensors",
]

"""Exporting and importing models: programs that run without this package, and runs as one safetensors file."""

from rnnlm_jax.interop.exporting.artefact import PLATFORMS, export_run
from rnnlm_jax.interop.exporting.importing import import_run
from rnnlm_jax.interop.exporting.run_file import is_run_file, load_safetensors, run_of, save_safetensors
from rnnlm_jax.interop.exporting.torch_run import torch_run
from rnnlm_jax.interop.weights import read_tensors

__all__ = [
    "PLATFORMS",
    "export_run",
    "import_run",
    "is_run_file",
    "load_safetensors",
    "read_tensors",
    "run_of",
    "save_safetensors",
    "torch_run",
]

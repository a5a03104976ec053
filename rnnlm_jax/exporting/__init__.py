"""Models that leave: programs that run without this package, and runs as one safetensors file, there and back."""

from rnnlm_jax.exporting.artefact import PLATFORMS, export_run
from rnnlm_jax.exporting.importing import import_run
from rnnlm_jax.exporting.run_file import load_safetensors, save_safetensors

__all__ = ["PLATFORMS", "export_run", "import_run", "load_safetensors", "save_safetensors"]

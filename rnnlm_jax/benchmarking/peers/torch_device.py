"""torch's device, the same as that of JAX if possible, and conversions of arrays."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def device() -> Any:
    """Return the GPU if both JAX and torch have one, with TF32 products as in JAX by default; else the CPU."""
    if jax.default_backend() == "gpu" and torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        return torch.device("cuda")
    return torch.device("cpu")


def to_torch(array: Any, dtype: str = "float32") -> Any:
    """Return an array as a tensor on the device."""
    return torch.tensor(np.asarray(array)).to(device(), DTYPES[dtype])


def tokens_to_torch(array: Any) -> Any:
    """Return ids as a tensor on the device."""
    return torch.tensor(np.asarray(array, np.int64)).to(device())


def to_numpy(tensor: Any) -> np.ndarray:
    """Return a tensor as a float32 array."""
    return tensor.detach().float().cpu().numpy()


def blocking(run: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that waits until the GPU has finished its work."""
    if device().type == "cpu":
        return run

    def blocked() -> Any:
        result = run()
        torch.cuda.synchronize()
        return result

    return blocked


def autocast(dtype: str) -> Any:
    """Within, compute products in bfloat16 if that is the dtype; parameters stay float32, as in our models."""
    return torch.autocast(device().type, torch.bfloat16, enabled=dtype == "bfloat16")


def describe() -> dict[str, Any]:
    """Return the number of threads and the device, for a record."""
    where = device()
    return {
        "torch threads": torch.get_num_threads(),
        "torch device": torch.cuda.get_device_name() if where.type == "cuda" else "cpu",
    }

"""Where torch runs: on the device that JAX runs on, if it can."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def device() -> Any:
    """A GPU if JAX has one and torch sees one; its float32 products then are TF32, as JAX's are by default."""
    if jax.default_backend() == "gpu" and torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        return torch.device("cuda")
    return torch.device("cpu")


def to_torch(array: Any, dtype: str = "float32") -> Any:
    """An array as a tensor on the device."""
    return torch.tensor(np.asarray(array)).to(device(), DTYPES[dtype])


def tokens_to_torch(array: Any) -> Any:
    """Ids as a tensor on the device."""
    return torch.tensor(np.asarray(array, np.int64)).to(device())


def to_numpy(tensor: Any) -> np.ndarray:
    """A tensor as a float32 array."""
    return tensor.detach().float().cpu().numpy()


def blocking(run: Callable[[], Any]) -> Callable[[], Any]:
    """The function, waiting for what it has begun on a GPU."""
    if device().type == "cpu":
        return run

    def blocked() -> Any:
        result = run()
        torch.cuda.synchronize()
        return result

    return blocked


def describe() -> dict[str, Any]:
    """Threads and device, to stand beside figures."""
    where = device()
    return {
        "torch threads": torch.get_num_threads(),
        "torch device": torch.cuda.get_device_name() if where.type == "cuda" else "cpu",
    }

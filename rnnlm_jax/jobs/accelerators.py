"""Peak performance of accelerators from their makers' tables, for the model FLOPs utilisation (MFU).

A device is what jax calls one: a chip, or for TPU7x one of a chip's two cores. Peaks are of dense products, without
structured sparsity. "float32" stands for what XLA makes of a float32 product by default: one bfloat16 pass on a TPU,
TF32 on a GPU. Devices that are not in the table, CPUs among them, have no known peak.
"""

import re
from typing import NamedTuple

import jax


class Accelerator(NamedTuple):
    """Peak performance and memory of a kind of device."""

    device_kind: str
    """Regular expression that matches jax's whole ``device_kind``."""
    bfloat16: float
    """Floating-point operations per second."""
    float32: float
    """Floating-point operations per second."""
    memory: float | None = None
    """GiB that the compiler (libtpu 0.0.42) allows a program; only for devices that can be compiled for remotely."""


#: TPUs: cloud.google.com/tpu/docs/v4, v5e, v5p, v6e, tpu7x ("peak compute per chip"). GPUs: NVIDIA's data sheets of
#: A100 (2021), H100 (2022) and H200 (2024), whose figures with sparsity are twice these; SXM unless stated otherwise.
ACCELERATORS = (
    Accelerator(r"TPU v4", 275e12, 275e12, 30.75),
    Accelerator(r"TPU v5 lite|TPU v5e", 197e12, 197e12, 15.75),
    Accelerator(r"TPU v5|TPU v5p", 459e12, 459e12, 95.74),
    Accelerator(r"TPU v6 lite|TPU v6e", 918e12, 918e12, 31.25),
    Accelerator(r"TPU7x", 1153.5e12, 1153.5e12, 94.75),
    Accelerator(r"NVIDIA A100.*40GB", 312e12, 156e12),
    Accelerator(r"NVIDIA A100.*80GB.*", 312e12, 156e12),
    Accelerator(r"NVIDIA H100 PCIe", 756e12, 378e12),
    Accelerator(r"NVIDIA H100 NVL", 835e12, 417e12),
    Accelerator(r"NVIDIA H100 80GB HBM3", 989e12, 494e12),
    Accelerator(r"NVIDIA H200", 989e12, 494e12),
)


def find_accelerator(device_kind: str) -> Accelerator | None:
    """Return the table's row for jax's ``device_kind``; None if it has none."""
    return next((row for row in ACCELERATORS if re.fullmatch(row.device_kind, device_kind)), None)


def peak_flops(device_kind: str, dtype: str) -> float | None:
    """Return a device's peak floating-point operations per second in matrix products of a number type.

    None if unknown: for other devices and types, and for float32 with ``jax_default_matmul_precision`` set.
    """
    row = find_accelerator(device_kind)
    if row is None or dtype not in ("bfloat16", "float32"):
        return None
    if dtype == "float32" and jax.config.jax_default_matmul_precision not in (None, "default"):  # pyright: ignore
        return None
    return row.bfloat16 if dtype == "bfloat16" else row.float32

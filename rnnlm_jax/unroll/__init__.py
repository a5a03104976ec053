"""Running a cell over time: ``unroll`` says what it means, executors do it."""

from rnnlm_jax.unroll.unroll import unroll

__all__ = ["unroll"]

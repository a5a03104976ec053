"""Running a cell over time: ``unroll`` defines the result, executors compute it."""

from rnnlm_jax.unroll.describe import describe_executor
from rnnlm_jax.unroll.executors import EXECUTORS, Executor, choose_executor
from rnnlm_jax.unroll.unroll import unroll

__all__ = ["EXECUTORS", "Executor", "choose_executor", "describe_executor", "unroll"]

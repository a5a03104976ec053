"""Running a cell over time: ``unroll`` defines the result, executors compute it."""

from rnnlm_jax.unroll.associative import Associative, AssociativeBackward
from rnnlm_jax.unroll.describe import describe_executor
from rnnlm_jax.unroll.executor import Executor
from rnnlm_jax.unroll.executors import EXECUTORS, choose_executor
from rnnlm_jax.unroll.newton import Newton
from rnnlm_jax.unroll.parallel_states import Certificate
from rnnlm_jax.unroll.unroll import certified_unroll, unroll

__all__ = [
    "EXECUTORS",
    "Associative",
    "AssociativeBackward",
    "Certificate",
    "Executor",
    "Newton",
    "certified_unroll",
    "choose_executor",
    "describe_executor",
    "unroll",
]

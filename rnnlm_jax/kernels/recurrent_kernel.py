"""What the kernels of recurrences share: their operations, rows of sequences, masks and resets.

A recurrence over time is a loop ``run`` in plain JAX and its derivative ``tangent``. Both define the kernels in C++:
one for results alone, one that also returns residuals, and one for the loop back in time, the transpose of ``tangent``.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.tangents import instantiated, is_zero
from rnnlm_jax.kernels.matmul import matmul
from rnnlm_jax.kernels.operation import LinearOperation, Operation

Arrays = tuple[Array, ...]
LoopFn = Callable[..., Arrays]  # (*arrays, **static) -> arrays


class RecurrentKernel:
    """The operations of one recurrence: ``infer``, ``forward``, ``backward``, and ``tangent``.

    ``tangent`` has no kernel of its own; its transpose, which training needs, is ``backward``.

    Args:
        name: prefix of the kernels in C++, such as ``"lstm"`` of ``lstm_forward``.
        run: the loop; returns results, then residuals.
        tangent: its derivative, linear in the arguments after its residuals.
        results: how many results of ``run`` are needed without derivatives.
        residuals: how many arguments of ``tangent`` are residuals.
        linear_like: (residuals, cotangents) to arrays shaped as the linear arguments of ``tangent``.
        aliases: operation to arguments whose memory a result may take over, ``{argument: result}``: there is less to be
            fetched and written.
    """

    def __init__(
        self,
        name: str,
        run: LoopFn,
        tangent: LoopFn,
        *,
        results: int,
        residuals: int,
        linear_like: Callable[[Arrays, Arrays], Arrays],
        aliases: Mapping[str, Mapping[int, int]],
    ):
        def infer(*arrays: Array, **static: Any) -> Arrays:
            return run(*arrays, **static)[:results]

        def pull(*arrays: Array, **static: Any) -> Arrays:
            fixed, cotangents = arrays[:residuals], arrays[residuals:]
            linear = functools.partial(tangent, *fixed, **static)
            return tuple(jax.linear_transpose(linear, *linear_like(fixed, cotangents))(cotangents))

        def transpose(fixed: Arrays, cotangents: Arrays, **static: Any) -> Arrays:
            return self.backward(*fixed, *cotangents, **static)

        self.infer = Operation(f"{name}_infer", infer, aliases=aliases.get("infer"))
        self.forward = Operation(f"{name}_forward", run, aliases=aliases.get("forward"))
        self.backward = Operation(f"{name}_backward", pull, aliases=aliases.get("backward"))
        self.tangent = LinearOperation(None, tangent, transpose, residuals=residuals)


def as_rows(a: Float[Array, "*TB F"]) -> Float[Array, "_ F"]:
    """Return ``[T, B, F]`` as ``[T*B, F]``, the shape of products, so that XLA lets kernels take over the memory."""
    return a.reshape(-1, a.shape[-1])


def add_bias_tangent(rows: Float[Array, "TB G"], db: Any) -> Float[Array, "TB G"]:
    """Return ``rows + db``, where ``db`` is the tangent of a bias ``[G]`` and may be a symbolic zero."""
    return rows if is_zero(db) else rows + over_batch(db, rows)


def preactivation_tangent(dzs: Any, before: Float[Array, "*TB H"], dw_h: Any, db: Any) -> Float[Array, "_ G"]:
    """Return the tangent of ``z + h W_h + b`` along everything but h, ``[T*B, G]``.

    Args:
        dzs: tangent of the projected inputs ``[T, B, G]``.
        before: the h that each step reads.
        dw_h: tangent of ``W_h``.
        db: tangent of b. Each of the tangents may be a symbolic zero.
    """
    du = as_rows(instantiated(dzs))
    if not is_zero(dw_h):
        du += matmul(as_rows(before), dw_h)
    return add_bias_tangent(du, db)


def step_flags(control: Float[Array, "_ _"]) -> Bool[Array, "T B 1"] | None:
    """Return factors 0 and 1 ``[T, B]`` as flags beside units; None for ``[0, 0]``, which stands for all ones."""
    return (control != 0)[..., None] if control.shape != (0, 0) else None


def unless_reset(keep: Bool[Array, "B 1"] | None, value: Float[Array, "B H"]) -> Float[Array, "B H"]:
    """Return ``value``, and zeros where the state is reset."""
    return value if keep is None else jnp.where(keep, value, 0)


def unless_masked(
    counts: Bool[Array, "B 1"] | None, after: Float[Array, "B H"], before: Float[Array, "B H"]
) -> Float[Array, "B H"]:
    """Return ``after``, and ``before`` where the step is masked."""
    return after if counts is None else jnp.where(counts, after, before)

"""Matrix products in a C++ kernel on CPUs, with wider vectors than those of XLA's library."""

from typing import Any

import jax
from jax.interpreters import ad

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.kernels.operation import Operation, is_reference_only

#: Products of fewer rows or fewer multiplications run in XLA: packing would cost more than it saves.
FEWEST_ROWS, SMALLEST = 128, 2**20


def matmul(
    a: Float[Array, "_ _"], b: Float[Array, "_ _"], *, transpose_a: bool = False, transpose_b: bool = False
) -> Float[Array, "_ _"]:
    """Return the product ``[M, N]`` of two matrices.

    On a CPU large products with a plain ``b`` run in the C++ kernel, if it can be compiled. All others run in XLA: the
    kernel was measured to gain nothing there. Derivatives are products again.

    Args:
        a: ``[M, K]``, or ``[K, M]`` with ``transpose_a``.
        b: ``[K, N]``, or ``[N, K]`` with ``transpose_b``.
        transpose_a: whether to multiply by ``aᵀ``.
        transpose_b: whether to multiply by ``bᵀ``.
    """
    rows = a.shape[1 if transpose_a else 0]
    if is_reference_only() or not isinstance(rows, int):  # in an exported program the number of rows may be a symbol
        return _product(a, b, transpose_a=transpose_a, transpose_b=transpose_b)[0]
    large = rows >= FEWEST_ROWS and rows * b.shape[0] * b.shape[1] >= SMALLEST
    if large and not transpose_b and a.dtype == b.dtype and jax.default_backend() == "cpu":
        return _matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)[0]
    return _product(a, b, transpose_a=transpose_a, transpose_b=transpose_b)[0]


def _product(a: Array, b: Array, *, transpose_a: bool, transpose_b: bool) -> tuple[Array]:
    dimensions = (((0 if transpose_a else 1,), (1 if transpose_b else 0,)), ((), ()))
    return (jax.lax.dot_general(a, b, dimensions),)


class _Bilinear(Operation):
    """The product as an operation that is linear in either operand."""

    def __init__(self) -> None:
        super().__init__("matmul", _product)
        ad.primitive_transposes[self.primitive] = self._transpose

    def _jvp(self, primals: Any, tangents: Any, **static: Any) -> tuple[Any, Any]:
        (a, b), (da, db) = primals, tangents
        value = matmul(a, b, **static)
        parts = [matmul(da, b, **static)] if type(da) is not ad.Zero else []
        parts += [matmul(a, db, **static)] if type(db) is not ad.Zero else []
        return [value], [sum(parts[1:], parts[0])]

    def _transpose(self, cotangents: Any, a: Any, b: Any, *, transpose_a: bool, transpose_b: bool) -> list[Any]:
        (g,) = cotangents
        if type(g) is ad.Zero:
            return [None, None]
        if ad.is_undefined_primal(a):
            if transpose_a:
                return [matmul(b, g, transpose_a=transpose_b, transpose_b=True), None]
            return [matmul(g, b, transpose_b=not transpose_b), None]
        if transpose_b:
            return [None, matmul(g, a, transpose_a=True, transpose_b=transpose_a)]
        return [None, matmul(a, g, transpose_a=not transpose_a)]


_matmul = _Bilinear()

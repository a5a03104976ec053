"""Numbers of 60 digits that carry two directional derivatives and the second one, for the NumPy cells to run on."""

import mpmath
import numpy as np

DIGITS = 60


class HyperDual:
    """``f + f_u ε + f_v η + f_uv ε η`` with ``ε² = η² = 0``: exact derivatives along u and v, and along both."""

    def __init__(self, f, u=0, v=0, uv=0):
        self.parts = tuple(map(mpmath.mpf, (f, u, v, uv)))

    def _of(self, f, first, second):
        _, u, v, uv = self.parts
        return HyperDual(f, first * u, first * v, first * uv + second * u * v)

    def __add__(self, other):
        return HyperDual(*(a + b for a, b in zip(self.parts, of(other).parts, strict=True)))

    def __mul__(self, other):
        (f, u, v, uv), (g, gu, gv, guv) = self.parts, of(other).parts
        return HyperDual(f * g, f * gu + u * g, f * gv + v * g, f * guv + u * gv + v * gu + uv * g)

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + of(other) * -1

    def __rsub__(self, other):
        return of(other) - self

    def __truediv__(self, other):
        return self * of(other).power(-1)

    def __rtruediv__(self, other):
        return of(other) * self.power(-1)

    def __gt__(self, other):
        return self.parts[0] > of(other).parts[0]

    __radd__, __rmul__ = __add__, __mul__

    def power(self, n):
        f = self.parts[0]
        return self._of(f**n, n * f ** (n - 1), n * (n - 1) * f ** (n - 2))

    def exp(self):
        f = mpmath.exp(self.parts[0])
        return self._of(f, f, f)

    def log(self):
        f = self.parts[0]
        return self._of(mpmath.log(f), 1 / f, -1 / f**2)

    def tanh(self):
        f = mpmath.tanh(self.parts[0])
        slope = mpmath.sech(self.parts[0]) ** 2
        return self._of(f, slope, -2 * f * slope)

    def expm1(self):
        f, slope = mpmath.expm1(self.parts[0]), mpmath.exp(self.parts[0])
        return self._of(f, slope, slope)

    def cos(self):
        f, slope = mpmath.cos(self.parts[0]), -mpmath.sin(self.parts[0])
        return self._of(f, slope, -f)

    def sin(self):
        f, slope = mpmath.sin(self.parts[0]), mpmath.cos(self.parts[0])
        return self._of(f, slope, -f)

    def sqrt(self):
        return self.power(mpmath.mpf(1) / 2)

    def conjugate(self):
        return self

    real = property(conjugate)


def of(number):
    """A number as a constant."""
    return number if isinstance(number, HyperDual) else HyperDual(float(number))


def arrays(value, u, v):
    """Arrays of numbers that move along u and v."""
    return np.vectorize(HyperDual, otypes=[object])(np.float64(value), np.float64(u), np.float64(v))

"""Phase diagrams: where the largest Lyapunov exponent changes its sign, by theory and in random networks."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnlm_jax.cells.cell import check_choice
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.lyapunov import lyapunov_spectrum
from rnnlm_jax.jacobians.mean_field.random_cells import PARAMETERS, random_network, settings_of, stability

#: Exponents nearer to 0 than this are not said to have a sign, nats a step: that of a finite network differs so much.
NEAR_EDGE = 0.01


class PhasePoint(NamedTuple):
    """One network of a phase diagram."""

    gain: float
    value: float
    """Of the parameter on the other axis."""
    stability: float | None
    """1 at the edge of chaos by theory, see ``random_cells.stability``; None where there is no stationary state."""
    exponent: float | None
    """The largest Lyapunov exponent measured, nats a step; None where states are not finite."""
    standard_error: float | None
    """Of its mean over time."""

    @property
    def agrees(self) -> bool | None:
        """Whether theory and measurement have the same sign; None where either is not known or too near the edge."""
        if self.stability is None or self.exponent is None or abs(self.exponent) < NEAR_EDGE:
            return None
        return (self.stability > 1) == (self.exponent > 0)


class PhaseDiagram(NamedTuple):
    """The phases of a cell over the gain and one other parameter."""

    cell: str
    axis: str
    """Name of the other parameter."""
    settings: dict[str, float]
    """The parameters that stay the same."""
    units: int
    steps: int
    points: tuple[PhasePoint, ...]
    critical: tuple[tuple[float, float | None], ...]
    """For values of the parameter, the gain at the edge of chaos by theory; None: not within the gains."""

    def summary(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {
            **self._asdict(),
            "points": [point._asdict() | {"agrees": point.agrees} for point in self.points],
            "critical": [{"value": value, "gain": gain} for value, gain in self.critical],
        }


def phase_diagram(
    cell: str,
    gains: Sequence[float],
    values: Sequence[float],
    *,
    axis: str | None = None,
    settings: dict[str, float] | None = None,
    units: int = 200,
    steps: int = 400,
    seed: int = 0,
    progress: Callable[[int], object] = lambda count: None,
) -> PhaseDiagram:
    """Return the edge of chaos by theory, and the largest Lyapunov exponent of a random network at every grid point.

    Args:
        cell: "elman-tanh", "elman-sigmoid", "elman-relu", "gru" or "lstm".
        gains: the values of g.
        values: those of the other parameter.
        axis: the other parameter; the first of ``PARAMETERS`` of the cell unless given.
        settings: further parameters of the theory.
        units: N of the networks.
        steps: over which exponents are averaged, after half as many more.
        seed: of the random numbers, which are the same at all points.
        progress: called with 1 after each network.

    Raises:
        ArgumentError: for an unknown cell or parameter, no gains or values, or a number out of range.
    """
    known = PARAMETERS[check_choice("cell", cell, PARAMETERS)]
    axis = next(iter(known)) if axis is None else check_choice("axis", axis, known)
    if not len(gains) or not len(values):
        raise ArgumentError("a phase diagram needs a value of each axis: give `gains` and `values`")
    fixed = {name: value for name, value in settings_of(cell, settings or {}).items() if name != axis}
    for value in values:
        settings_of(cell, {axis: value})
    points = []
    for value in values:
        for gain in gains:
            points.append(_point(cell, gain, {**fixed, axis: value}, value, units=units, steps=steps, seed=seed))
            progress(1)
    between = np.linspace(0, 1, 25) if len(values) > 1 else np.zeros(1)
    if axis.endswith("variance"):
        between = between**2  # the edge changes fastest near 0
    between = min(values) + between * (max(values) - min(values))
    critical = tuple(
        (float(v), _critical_gain(cell, min(gains), max(gains), {**fixed, axis: float(v)})) for v in between
    )
    return PhaseDiagram(cell, axis, fixed, units, steps, tuple(points), critical)


def _point(cell: str, gain: float, parameters: dict[str, float], value: float, **sizes: int) -> PhasePoint:
    steps = sizes["steps"]
    burn_in = (steps + 1) // 2
    network = random_network(cell, gain, parameters, units=sizes["units"], steps=steps + burn_in, seed=sizes["seed"])
    found = jax.device_get(
        lyapunov_spectrum(
            network.cell, network.params, network.state, network.xs, key=jax.random.key(0), count=1, burn_in=burn_in
        )
    )
    exponent, error = float(found.exponents[0]), float(found.standard_errors[0])
    finite = np.isfinite(exponent) and np.isfinite(error)
    return PhasePoint(
        float(gain),
        float(value),
        _stability(cell, gain, parameters),
        exponent if finite else None,
        error if finite else None,
    )


def _stability(cell: str, gain: float, parameters: dict[str, float]) -> float | None:
    """Return the stability, None where the theory has no stationary state: relu beyond √2."""
    if cell == "elman-relu" and gain**2 >= 2:
        return None
    return stability(cell, gain, **parameters)


def _critical_gain(cell: str, low: float, high: float, parameters: dict[str, float]) -> float | None:
    """Return the first gain between two at which the stability crosses 1, None if there is none."""
    tried = np.linspace(low, high, 9)
    beyond = [_stability(cell, float(gain), parameters) for gain in tried]
    for k in range(1, len(tried)):
        before, after = beyond[k - 1], beyond[k]
        if before is not None and before <= 1 and (after is None or after > 1):
            left, right = float(tried[k - 1]), float(tried[k])
            for _ in range(16):
                middle = (left + right) / 2
                found = _stability(cell, middle, parameters)
                left, right = (middle, right) if found is not None and found <= 1 else (left, middle)
            return right
    return None

"""Learning rate against training steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.plotting.style import BLUE, GREY, legend_below, new_figure, paper_style, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The axis is logarithmic if a fifth of the steps has a rate below the highest one divided by this: in a geometric
#: decay they do, in a cosine or a line to zero they do not.
LOG_SPAN = 30
#: With more epochs than this, only every second, fifth or tenth … epoch has a line.
MOST_LINES = 20


def learning_rate_schedule(
    rates: Sequence[float],
    path: Path,
    *,
    steps: Sequence[int] | None = None,
    epoch_starts: Sequence[int] = (),
    warmup_steps: int = 0,
    note: str = "",
) -> None:
    """Draw the learning rate of each step of a job; epochs are thin vertical lines, the warm-up is shaded.

    The axis of the rate is logarithmic if a fifth of the steps after the warm-up has a rate less than the highest one
    divided by ``LOG_SPAN``.

    Args:
        rates: learning rate at each of ``steps``.
        path: PNG, PDF or SVG file to write.
        steps: numbers of the steps, counted from 0, ascending; None: 0, 1, 2 and so on.
        epoch_starts: step at which each epoch begins, the first one included or not.
        warmup_steps: length of the warm-up.
        note: text below the title, such as the name of the schedule and what may still change it.

    Raises:
        ArgumentError: if there are no rates, a rate is negative or not finite, or steps do not fit them.
    """
    figure = draw_learning_rate_schedule(
        rates, steps=steps, epoch_starts=epoch_starts, warmup_steps=warmup_steps, note=note
    )
    save(figure, path)


@paper_style()
def draw_learning_rate_schedule(
    rates: Sequence[float],
    *,
    steps: Sequence[int] | None = None,
    epoch_starts: Sequence[int] = (),
    warmup_steps: int = 0,
    note: str = "",
) -> "Figure":
    """Return the figure of ``learning_rate_schedule``, whose arguments and errors it has."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    y = np.asarray(rates, float)
    x = np.arange(y.size) if steps is None else np.asarray(steps)
    if not y.size or not (np.isfinite(y) & (y >= 0)).all():
        raise ArgumentError("`rates` must be at least one learning rate, none of them negative or not finite")
    if x.shape != y.shape or (np.diff(x) <= 0).any():
        raise ArgumentError(f"`steps` must be {y.size} ascending numbers, one for each of `rates`")
    figure = new_figure(7.0, 3.2)
    axes = figure.add_subplot()
    # A line between two steps would be a rate that no step has where the schedule jumps.
    (line,) = axes.plot(x, y, color=BLUE, lw=1.4, drawstyle="steps-post", label="learning rate", zorder=3)
    entries: list[Line2D | Patch] = [line]
    settled = y[(x >= warmup_steps) & (y > 0)]
    if settled.size and settled.max() > LOG_SPAN * np.quantile(settled, 0.2):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.08 * (float(y.max()) or 1.0))
    last = float(x[-1])
    axes.set_xlim(min(float(x[0]), 0.0), max(last, float(x[0]) + 1))
    lines = [start for start in epoch_starts if x[0] < start <= last]
    every = _lines_between(len(lines))
    for start in lines[every - 1 :: every]:
        axes.axvline(start, color=GREY, lw=0.5, alpha=0.5, zorder=1)
    if lines:
        label = "epoch" if every == 1 else f"{every} epochs"
        entries.append(Line2D([], [], color=GREY, lw=0.5, alpha=0.8, label=label))
    if warmup_steps > 0:
        end = min(warmup_steps, last)
        axes.axvspan(axes.get_xlim()[0], end, color=GREY, alpha=0.15, lw=0, zorder=0)
        entries.append(Patch(color=GREY, alpha=0.15, lw=0, label=f"warm-up, {warmup_steps:,} steps"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set(xlabel="training step", ylabel="learning rate")
    axes.set_title(note, loc="left")
    legend_below(figure, entries)
    return figure


def _lines_between(count: int) -> int:
    """Return the number of epochs from one line to the next, such that there are at most ``MOST_LINES`` lines."""
    every = 1
    while count > MOST_LINES * every:
        every = {1: 2, 2: 5, 5: 10}[every // 10 ** (len(str(every)) - 1)] * 10 ** (len(str(every)) - 1)
    return every

"""What is printed: a table a shape, with one line a subject; geometric means; how cost grows."""

from collections.abc import Sequence

from rnnlm_jax.benchmarking.growth import Growth
from rnnlm_jax.benchmarking.measure.subject import Contest
from rnnlm_jax.benchmarking.rows import Mean, Row

HEADINGS = (
    *("compile s", "first ms", "median ms", "quartiles ms", "tokens/s", "GFLOP/s", "of floor", "MiB", "time / ours"),
)
WIDTHS = (9, 9, 10, 21, 11, 8, 8, 8, 11)
NAME = 22


def shape_heading(contest: Contest) -> list[str]:
    """The line that begins a shape, and the names of the columns."""
    return ["", f"{contest.group}: {contest.where}", _line("", HEADINGS)]


def contest_lines(contest: Contest, rows: Sequence[Row]) -> list[str]:
    """A contest: what is done, and its subjects, ours first."""
    return [f"  {contest.title} ({_flops(contest.flops)})", *(_line(f"    {row.name}", _cells(row)) for row in rows)]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        "" if row.compile_seconds is None else f"{row.compile_seconds:.2f}",
        f"{1e3 * row.first:.2f}",
        f"{1e3 * row.median:.2f}",
        f"{1e3 * row.lower:.2f} - {1e3 * row.upper:.2f}",
        f"{row.tokens_per_second:,.0f}",
        f"{row.gflop_per_second:.1f}",
        "" if row.share_of_floor is None else f"{100 * row.share_of_floor:.0f} %",
        "" if row.memory_bytes is None else f"{row.memory_bytes / 2**20:.1f}",
        f"{row.ratio:.2f}",
    )


def _line(name: str, cells: Sequence[str]) -> str:
    padded = (f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
    return f"{name:<{NAME}} {' '.join(padded)}".rstrip()


def _flops(count: float) -> str:
    unit, size = next(((u, s) for u, s in (("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6)) if count >= s), ("FLOP", 1))
    return f"{count / size:.3g} {unit}"


def mean_lines(means: Sequence[Mean]) -> list[str]:
    """Geometric means, a line a group and kind."""
    if not means:
        return []
    lines = ["", "time / ours, geometric means over shapes"]
    for group, kind in dict.fromkeys((mean.group, mean.kind) for mean in means):
        of_kind = [mean for mean in means if (mean.group, mean.kind) == (group, kind)]
        lines.append(f"  {group}, {kind}: " + ", ".join(f"{mean.name} {mean.ratio:.2f}" for mean in of_kind))
    return lines


def growth_lines(growth: Growth) -> list[str]:
    """A sweep: a line a size, and exponents below."""
    remat = any(growth.temporary_bytes_sqrt)
    headings = ["ms", "compile s", "temporary MiB", *(["with remat sqrt"] if remat else [])]
    columns = [
        [f"{1e3 * value:.2f}" for value in growth.seconds],
        [f"{value:.2f}" for value in growth.compile_seconds],
        [_mib(value) for value in growth.temporary_bytes],
        *([[_mib(value) for value in growth.temporary_bytes_sqrt]] if remat else []),
    ]
    exponents = [
        f"{growth.exponents[name]:.2f}" if name in growth.exponents else ""
        for name in ("seconds", "compile_seconds", "temporary_bytes", *(["temporary_bytes_sqrt"] if remat else []))
    ]
    return [
        "",
        f"growth: lstm forward+backward, {growth.others}",
        _wide(f"  {growth.what}", headings),
        *(_wide(f"  {size:,}", cells) for size, *cells in zip(growth.sizes, *columns, strict=True)),
        _wide("  exponent", exponents),
    ]


def _mib(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:.2f}"


def _wide(name: str, cells: Sequence[str]) -> str:
    return f"{name:<12} {' '.join(f'{cell:>15}' for cell in cells)}".rstrip()

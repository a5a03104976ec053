"""The printed tables: one per shape, with a line per candidate; geometric means; scaling."""

from collections.abc import Sequence

from rnnlm_jax.benchmarking.measure.candidate import Comparison
from rnnlm_jax.benchmarking.result_rows import Mean, Row
from rnnlm_jax.benchmarking.scaling import Sweep

HEADINGS = (
    *("compile s", "first ms", "median ms", "quartiles ms", "tokens/s", "GFLOP/s", "of floor", "MiB", "time / ours"),
)
WIDTHS = (9, 9, 10, 21, 11, 8, 8, 8, 11)
NAME = 22


def shape_heading(comparison: Comparison) -> list[str]:
    """Return the heading of a shape, and the names of the columns."""
    return ["", f"{comparison.group}: {comparison.where}", _line("", HEADINGS)]


def comparison_lines(comparison: Comparison, rows: Sequence[Row]) -> list[str]:
    """Return the lines of a comparison: its title, and its candidates, ours first."""
    return [
        f"  {comparison.title} ({_flops(comparison.flops)})",
        *(_line(f"    {row.name}", _cells(row)) for row in rows),
    ]


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
    """Return the geometric means, one line per group and kind."""
    if not means:
        return []
    lines = ["", "time / ours, geometric means over shapes"]
    for group, kind in dict.fromkeys((mean.group, mean.kind) for mean in means):
        of_kind = [mean for mean in means if (mean.group, mean.kind) == (group, kind)]
        lines.append(f"  {group}, {kind}: " + ", ".join(f"{mean.name} {mean.ratio:.2f}" for mean in of_kind))
    return lines


def sweep_lines(sweep: Sweep) -> list[str]:
    """Return a table of a sweep: one line per size, and the exponents below."""
    remat = any(sweep.temporary_bytes_sqrt)
    headings = ["ms", "compile s", "temporary MiB", *(["with remat sqrt"] if remat else [])]
    columns = [
        [f"{1e3 * value:.2f}" for value in sweep.seconds],
        [f"{value:.2f}" for value in sweep.compile_seconds],
        [_mib(value) for value in sweep.temporary_bytes],
        *([[_mib(value) for value in sweep.temporary_bytes_sqrt]] if remat else []),
    ]
    exponents = [
        f"{sweep.exponents[name]:.2f}" if name in sweep.exponents else ""
        for name in ("seconds", "compile_seconds", "temporary_bytes", *(["temporary_bytes_sqrt"] if remat else []))
    ]
    return [
        "",
        f"growth: lstm forward+backward, {sweep.others}",
        _wide(f"  {sweep.what}", headings),
        *(_wide(f"  {size:,}", cells) for size, *cells in zip(sweep.sizes, *columns, strict=True)),
        _wide("  exponent", exponents),
    ]


def _mib(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:.2f}"


def _wide(name: str, cells: Sequence[str]) -> str:
    return f"{name:<12} {' '.join(f'{cell:>15}' for cell in cells)}".rstrip()

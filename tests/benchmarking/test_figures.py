"""Rows, means, exponents and their tables against values by hand; and the timing itself."""

import math

import pytest

from rnnlm_jax.benchmarking import results_table as table
from rnnlm_jax.benchmarking import scaling
from rnnlm_jax.benchmarking.measure.candidate import Candidate, Comparison
from rnnlm_jax.benchmarking.measure.timing import SETTLING, Timing, interleave
from rnnlm_jax.benchmarking.result_rows import means, rows_of
from rnnlm_jax.plotting import draw_benchmark
from tests.plotting.layout import assert_tidy, legend_texts

pytestmark = pytest.mark.filterwarnings("error")


def comparison(job="forward", **sizes):
    return Comparison("layers", "lstm", job, sizes or {"T": 5, "B": 2, "H": 3}, 10, 4e6, 1e-4, lambda write_line: [])


def rows(seconds, **options):
    candidates = [Candidate(name, lambda: None, None, 0.25, 2**21) for name in seconds]
    return rows_of(comparison(**options), candidates, {k: Timing(1.0, v, 0.9 * v, 1.1 * v) for k, v in seconds.items()})


def test_rows_against_values_by_hand():
    ours, floor, peer = rows({"ours": 0.002, "floor": 0.001, "peer": 0.008})
    assert (ours.tokens_per_second, ours.gflop_per_second) == pytest.approx((5000, 2.0))
    assert [row.ratio for row in (ours, floor, peer)] == [1, 0.5, 4]
    assert [row.share_of_floor for row in (ours, floor, peer)] == [0.5, 1, 0.125]
    assert rows({"ours": 0.002})[0].share_of_floor is None


def test_means_are_geometric_and_over_one_kind():
    found = means(
        [
            *rows({"ours": 1.0, "peer": 2.0}),
            *rows({"ours": 1.0, "peer": 8.0}, T=7),
            *rows({"ours": 1.0, "peer": 3.0}, job="back"),
        ]
    )
    assert [(m.kind, m.name, m.contests) for m in found] == [("lstm forward", "peer", 2), ("lstm back", "peer", 1)]
    assert [m.ratio for m in found] == pytest.approx([4, 3])
    assert table.mean_lines(found)[2:] == ["  layers, lstm forward: peer 4.00", "  layers, lstm back: peer 3.00"]
    assert table.mean_lines([]) == []


def test_the_table_is_aligned():
    shape = table.shape_heading(comparison())
    lines = table.comparison_lines(comparison(), rows({"ours": 0.002, "floor": 0.001, "a peer": 12.5}))
    assert lines[0].strip() == "lstm forward (4 MFLOP)"
    assert shape[1] == "layers: T 5, B 2, H 3"
    assert {len(line) for line in (shape[2], *lines[1:])} == {len(shape[2])}
    assert lines[1].split() == [
        "ours",
        "0.25",
        "1000.00",
        "2.00",
        "1.80",
        "-",
        "2.20",
        "5,000",
        "2.0",
        "50",
        "%",
        "2.0",
        "1.00",
    ]


def test_exponents_of_a_sweep():
    assert scaling.exponent((2, 4, 8), (3, 12, 48)) == pytest.approx(2)
    sweep = scaling.Sweep("T", "B 1", (1, 4), (0.5, 1.0), (0.2, 0.2), (4, 64), (None, None))
    assert sweep.exponents == pytest.approx({"seconds": 0.5, "compile_seconds": 0, "temporary_bytes": 2})
    assert table.sweep_lines(sweep)[-1].split() == ["exponent", "0.50", "0.00", "2.00"]


def test_candidates_are_timed_in_turn_after_untimed_calls(monkeypatch):
    """With a clock that advances 4 ms per call, three calls are untimed and the fourth is timed."""
    now, calls = [0.0], []

    def run(name):
        def call():
            calls.append(name)
            now[0] += 0.4 * SETTLING

        return call

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    found = interleave({"a": run("a"), "b": run("b")}, 2, firsts={"a": 7.0, "b": 8.0})
    assert "".join(calls) == "aaaabbbb" * 2
    assert found["a"].first == 7 and found["b"].median == pytest.approx(0.4 * SETTLING)


def test_the_figure_has_a_panel_for_each_job():
    some = [
        *rows({"ours": 1.0, "floor": 0.4, "peer": 3.0, "other": 0.8}),
        *rows({"ours": 1.0, "floor": 0.5, "peer": 70.0}, T=35, B=20, H=200),
        *rows({"ours": 1.0, "floor": 0.5, "peer": 2.0}, job="training step, small"),
    ]
    figure = draw_benchmark([row.as_json() for row in some if row.name != "ours"])
    assert [ax.get_title() for ax in figure.axes] == ["lstm forward", "lstm training step"]
    assert legend_texts(figure) == ["matrix products alone", "peer", "other"]
    first, second = figure.axes
    assert [label.get_text() for label in first.get_xticklabels()] == ["5×2×3", "35×20×200"]
    assert [label.get_text() for label in second.get_xticklabels()] == ["small"]
    ends = sorted(math.prod((bar.get_y() + bar.get_height(),)) for bar in first.patches)
    assert ends == pytest.approx([0.4, 0.5, 0.8, 3, 70])
    low, high = first.get_ylim()
    assert low < 0.4 and high > 70
    assert_tidy(figure)


def test_all_candidates_look_different_in_the_figure():
    names = ["ours, a", "ours, b", "ours, c", "floor", *(f"peer {k}" for k in range(6))]
    figure = draw_benchmark([row.as_json() for row in rows({"ours": 1.0} | dict.fromkeys(names, 2.0))[1:]])
    looks = {(patch.get_facecolor(), patch.get_hatch()) for patch in figure.legends[0].get_patches()}
    assert len(looks) == len(names)
    assert_tidy(figure)

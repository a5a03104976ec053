"""``rnnlm-jax phase-diagram``: the table, the figure, the JSON, and wrong options."""

import json

import pytest

SMALL = ("--units", "40", "--steps", "60")


def test_a_table_a_figure_and_json(tmp_path, rnnlm):
    files = ("--out", tmp_path / "phases.svg", "--json", tmp_path / "phases.json")
    outcome = rnnlm("phase-diagram", "elman-tanh", "--gains", "0.5,3,2", "--values", "0,1,2", *SMALL, *files)
    assert outcome.code == 0, outcome
    assert "theory and simulation have the same sign at 4 of the 4 points" in outcome.out
    assert "edge of chaos by theory: gain 1.000 at 0" in outcome.out
    found = json.loads((tmp_path / "phases.json").read_text())
    assert [point["gain"] for point in found["points"]] == [0.5, 3.0, 0.5, 3.0]
    assert found["points"][1]["stability"] > 1 > found["points"][0]["stability"]
    assert found["units"] == 40
    assert "edge of chaos" in (tmp_path / "phases.svg").read_text() or (tmp_path / "phases.svg").stat().st_size > 5000


def test_gated_cells_take_their_parameters(rnnlm):
    options = ("--axis", "forget-bias", "--values=-2,-2,1", "--gains", "0.5,0.5,1", "--set", "bias_variance=0.1")
    outcome = rnnlm("phase-diagram", "lstm", *options, *SMALL, "--json")
    assert outcome.code == 0, outcome
    found = json.loads(outcome.out.splitlines()[-1])
    assert found["settings"] == {"bias_variance": 0.1}
    assert found["points"][0]["value"] == -2
    assert found["points"][0]["exponent"] < 0


WRONG = {
    "cell": (["cornn"], "invalid choice: 'cornn'"),
    "axis": (["gru", "--axis", "forget_bias"], "--axis forget_bias: gru has update_bias, reset_bias, bias_variance"),
    "range": (["gru", "--gains", "3,1,2"], "LOW must not be above HIGH"),
    "not a range": (["gru", "--values", "1,2"], "'1,2' is not LOW,HIGH,N"),
    "variance": (["elman-tanh", "--values=-1,1,2"], "--gains and variances must be 0 or more"),
    "parameter": (["gru", "--set", "forget_bias=1"], "gru has no parameter 'forget_bias'"),
    "units": (["gru", "--units", "0"], "--units must be 2 or more"),
    "figure": (["gru", "--out", "phases.txt"], "must end in .png, .pdf, .svg"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_refused(case, refuse):
    words, message = WRONG[case]
    refuse("phase-diagram", *words, saying=message)

"""``rnnlm-jax jacobians``: its files and output against a tanh network by hand, and its errors."""

import dataclasses
import functools
import json
import shutil

import jax
import numpy as np
import pytest

from rnnlm_jax.cli.commands import jacobians as command
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.evaluation.horizons import HorizonReport, horizon_report
from rnnlm_jax.jobs import run_folder as runs
from rnnlm_jax.jobs.checkpoints import CheckpointFolder
from rnnlm_jax.jobs.run_folder import RunFolder, checkpoint_steps, open_run, read_config_and_identity
from tests.evaluation.horizons.by_hand import ElmanByHand, read_before
from tests.jacobians import exact
from tests.training.tiny import TINY, last_checkpoint, random_params

# One process for all of them: what the first has compiled the others use.

#: The same throughout, so that all of it is compiled once; each context is compiled on its own.
LAGS, CONTEXTS, POSITIONS = (1, 2, 5), (2, 20), 6
OPTIONS = ["--lags", "5,1,2,1", "--positions", POSITIONS, "--json"]
SPECTRA = {
    *("spectrum_lag", "log_singular_values", "trusted", "log_abs_det", "step_eigenvalues"),
    *("lyapunov_exponents", "lyapunov_standard_errors"),
}
ARRAYS = {
    *("lag", "log_norm_hidden", "log_norm_inputs", "log_bound_sigma", "log_bound_rho"),
    *("context", "context_nats", "context_standard_errors", "full_nats", "full_standard_error"),
    *SPECTRA,
}


@pytest.fixture
def jacobians(rnnlm, monkeypatch):
    """Run the command in float32 with few contexts; return its lines and the JSON of the last one."""
    monkeypatch.setattr(horizon_report, "CONTEXTS", CONTEXTS)

    def measure(*words):
        with jax.enable_x64(False):
            outcome = rnnlm("jacobians", *words, *OPTIONS)
        assert outcome.code == 0, outcome
        lines = outcome.out.splitlines()
        return lines, json.loads(lines[-1])

    return measure


@pytest.fixture
def quick_start(monkeypatch):
    """Replace the initialisation of parameters, which takes seconds to compile and is tested elsewhere."""
    monkeypatch.setattr(runs, "initial_params", random_params)


@pytest.fixture
def no_figures(monkeypatch):
    """Leave out figures, which are slow and tested elsewhere."""
    monkeypatch.setattr(command, "FIGURES", {})


def arrays_of(folder):
    with np.load(folder / "jacobians.npz") as file:
        return {name: file[name] for name in file.files}


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


def by_hand(run, text):
    """Log norms ``[2, N, L+1]`` by the state and the words, and nats by context and of all, at the places measured."""
    network, start, steps = ElmanByHand(run.params), run.vocabulary.start_id, 2 * (max(LAGS) + 1)
    norms = [
        network.log_norms(read_before(text.tokens, start, i, steps), text.tokens[i], max(LAGS) + 1)
        for i in np.linspace(steps - 1, len(text) - 1, POSITIONS).round().astype(int)
    ]
    nats = [
        [network.nll(read_before(text.tokens, start, i, k), text.tokens[i]) for k in (*CONTEXTS, len(text))]
        for i in np.linspace(max(CONTEXTS) - 1, len(text) - 1, POSITIONS).round().astype(int)
    ]
    return np.stack(norms, axis=1), np.mean(nats, axis=0)


def test_arrays_figures_and_tables_against_a_network_by_hand(trained, corpus, tmp_path, jacobians):
    out = tmp_path / "new" / "out"
    lines, printed = jacobians(trained, "--data", corpus, "--out", out, "--sequences", "2", "--format", "svg")
    folder, run = out / "run", open_run(trained)
    assert [path.name for path in out.iterdir()] == ["run"]  # no comparison of one run
    figures = {"decay_curves.svg", "spectra.svg", "eigenvalues.svg"}
    assert {path.name for path in folder.iterdir()} == {"jacobians.npz", "jacobians.json", *figures}
    assert all(b"<svg" in (folder / name).read_bytes() for name in figures)
    found, facts = arrays_of(folder), json.loads((folder / "jacobians.json").read_text())
    assert found.keys() == ARRAYS

    text, network = encode_text(str(corpus), run.vocabulary), ElmanByHand(run.params)
    norms, nats = by_hand(run, text)
    np.testing.assert_allclose(found["log_norm_hidden"], norms[0], rtol=0, atol=1e-4)
    np.testing.assert_allclose(found["log_norm_inputs"], norms[1], rtol=0, atol=1e-4)
    assert found["lag"].tolist() == list(range(6))
    sigma, rho = np.linalg.norm(network.w_h, 2), np.abs(np.linalg.eigvals(network.w_h)).max()
    np.testing.assert_allclose(found["log_bound_sigma"], np.log(sigma) * found["lag"], rtol=1e-6)
    np.testing.assert_allclose(found["log_bound_rho"], np.log(rho) * found["lag"], rtol=1e-6)
    assert found["context"].tolist() == list(CONTEXTS)
    np.testing.assert_allclose([*found["context_nats"], found["full_nats"]], nats, rtol=1e-5)

    # two stretches of five steps after five to warm up, one at the beginning and one at the end
    states = [network.states(read_before(text.tokens, run.vocabulary.start_id, i, 10)) for i in (9, len(text) - 1)]
    matrices = np.array([[network.jacobian(h) for h in hs[5:]] for hs in states])
    spectra = [[exact.log_singular_values(each[:lag], 60) for lag in LAGS] for each in matrices]
    assert found["spectrum_lag"].tolist() == list(LAGS)
    np.testing.assert_allclose(found["log_singular_values"], spectra, rtol=0, atol=1e-10)  # the model in float64
    np.testing.assert_allclose(found["log_abs_det"], np.sum(spectra, axis=-1), rtol=0, atol=1e-10)
    for values, matrix in zip(found["step_eigenvalues"], matrices[:, 0], strict=True):
        np.testing.assert_allclose(np.poly(values), np.poly(matrix), rtol=0, atol=1e-12)
    assert (found["trusted"] == 8).all()
    assert found["lyapunov_exponents"].shape == found["lyapunov_standard_errors"].shape == (8,)

    assert (facts["name"], facts["cell"], facts["step"]) == ("run", "elman-tanh", run.position.step)
    assert (facts["positions"], facts["context_tokens"], facts["largest_lag"], facts["state_size"]) == (6, 6, 5, 8)
    assert facts["data"] == str(corpus)
    assert facts["level"] == run.vocabulary.level
    for k, mean, error in zip(CONTEXTS, found["context_nats"], found["context_standard_errors"], strict=True):
        assert facts["perplexity_standard_errors"][str(k)] == pytest.approx(np.exp(mean) * error)
    assert any(line.split()[:2] == ["±", "s.e."] for line in lines)
    relative = np.exp(norms).mean(axis=1) / np.exp(norms[..., :1]).mean(axis=1)
    for part, curve in zip(("hidden", "inputs"), relative, strict=True):
        assert [facts["relative_norms"][part][str(lag)] for lag in LAGS] == pytest.approx(curve[list(LAGS)], rel=1e-4)
        below = np.flatnonzero(curve > np.exp(-1))[-1] + 1
        assert facts["horizons"][part]["1/e"] == (None if below > 5 else below)
        assert facts["first_lag"][part] == 0
    perplexities = [*facts["perplexity_by_context"].values(), facts["perplexity_full_context"]]
    assert perplexities == pytest.approx(np.exp(nats), rel=1e-4)
    assert facts["lyapunov"]["largest"] == pytest.approx(found["lyapunov_exponents"][0])

    assert printed == {"run": facts}
    assert str(out) in lines[-2]
    assert any("the loss by" in line and line.split()[-3:] == ["1", "2", "5"] for line in lines)
    for part in ("hidden", "inputs"):
        (row,) = (line.split() for line in lines if line.split()[:2] == ["run", part])
        horizons = [facts["horizons"][part][name] or ">5" for name in ("1/e", "1%")]
        shown = [f"{facts['relative_norms'][part][str(lag)]:.2g}" for lag in LAGS]
        assert row[2:] == [*map(str, horizons), *shown]
    assert any(line.split()[-3:] == [f"{value:.1f}" for value in perplexities] for line in lines)
    assert any("largest Lyapunov exponent" in line and "8 of 8 singular values trusted" in line for line in lines)


def test_checkpoints_from_before_training_to_the_last(corpus, tmp_path, rnnlm, jacobians, quick_start, no_figures):
    """The newest checkpoints are kept, by --keep-last; a resumed run may change the number."""
    path, out, data = tmp_path / "run", tmp_path / "out", ["--data", corpus]
    assert rnnlm("train", *TINY, *data, "--run", path, "--checkpoint-every", "3", "--keep-last", "2").code == 0
    last = open_run(path, "last").position.step
    steps = checkpoint_steps(path)
    assert steps == [3 * ((last - 1) // 3), last]
    assert len(checkpoint_steps(path, "best")) == 1

    _, printed = jacobians(path, *data, "--out", out, "--sequences", "0", "--checkpoint", "all")
    names = [f"run-step-{step}" for step in (0, *steps)]
    assert list(printed) == names
    assert {p.name for p in out.iterdir()} == {*names, "horizons.png"}
    assert is_png(out / "horizons.png")
    each = [open_run(path, "init"), *(open_run(path, "last", step) for step in steps)]
    text, learnt = encode_text(str(corpus), each[0].vocabulary), []
    for name, run in zip(names, each, strict=True):
        found, (norms, nats) = arrays_of(out / name), by_hand(run, text)
        assert found.keys() == ARRAYS - SPECTRA
        np.testing.assert_allclose(found["log_norm_hidden"], norms[0], rtol=0, atol=1e-4)
        np.testing.assert_allclose([*found["context_nats"], found["full_nats"]], nats, rtol=1e-5)
        assert printed[name]["step"] == run.position.step
        assert "lyapunov" not in printed[name]
        learnt.append(nats[-1])
    assert learnt[0] > learnt[1] > learnt[2]

    assert rnnlm("train", "--run", path, "--resume", "--keep-last", "1").code == 0
    assert checkpoint_steps(path)[-1] == last


def test_one_part_of_two_runs_before_training(
    trained, corpus, tmp_path, jacobians, quick_start, no_figures, monkeypatch
):
    drawn, out = [], tmp_path / "out"
    monkeypatch.setattr(command.plotting, "horizons", lambda *arguments, **options: drawn.append((arguments, options)))
    shutil.copytree(trained, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "checkpoints")  # what training starts from needs none
    options = ["--sequences", "0", "--parts", "inputs", "--checkpoint", "init"]
    lines, printed = jacobians(trained, tmp_path / "copy", "--data", corpus, "--out", out, *options)
    assert [(name, facts["step"]) for name, facts in printed.items()] == [("run", 0), ("copy", 0)]
    run = open_run(trained, "init")
    norms, _ = by_hand(run, encode_text(str(corpus), run.vocabulary))
    for name in printed:
        found = arrays_of(out / name)
        assert found.keys() == ARRAYS - SPECTRA - {"log_norm_hidden"}
        np.testing.assert_allclose(found["log_norm_inputs"], norms[1], rtol=0, atol=1e-4)
    shown = [line.split()[:2] for line in lines if " inputs " in line or " hidden " in line]
    assert shown == [["run", "inputs"], ["copy", "inputs"]]
    assert drawn == [(([out / "run", out / "copy"], out / "horizons.png"), {"sequential": False})]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lags", "0"], "a lag counts tokens back and is 1 or more, not 0"),
        (["--lags", "-3"], "a lag counts tokens back and is 1 or more, not -3"),
        (["--lags", "x"], "'x' is not whole numbers with commas between"),
        (["--lags", "1,,2"], "'1,,2' is not whole numbers"),
        (["--lags", "1.5"], "'1.5' is not whole numbers"),
        (["--lags", "1,9999"], "lag 9999 goes beyond the text of"),
        (["--parts", "cell"], "run (elman-tanh) has no 'cell' to take gradients of: it has hidden, inputs"),
        (["--parts", "hidden,gate"], "has no 'gate'"),
        (["--positions", "0"], "--positions must be 1 or more"),
        (["--positions", "few"], "'few' is not a whole number of 0 or more"),
        (["--sequences", "-1"], "'-1' is not a whole number of 0 or more"),
        (["--checkpoint", "first"], "invalid choice"),
        (["--data", "nowhere.txt"], "cannot find"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_impossible_options_are_refused(trained, corpus, tmp_path, refuse, options, said):
    refuse("jacobians", trained, "--data", corpus, "--out", tmp_path / "out", *options, saying=said)
    assert not (tmp_path / "out").exists()


def test_an_impossible_number_of_checkpoints_is_refused(corpus, tmp_path, refuse):
    words = ["train", *TINY, "--data", corpus, "--run", tmp_path / "new", "--keep-last", "0"]
    refuse(*words, saying="--keep-last must be a positive number, not 0")
    assert not (tmp_path / "new").exists()


def test_required_arguments(trained, corpus, tmp_path, refuse):
    out = tmp_path / "out"
    refuse("jacobians", trained, "--out", out, saying="the following arguments are required: --data")
    refuse("jacobians", trained, "--data", corpus, saying="the following arguments are required: --out")
    refuse("jacobians", "--data", corpus, "--out", out, saying="the following arguments are required: RUN")
    nowhere = tmp_path / "nowhere"
    refuse("jacobians", trained, nowhere, "--data", corpus, "--out", out, saying="holds no run (no config.json)")
    twin = tmp_path / "run"
    refuse("jacobians", trained, twin, "--data", corpus, "--out", out, saying="two runs have the same name (run, run)")
    assert not any(path.exists() for path in (out, nowhere, twin))


def test_figures_without_arrays_are_left_out(trained, corpus, tmp_path, rnnlm, monkeypatch):
    """A state too large for whole spectra has no eigenvalues to draw."""
    found, drawn = HorizonReport({"lag": np.arange(2), "log_singular_values": np.zeros((1, 1, 8))}, {}), []

    def stand_in(draw):
        return functools.wraps(draw)(lambda folder, path: drawn.append((folder, path.name)))

    monkeypatch.setattr(command, "FIGURES", {array: stand_in(draw) for array, draw in command.FIGURES.items()})
    monkeypatch.setattr(command, "measure_horizons", lambda *arguments, **named: found)
    monkeypatch.setattr(command, "print_table", lambda *arguments: None)
    assert rnnlm("jacobians", trained, "--data", corpus, "--out", tmp_path, "--lags", "1").code == 0
    assert drawn == [(tmp_path / "run", "decay_curves.png"), (tmp_path / "run", "spectra.png")]


def test_a_file_as_out_is_refused_before_any_work(trained, corpus, refuse, monkeypatch):
    def measure_horizons(*arguments, **named):
        raise AssertionError("an hour's work for nothing")

    monkeypatch.setattr(command, "measure_horizons", measure_horizons)
    before = corpus.read_bytes()
    refuse("jacobians", trained, "--data", corpus, "--out", corpus, "--lags", "1", saying="text.txt")
    assert corpus.read_bytes() == before


def test_parameters_that_are_not_finite(run, corpus, tmp_path, refuse):
    """Those of the second of two runs raise an error before anything is measured."""
    state, position = last_checkpoint(run)
    broken = state.params._replace(cell=state.params.cell._replace(w_h=state.params.cell.w_h.at[2, 3].set(np.nan)))
    where, (_, identity) = RunFolder(run).checkpoints("best"), read_config_and_identity(RunFolder(run))
    shutil.copytree(run, tmp_path / "sound")
    position = dataclasses.replace(position, step=10**6)
    CheckpointFolder(where).save({"params": broken}, position, identity)
    out = tmp_path / "out"
    refuse(
        *("jacobians", tmp_path / "sound", run, "--data", corpus, "--out", out, "--lags", "1"),
        saying="the parameters of run are not finite (cell.w_h): use an earlier checkpoint, or train again",
    )
    assert not out.exists()

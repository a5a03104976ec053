"""``rnnlm-jax bench`` on tiny sizes, alone and beside every peer, and its errors."""

import json

import jax
import pytest

from rnnlm_jax import cells
from rnnlm_jax.benchmarking import layers, lm_cases, peers, regularized_steps, run, scaling
from rnnlm_jax.benchmarking.layers import Shape
from rnnlm_jax.benchmarking.regularized_steps import RegularizedCase
from rnnlm_jax.config import ModelConfig

TINY = lm_cases.LMCase("tiny", 2, 4, 7, 3, 2)
TIED = lm_cases.LMCase("tied", 1, 4, 7, 3, 2, tied=True)
_DROPOUT = {"tie_embeddings": True, "dropout_input": 0.5, "dropout_hidden": 0.3, "dropout_output": 0.4}
REGULARIZED = (
    RegularizedCase("two-layers", ModelConfig(hidden_size=4, layers=2, **_DROPOUT), 7, 3, 2),
    RegularizedCase(
        "projected",
        ModelConfig(hidden_size=5, embedding_size=3, **_DROPOUT),
        vocabulary=7,
        steps=3,
        batch=2,
        more={"state dropout": {"dropout_state": 0.5}},
    ),
)


@pytest.fixture
def bench(rnnlm, tmp_path, monkeypatch):
    """Run the command in float32 on tiny models, one timed call each; return its lines and its record."""
    monkeypatch.setattr(lm_cases, "STEPS", (TINY, TIED))
    monkeypatch.setattr(regularized_steps, "CASES", REGULARIZED)
    monkeypatch.setattr(lm_cases, "INFERENCE", lm_cases.LMCase("tiny", 2, 4, 7, 9, 1))
    monkeypatch.setattr(scaling, "SIZES", scaling.Sizes((2, 4), (1,), (1,), Shape(3, 2, 4)))
    monkeypatch.setattr(layers, "EXECUTORS", ("scan", "cudnn"))

    def measure(*words):
        out = tmp_path / "new" / "out.json"
        with jax.enable_x64(False):
            outcome = rnnlm("bench", "--shapes", "3x2x4", "--repeats", "1", "--out", out, *words)
        assert outcome.code == 0, outcome
        return outcome.out.splitlines(), json.loads(out.read_text())

    return measure


def names_of(record):
    """Return the names of the candidates of each comparison."""
    found = {}
    for row in record["rows"]:
        found.setdefault((row["group"], f"{row['cell']} {row['job']}"), []).append(row["name"])
    return found


def test_without_peers(bench, tmp_path):
    words = ["--peers", "none", "--cells", "elman-tanh", "--models", "tiny,projected"]
    lines, record = bench("--what", "layers,steps,regularized-steps,scoring,sampling,growth", *words)
    assert names_of(record) == {
        ("layers", "elman-tanh forward"): ["ours", "ours, scan", "floor"],
        ("layers", "elman-tanh forward+backward"): ["ours", "ours, scan", "floor"],
        ("steps", "lstm training step, tiny"): ["ours", "floor"],
        ("regularized-steps", "lstm training step, projected"): ["ours", "ours, state dropout"],
        ("scoring", "lstm scoring, tiny"): ["ours", "floor"],
        ("sampling", "lstm sampling, tiny"): ["ours", "floor"],
    }
    assert sum(line.startswith("ours, cudnn is left out for elman-tanh: ") for line in lines) == 1
    row = record["rows"][0]
    assert row["sizes"] == {"T": 3, "B": 2, "H": 4}
    assert row["tokens_per_second"] == pytest.approx(6 / row["median"])
    assert row["gflop_per_second"] == pytest.approx(2 * 6 * (16 + 16) / row["median"] / 1e9)
    assert row["compile_seconds"] > 0 and row["memory_bytes"] > 0 and row["ratio"] == 1
    assert [sweep["what"] for sweep in record["growth"]] == ["T", "B", "layers"]
    assert record["growth"][0]["exponents"].keys() >= {"seconds", "compile_seconds"}
    assert all(size > 0 for size in record["growth"][0]["temporary_bytes_sqrt"])
    assert "dtype float32" in lines[0] and "cores" in lines[0]
    assert any(line.split()[:1] == ["exponent"] for line in lines)
    assert (tmp_path / "new" / "out.png").read_bytes().startswith(b"\x89PNG")


def test_the_group_zoo_has_every_cell():
    options = run.Options(what=("zoo",), shapes=(Shape(3, 2, 4),))
    titles = {comparison.title for comparison in run.comparisons(options, options.peers)}
    assert titles == {f"{name} {job}" for name in cells.names() for job in ("forward", "forward+backward")}


@pytest.mark.peers
def test_beside_every_peer(bench, monkeypatch):
    """All numbers agree, or there would be an error: gradients, steps, nats, probabilities."""
    missing = [name for name, peer in peers.PEERS.items() if not peer.installed]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install 'rnnlm_jax[bench]'")
    monkeypatch.setattr(layers, "EXECUTORS", ())
    monkeypatch.setattr(layers, "JOBS", (layers.BACKWARD,))
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):  # keras promotes
        lines, record = bench(
            *("--what", "layers,steps,regularized-steps,scoring,sampling", "--models", "tied,two-layers,projected")
        )
    found = names_of(record)
    everyone = ["ours", "floor", *peers.PEERS]
    assert found["layers", "lstm forward+backward"] == everyone
    assert found["layers", "gru forward+backward"] == [name for name in everyone if name != "haiku"]
    without = ("haiku", "equinox")
    assert found["layers", "elman-tanh forward+backward"] == [name for name in everyone if name not in without]
    assert found["steps", "lstm training step, tied"] == ["ours", "floor", "torch", "flax-linen"]
    assert found["regularized-steps", "lstm training step, two-layers"] == ["ours", "torch"]
    assert found["regularized-steps", "lstm training step, projected"] == ["ours", "ours, state dropout", "torch"]
    for job in ("scoring", "sampling"):
        assert found[job, f"lstm {job}, tiny"] == ["ours", "floor", "torch", "flax-linen", "equinox"]
    assert "no gru that computes what ours does: haiku" in lines
    assert any(mean["name"] == "keras" for mean in record["means"])


def test_a_peer_that_is_not_installed_is_left_out(monkeypatch):
    absent = peers.Peer("no_such_library", "none", "none")
    monkeypatch.setattr(peers, "load", lambda name: absent)
    lines = []
    assert run.installed(["torch"], lines.append) == ()
    assert lines == ["torch is left out: it is not installed (pip install 'rnnlm_jax[bench]')"]


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (["--what", "layer"], "unknown group 'layer': choose among layers, zoo, steps"),
        (["--peers", "torch,tensorflow"], "unknown peer 'tensorflow': choose among torch"),
        (["--cells", "transformer"], "unknown cell 'transformer'"),
        (["--models", "huge"], "unknown model 'huge': choose among small"),
        (["--shapes", "35x20"], "'35x20' is not steps x sequences x units"),
        (["--shapes", "35x0x20"], "'35x0x20' is not"),
        (["--repeats", "0"], "repeats must be 1 or more, not 0"),
        (["--repeats", "many"], "invalid int value: 'many'"),
        (["--dtype", "float16"], "invalid choice: 'float16'"),
    ],
)
def test_impossible_options_are_refused(refuse, options, saying):
    refuse("bench", *options, saying=saying)

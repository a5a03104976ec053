"""The study of deep networks: Jacobians, gradients and probes against NumPy, what learns, and the command line."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.deep_networks import __main__ as study
from experiments.deep_networks import at_initialisation, sigmoid_bound
from experiments.deep_networks.at_initialisation import log_gradients, log_norm, log_rms, measure_network
from experiments.deep_networks.learning import finite_or_none, linear_probe, one_run, probes
from experiments.deep_networks.networks import HIGHWAY, PLAIN, RESIDUAL, VARIANTS, Network, moments
from experiments.deep_networks.recipe import QUICK, Recipe
from experiments.deep_networks.spirals import ARMS, NOISE, Points, lift, sample
from experiments.deep_networks.summary import log_changes, percent, power_of_ten
from tests.jacobians import exact

SLOPES = {
    "sigmoid": lambda x: 1 / (2 + 2 * np.cosh(x)),
    "tanh": lambda x: 1 / np.cosh(x) ** 2,
    "relu": lambda x: (x > 0).astype(float),
}
VALUES = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}
#: A pair of each activation and connection, and the scaled branch.
PAIRS = [("sigmoid", "plain"), ("tanh", "residual-scaled"), ("relu", "residual"), ("sigmoid", "highway-1")]


def numpy_layer(network, layers, k, h):
    """Return the activations after layer k of one vector, in NumPy."""
    branch = VALUES[network.activation](h @ layers.w[k] + layers.b[k])
    if network.variant.connection == PLAIN:
        return branch
    if network.variant.connection == RESIDUAL:
        return h + network.scale * branch
    gate = 1 / (1 + np.exp(-(h @ layers.gate_w[k] + layers.gate_b[k])))
    return gate * branch + (1 - gate) * h


def numpy_jacobian(network, layers, k, h):
    """Return the Jacobian of layer k, from the closed form."""
    z = h @ layers.w[k] + layers.b[k]
    inner = SLOPES[network.activation](z)[:, None] * layers.w[k].T
    if network.variant.connection == PLAIN:
        return inner
    if network.variant.connection == RESIDUAL:
        return np.eye(len(h)) + network.scale * inner
    gate = 1 / (1 + np.exp(-(h @ layers.gate_w[k] + layers.gate_b[k])))
    of_gate = (gate * (1 - gate) * (VALUES[network.activation](z) - h))[:, None] * layers.gate_w[k].T
    return gate[:, None] * inner + of_gate + np.diag(1 - gate)


def drawn(activation, variant, *, depth=8, width=16, seed=0):
    """Return a network, and its parameters in float64 with biases that are not zero, as NumPy arrays."""
    network = Network(activation, VARIANTS[variant], depth, width, ARMS)
    params = jax.tree.map(np.array, network.init(jax.random.key(seed), "float64"))
    params.layers.b[:] += 0.1 * np.random.default_rng(seed).normal(size=params.layers.b.shape)
    return network, params


@pytest.mark.parametrize(("activation", "variant"), PAIRS)
def test_layer_jacobians_are_the_closed_form(activation, variant):
    network, params = drawn(activation, variant)
    h = np.random.default_rng(1).normal(size=16)
    layers = jax.tree.map(jnp.asarray, params.layers)
    found = network.architecture.layer_jacobians(layers, jnp.asarray(h), jnp.float64(network.scale))
    assert found.shape == (8, 16, 16)
    for k in range(8):
        np.testing.assert_allclose(found[k], numpy_jacobian(network, params.layers, k, h), rtol=1e-12, atol=1e-14)
        h = numpy_layer(network, params.layers, k, h)


@pytest.mark.parametrize("variant", ["plain", "residual"])
def test_spectra_are_those_of_the_exact_product(variant):
    """Against products of integers of any length and mpmath; by float64's own product the smallest values are lost."""
    network = Network("sigmoid", VARIANTS[variant], QUICK.depths[-1], QUICK.width, ARMS)
    measured, of_inputs = measure_network(network, QUICK, seed=3)
    k_params, k_points = jax.random.split(jax.random.key(3))
    layers = jax.tree.map(np.asarray, network.init(k_params, "float64").layers)
    points = np.asarray(sample(k_points, QUICK.initial_points, QUICK.width).x, np.float64)
    assert of_inputs == moments(points)
    h, factors = points[0], []
    for k in range(network.depth):
        factors.append(numpy_jacobian(network, layers, k, h))
        h = numpy_layer(network, layers, k, h)
    for row, lag in enumerate(QUICK.depths):
        expected = exact.log_singular_values(np.array(factors[:lag]), 60)
        found = measured.spectra.log_singular_values[row]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)
        assert (np.abs(found - expected) <= measured.spectra.error[row] + 1e-12 * np.abs(expected) + 1e-9).all()
        np.testing.assert_allclose(log_rms(found), 0.5 * np.log(np.mean(np.exp(2 * expected))), atol=1e-9)


def loss_from(network, params, hs, *, first, labels):
    """Return the cross-entropy of each point, from activations ``hs`` before the layer ``first`` on, in NumPy."""
    nlls = []
    for h, label in zip(hs, labels, strict=True):
        for k in range(first, network.depth):
            h = numpy_layer(network, params.layers, k, h)
        logits = h @ params.w_out + params.b_out
        nlls.append(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label])
    return np.array(nlls)


@pytest.mark.parametrize(("activation", "variant"), PAIRS)
def test_gradient_norms_agree_with_finite_differences(activation, variant):
    network, params = drawn(activation, variant, depth=3, width=4)
    x, labels = np.random.default_rng(2).normal(size=(2, 4)), np.array([0, 2], np.int32)
    found = log_gradients(
        network.architecture,
        jax.tree.map(jnp.asarray, params),
        Points(jnp.asarray(x), jnp.asarray(labels)),
        jnp.float64(network.scale),
    )
    step, h = 1e-6, x
    for k in range(network.depth + 1):
        loss = functools.partial(loss_from, network, params, first=k, labels=labels)
        of_h = np.stack([(loss(h + step * e) - loss(h - step * e)) / (2 * step) for e in np.eye(4)], axis=1)
        assert found.activations[k] == pytest.approx(np.log(np.sqrt((of_h**2).sum() / 2)), abs=1e-6)
        if k == network.depth:
            break
        squares = 0.0
        matrices = [params.layers.w] + ([params.layers.gate_w] if variant.startswith("highway") else [])
        for matrix in matrices:
            for i, j in np.ndindex(4, 4):
                kept = matrix[k, i, j]
                ends = []
                for sign in (1, -1):
                    matrix[k, i, j] = kept + sign * step
                    ends.append(loss_from(network, params, h, first=k, labels=labels).mean())
                matrix[k, i, j] = kept
                squares += ((ends[0] - ends[1]) / (2 * step)) ** 2
        assert found.weights[k] == pytest.approx(0.5 * np.log(squares), abs=1e-5)
        h = np.stack([numpy_layer(network, params.layers, k, each) for each in h])


def test_norms_whose_squares_underflow_are_right():
    np.testing.assert_allclose(log_norm(jnp.array([3e-200, -4e-200])), np.log(5e-200), rtol=1e-14)
    assert log_norm(jnp.zeros(3)) == -jnp.inf


@pytest.mark.parametrize("name", [*VARIANTS, "he"])
def test_weights_have_their_textbook_variances(name):
    activation, variant = ("relu", "plain") if name == "he" else ("tanh", name)
    network = Network(activation, VARIANTS[variant], 3, 200, ARMS)
    params = network.init(jax.random.key(0))
    weights = np.asarray(params.layers.w, np.float64)
    assert 200 * weights.var() == pytest.approx(network.weight_variance, rel=0.02)
    expected = {"plain-uniform": 1 / 200**0.5, "he": 3 / 10}.get(name, (3 / 200) ** 0.5)
    assert np.abs(weights).max() == pytest.approx(expected, rel=0.02 if name != "he" else 1)
    assert not np.asarray(params.layers.b).any()
    assert (params.layers.gate_b is not None) == (network.variant.connection == HIGHWAY)
    if params.layers.gate_b is not None:
        assert (params.layers.gate_b == network.variant.gate_bias).all()


def test_points_lie_near_their_spirals():
    points = sample(jax.random.key(0), 20_000, 12)
    assert moments(points.x).square == pytest.approx(1, rel=0.02)
    plane = np.asarray(points.x, np.float64) @ np.linalg.pinv(np.asarray(lift(12), np.float64))
    radius = np.hypot(*plane.T)
    turn = (np.arctan2(plane[:, 1], plane[:, 0]) / (2 * np.pi) - radius) * ARMS - np.asarray(points.label)
    along_circle = np.abs((turn / ARMS + 0.5) % 1 - 0.5) * 2 * np.pi * radius
    away = along_circle / np.hypot(1, 2 * np.pi * radius)  # across a spiral of slope 1 / (2 π r)
    assert np.quantile(away, 0.68) == pytest.approx(NOISE, rel=0.05)
    assert np.bincount(points.label).min() > 6000
    np.testing.assert_array_equal(points.x, sample(jax.random.key(0), 20_000, 12).x)


def test_probes_read_what_a_linear_classifier_can():
    labels = jnp.arange(300, dtype=jnp.int32) % ARMS
    noise = jax.random.normal(jax.random.key(0), (300, 4), jnp.float32)
    readable = noise.at[:, :ARMS].add(20 * jax.nn.one_hot(labels, ARMS, dtype=jnp.float32))
    for scale in (1.0, 1e30, 1e-30):
        points = Points(readable * jnp.float32(scale), labels)
        assert linear_probe(points, points) == 1
    for x in (noise, jnp.ones_like(noise), jnp.zeros_like(noise)):
        assert linear_probe(Points(x, labels), Points(x, labels)) < 0.5


def test_the_bound_holds_for_matrices_of_norm_one_and_not_for_glorots():
    rows = sigmoid_bound.measure(QUICK, progress=lambda kinds: None)["weights"]
    for kind in (sigmoid_bound.ORTHOGONAL, sigmoid_bound.UNIT_NORM):
        assert rows[kind]["norm"] == pytest.approx(1, rel=1e-12)
        assert rows[kind]["largest"] <= 0.25**3
    glorot, residual = rows[sigmoid_bound.GLOROT], rows[sigmoid_bound.RESIDUAL]
    assert glorot["root_mean_square"] < 0.25**3 < glorot["largest"] <= (0.25 * glorot["norm"]) ** 3
    assert all(0.01 < row["slopes"] <= 0.25**3 for row in rows.values())
    assert residual["smallest"] >= (1 - 0.25 * residual["norm"]) ** 3
    assert residual["root_mean_square"] > 1


def test_a_deep_sigmoid_network_learns_with_shortcuts_only():
    recipe = Recipe(width=16, steps=300, batch_size=32, test_points=500)
    outcomes, read = {}, {}
    for name in ("plain", "residual"):
        network = Network("sigmoid", VARIANTS[name], 12, 16, ARMS)
        outcomes[name] = found = one_run(network, recipe, 0, 1.0)
        read[name] = probes(network, found.trained.params, found.sets)
        assert read[name][0] == probes(network, found.initial, found.sets)[0] < 0.7  # of the inputs
        assert found.trained.overflowed == 0
    assert outcomes["plain"].test < 0.45
    assert outcomes["residual"].test > 0.8
    assert outcomes["plain"].movement[0] < 1e-3 < 0.05 < outcomes["residual"].movement[0]
    assert read["plain"][-1] < 0.7 < 0.8 < read["residual"][-1]


def test_gradients_beyond_float32_change_nothing_and_are_counted():
    recipe = Recipe(width=16, steps=3, batch_size=4, test_points=50)
    outcome = one_run(Network("relu", VARIANTS["residual"], 200, 16, ARMS), recipe, 0, 0.1)
    assert outcome.trained.overflowed == 3
    assert not any(outcome.movement)
    assert [finite_or_none(jnp.float32(x)) for x in (np.nan, np.inf, 0.5)] == [None, None, 0.5]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder of a quick run of two kinds of sigmoid networks."""
    folder = tmp_path_factory.mktemp("deep")
    assert study.main([*arguments(folder), "--variants", "plain,residual"]) == 0
    return folder


def arguments(folder):
    return ["--runs", str(folder), "--quick", "--activations", "sigmoid"]


def test_the_quick_study_shows_what_the_study_is_to_show(quick):
    found = json.loads((quick / "results.json").read_text())
    assert [len(found[kind]) for kind in ("bound", "initial", "trained")] == [1, 2, 2]
    plain, residual = found["initial"]
    assert [plain["variant"], residual["variant"]] == ["plain", "residual"]
    depth = QUICK.depths[-1]
    for change in log_changes(plain):  # theory, and measured
        assert change < -depth * np.log(4)
    for change in log_changes(residual):
        assert change > 0
    assert plain["untrusted"] == 0
    assert plain["largest_error"] < 1e-6
    assert len(plain["log_singular_values"]) == len(QUICK.depths)
    trained = found["trained"][1]["depths"][str(depth)]
    assert len(trained["accuracy"]) == QUICK.seeds
    assert len(trained["movement"]) == depth
    assert len(trained["probe_after"]) == depth + 1
    for name in ("gradients", "singular-values", "learning", "probes"):
        assert (quick / f"{name}.png").stat().st_size > 5000


def test_finished_parts_are_not_run_again(quick, monkeypatch, capsys):
    for module in (at_initialisation, sigmoid_bound):
        monkeypatch.setattr(module, "measure", None)
    monkeypatch.setattr(study.learning, "train_and_test", lambda *arguments, **options: 1 / 0)
    monkeypatch.setattr(study, "parts_of", lambda *arguments: [])
    assert study.main([*arguments(quick), "--no-record"]) == 0
    shown = capsys.readouterr().out
    assert "Test accuracy by depth, per cent" in shown
    assert "sigmoid, residual" in shown


def test_bad_input_is_refused_in_one_line(quick, capsys):
    for more, message in (
        (["--activations", "selu"], "error: unknown activation 'selu': choose from sigmoid,tanh,relu"),
        (["--variants", "dense"], "error: unknown variant 'dense'"),
        (["--steps", "7"], "has results of steps 60, not 7: give another `runs`"),
    ):
        assert study.main([*arguments(quick), *more]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert message in lines[0]


def test_numbers_in_tables():
    assert [power_of_ten(x) for x in (0.0, np.log(2e-87), -np.log(10) * 400, np.log(9.97e5))] == [
        "1.0",
        "2.0e−87",
        "1.0e−400",
        "1.0e6",
    ]
    assert [percent(x) for x in (0.5, 0.0123, 2e-9, 0.0)] == ["50", "1.23", "2.0e−7", "0"]

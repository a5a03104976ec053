"""Phase diagrams: theory and random networks on a grid, and the networks themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.jacobians.mean_field import critical_gain, gru
from rnnlm_jax.jacobians.mean_field.phase_diagram import phase_diagram
from rnnlm_jax.jacobians.mean_field.random_cells import PARAMETERS, random_network, stability
from rnnlm_jax.plotting import draw_phase_diagram


def test_the_phases_of_a_tanh_network_with_input():
    """With 80 units: both phases and the edge; the edge is where ``critical_gain`` says."""
    found = phase_diagram("elman-tanh", [0.8, 3.0], [0.0, 1.0], units=80, steps=150)
    assert found.axis == "input_variance"
    assert found.settings == {"bias_variance": 0.0}
    assert [(point.gain, point.value) for point in found.points] == [(0.8, 0.0), (3.0, 0.0), (0.8, 1.0), (3.0, 1.0)]
    assert [point.agrees for point in found.points] == [True] * 4
    assert [point.exponent > 0 for point in found.points] == [False, True, False, True]
    for value, gain in found.critical:
        assert gain == pytest.approx(critical_gain("tanh", input_variance=value), abs=1e-3)
    assert [value for value, _ in found.critical] == sorted(value for value, _ in found.critical)
    figure = draw_phase_diagram(found.summary())
    (axes, _bar) = figure.axes
    (line,) = axes.lines
    np.testing.assert_allclose(line.get_xydata()[:, 1], [value for value, _ in found.critical])
    assert axes.get_xlabel().startswith("gain")


def test_relu_has_no_stationary_state_beyond_its_edge():
    found = phase_diagram("elman-relu", [1.0, 1.6], [0.5], units=40, steps=40)
    assert found.points[1].stability is None
    assert found.points[1].agrees is None
    assert found.critical[0][1] == pytest.approx(2**0.5, abs=1e-3)


def test_the_edge_of_a_gru_does_not_move_with_the_update_gate():
    found = phase_diagram("gru", [1.0, 4.0], [-1.0, 2.0], settings={"bias_variance": 0.2}, units=40, steps=40)
    gains = [gain for _, gain in found.critical]
    np.testing.assert_allclose(gains, gains[0], atol=1e-3)
    assert gru(gains[0], bias_variance=0.2).feedback == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("cell", PARAMETERS)
def test_networks_have_the_weights_and_biases_of_the_theory(cell):
    axis = next(iter(PARAMETERS[cell]))
    network = random_network(cell, 1.5, {axis: 2.0, "bias_variance": 0.3}, units=200, steps=50)
    w_h, b = np.asarray(network.params.w_h), np.asarray(network.params.b).reshape(-1, 200)
    assert np.std(w_h) * np.sqrt(200) == pytest.approx(1.5, rel=0.02)
    means = {"gru": [0, 2, 0], "lstm": [0, 2, 0, 0]}.get(cell, [0])
    np.testing.assert_allclose(b.mean(axis=1), means, atol=0.15)
    np.testing.assert_allclose(b.std(axis=1), np.sqrt(0.3), rtol=0.15)
    shapes = jax.eval_shape(lambda key: network.cell.init(key, network.xs.shape[1]), jax.random.key(0))
    assert jax.tree.map(jnp.shape, network.params) == jax.tree.map(jnp.shape, shapes)
    if axis == "input_variance":
        z = np.asarray(network.cell.input_projection(network.params._replace(b=None), network.xs))
        assert np.var(z) == pytest.approx(2.0, rel=0.05)


ERRORS = {
    "cell": (lambda: stability("indrnn", 1.0), "`cell` must be one of elman-tanh"),
    "parameter": (lambda: stability("lstm", 1.0, input_variance=0.1), "lstm has no parameter 'input_variance'"),
    "variance": (lambda: stability("gru", 1.0, bias_variance=-1.0), "`bias_variance` must be at least 0"),
    "nothing": (lambda: phase_diagram("gru", [], [1.0]), "give `gains` and `values`"),
    "axis": (lambda: phase_diagram("gru", [1.0], [1.0], axis="forget_bias"), "`axis` must be one of update_bias"),
    "units": (lambda: random_network("gru", 1.0, {}, units=0, steps=3), "`units`"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_wrong_arguments_raise_an_error_of_one_line(case):
    call, pattern = ERRORS[case]
    with pytest.raises(UserError, match=pattern) as caught:
        call()
    assert "\n" not in str(caught.value)

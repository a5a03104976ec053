"""Results of the command are read back; missing files are an error of one line."""

import numpy as np
import pytest

from rnnlm_jax.errors import DataError
from rnnlm_jax.plotting import decay_curves, eigenvalues, horizons, read_measurement, spectra
from tests.plotting.synthetic import measured, write


def test_arrays_and_facts_come_back(tmp_path):
    expected = measured(tmp_path / "lstm")
    found = read_measurement(write(expected))
    assert found.facts == expected.facts and found.name == "lstm"
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
    assert found.horizons("carousel") == {}
    assert found.context_horizons() == expected.facts["context_horizon"]


@pytest.mark.parametrize("missing", ["jacobians.npz", "jacobians.json"])
def test_a_missing_file_is_an_error(tmp_path, missing):
    folder = write(measured(tmp_path / "lstm"))
    (folder / missing).unlink()
    with pytest.raises(DataError, match=rf"no {folder / missing}: .*rnnlm-jax jacobians"):
        read_measurement(folder)


def test_without_measurements_no_figure_is_written(tmp_path):
    for draw in (decay_curves, spectra, eigenvalues):
        with pytest.raises(DataError, match=r"jacobians\.npz: measure the run first"):
            draw(tmp_path / "nowhere", tmp_path / "figure.png")
    with pytest.raises(DataError, match="measure the run first"):
        horizons([tmp_path], tmp_path / "figure.png")
    assert list(tmp_path.iterdir()) == []

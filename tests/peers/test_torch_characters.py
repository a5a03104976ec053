"""The convolutions of the character network equal torch's ``Conv1d``."""

import jax
import numpy as np
import pytest

from rnnlm_jax import inputs

try:
    import torch
except ImportError:
    torch = None

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(torch is None, reason="torch is not installed: pip install 'rnnlm_jax[peers]'"),
]

WORDS = ["convolution", "a", "<eos>", "of", "windows"]


def test_maxima_over_windows_are_those_of_conv1d():
    """One word at a time, because torch's padding would be read as characters."""
    types = {"dtype": "float64", "param_dtype": "float64"}
    layer = inputs.make("char-cnn", WORDS, filters="3+4+5", characters=4, highways=0, **types)
    shapes = jax.eval_shape(lambda: layer.init(jax.random.key(0), len(WORDS), 12))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda s: rng.normal(size=s.shape), shapes)._replace(w_p=np.eye(12), b_p=np.zeros(12))
    found = np.asarray(jax.jit(layer.table)(params))
    for row, word in zip(found, WORDS, strict=True):
        symbols = [0xFD, *word.encode(), 0xFE]
        xs = torch.tensor(params.characters[symbols].T)[None]  # [1, C, n]
        maxima = []
        for width, bank in enumerate(params.filters, 1):
            weight = torch.tensor(bank.reshape(width, 4, -1).transpose(2, 1, 0).copy())
            padded = torch.nn.functional.pad(xs, (0, width - 1))
            maxima.append(torch.nn.functional.conv1d(padded, weight).max(dim=-1).values[0])
        wanted = torch.tanh(torch.cat(maxima) + torch.tensor(params.b)).numpy()
        np.testing.assert_allclose(row, wanted, rtol=0, atol=1e-13)

"""The networks of the study: the paper's three initialisations, and networks of today."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax import cells
from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.cells import Cell
from rnnlm_jax.sequence_model import SequenceModel, SequenceParams

#: The spectral radius of the "smart" initialisation, and the weights of a unit that are not zero.
SPECTRAL_RADIUS, WEIGHTS_OF_A_UNIT = 0.95, 15


class Initialisation(NamedTuple):
    """How the weights of a simple recurrent network are drawn, as in the authors' code; biases are zero."""

    activation: str
    scale: float
    """The standard deviation of all weights, which are normal."""
    is_sparse: bool = False
    """Whether the recurrent weights are those of ``sparse_weights`` in place of dense ones."""


INITIALISATIONS = {
    "sigmoid": Initialisation("sigmoid", 0.01),
    "basic-tanh": Initialisation("tanh", 0.1),
    "smart-tanh": Initialisation("tanh", 0.01, is_sparse=True),
}

#: The initialisation that the paper finds best.
BEST = "smart-tanh"

#: Networks of today, with the initial values of the library: a simple network that starts with an orthogonal matrix,
#: and some with gates, of which one starts with open forget gates.
PRESENT_DAY: dict[str, Callable[[int], Cell]] = {
    "orthogonal-tanh": lambda size: cells.elman(size, recurrent_init="orthogonal"),
    "gru": cells.gru,
    "lstm": cells.lstm,
    "open-lstm": lambda size: cells.lstm(size, forget_bias=5.0),
}

#: Two of them that are trained on other tasks, too: the GRU on all five, the LSTM on addition and multiplication.
GATED, OPEN = "gru", "open-lstm"


def make_cell(network: str, hidden_size: int) -> Cell:
    """Return the recurrent part of a network."""
    if network in INITIALISATIONS:
        return cells.elman(hidden_size, INITIALISATIONS[network].activation)
    return PRESENT_DAY[network](hidden_size)


def initial_params(network: str, model: SequenceModel) -> Callable[[Key], SequenceParams] | None:
    """Return the function that draws the initial parameters of a network; None: the model's own."""
    if network not in INITIALISATIONS:
        return None
    return functools.partial(draw_params, INITIALISATIONS[network], model)


def draw_params(start: Initialisation, model: SequenceModel, key: Key) -> SequenceParams:
    """Draw the parameters of a simple recurrent network and of its outputs."""
    params, keys = model.init(key), iter(jax.random.split(key, 3))

    def normal(leaf: Array) -> Array:
        return jax.random.normal(next(keys), leaf.shape, leaf.dtype) * start.scale

    w_x, w = normal(params.cell.w_x), normal(params.w)
    w_h = sparse_weights(next(keys), params.cell.w_h) if start.is_sparse else normal(params.cell.w_h)
    cell = params.cell._replace(w_x=w_x, w_h=w_h, b=jnp.zeros_like(params.cell.b))
    return params._replace(cell=cell, w=w, b=jnp.zeros_like(params.b))


def sparse_weights(key: Key, like: Float[Array, "H H"]) -> Float[Array, "H H"]:
    """Draw normal weights, 15 from each unit to others (all, if there are fewer), and scale them to a radius of 0.95.

    The radius is that of the spectrum, the largest modulus of an eigenvalue.
    """
    k_weights, k_places = jax.random.split(key)
    weights = jax.random.normal(k_weights, like.shape, like.dtype)
    ranks = jnp.argsort(jax.random.uniform(k_places, like.shape, like.dtype), axis=-1)
    weights = jnp.where(ranks < WEIGHTS_OF_A_UNIT, weights, jnp.zeros((), like.dtype))
    radius = jnp.abs(jnp.linalg.eigvals(weights)).max()
    return weights * (SPECTRAL_RADIUS / radius).astype(like.dtype)

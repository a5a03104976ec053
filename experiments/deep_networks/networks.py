"""Feed-forward networks whose layers are all of one size: plain, residual and highway, from their textbook weights."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from experiments.deep_networks import mean_field
from experiments.deep_networks.mean_field import LayerMap, Moments
from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.jacobians.mean_field import NONLINEARITIES

PLAIN, RESIDUAL, HIGHWAY = "plain", "residual", "highway"

#: Name -> φ.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"sigmoid": sigmoid, "tanh": tanh, "relu": jax.nn.relu}


@dataclass(frozen=True)
class Variant:
    """How the layers of a network are connected, and where their weights start."""

    connection: str
    label: str
    uniform: bool = False
    """Whether weights are drawn from ±1/√N, as was long usual, in place of Glorot's (sigmoid, tanh) or He's (relu)."""
    scaled: bool = False
    """Whether the branch of a residual network is multiplied by 1/√L (Marion et al. 2025), L being the depth."""
    gate_bias: float = 0.0
    """The transform gate's bias at the beginning (Srivastava et al. 2015: negative, such as -1 or -3)."""


VARIANTS = {
    "plain": Variant(PLAIN, "plain"),
    "plain-uniform": Variant(PLAIN, "plain, weights ±1/√N", uniform=True),
    "residual": Variant(RESIDUAL, "residual"),
    "residual-scaled": Variant(RESIDUAL, "residual, branch/√L", scaled=True),
    "highway": Variant(HIGHWAY, "highway, gate bias −3", gate_bias=-3.0),
    "highway-1": Variant(HIGHWAY, "highway, gate bias −1", gate_bias=-1.0),
}


class Layers(NamedTuple):
    """Parameters of L layers, stacked; those of the gates are None where there are none."""

    w: Float[Array, "L N N"]
    b: Float[Array, "L N"]
    gate_w: Float[Array, "L N N"] | None = None
    gate_b: Float[Array, "L N"] | None = None


class Params(NamedTuple):
    """Parameters of a network: its layers, and the map from the last activations to logits."""

    layers: Layers
    w_out: Float[Array, "N K"]
    b_out: Float[Array, " K"]


class Architecture(NamedTuple):
    """What a network computes, whatever its size; static for ``jit``.

    Layers map ``h_{ℓ-1}`` to ``h_ℓ``, all of size N, for ℓ = 1 to L. With ``z = h W + b``, a plain layer is ``φ(z)``, a
    residual one ``h + α φ(z)`` (He et al. 2016, with one matrix in a branch), and a highway one ``T φ(z) + (1 - T) h``
    with ``T = σ(h W_T + b_T)`` (Srivastava et al. 2015). ``scale`` is α, which other networks do not read.
    """

    activation: str
    connection: str

    def layer(self, layer: Layers, h: Float[Array, "B N"], scale: Float[Array, ""]) -> Float[Array, "B N"]:
        """Return the activations after one layer, whose parameters have no leading axis."""
        branch = ACTIVATIONS[self.activation](h @ layer.w + layer.b[None])
        if layer.gate_w is not None and layer.gate_b is not None:
            transform = sigmoid(h @ layer.gate_w + layer.gate_b[None])
            return transform * branch + (1 - transform) * h
        return h + scale * branch if self.connection == RESIDUAL else branch

    def activations(
        self,
        layers: Layers,
        x: Float[Array, "B N"],
        scale: Float[Array, ""],
        added: Float[Array, "L B N"] | None = None,
    ) -> Float[Array, "L B N"]:
        """Return ``h_1`` to ``h_L``; ``added`` is added to each, for derivatives with respect to activations."""

        def step(h: Array, at: tuple[Layers, Array | None]) -> tuple[Array, Array]:
            layer, more = at
            h = self.layer(layer, h, scale)
            h = h if more is None else h + more
            return h, h

        return jax.lax.scan(step, x, (layers, added))[1]

    def logits(self, params: Params, x: Float[Array, "B N"], scale: Float[Array, ""]) -> Float[Array, "B K"]:
        """Return the logits of the classes, ``h_L W + b``."""

        def step(h: Array, layer: Layers) -> tuple[Array, None]:
            return self.layer(layer, h, scale), None

        return read_out(params, jax.lax.scan(step, x, params.layers)[0])

    def layer_jacobians(self, layers: Layers, x: Float[Array, " N"], scale: Float[Array, ""]) -> Float[Array, "L N N"]:
        """Return ``∂h_ℓ / ∂h_{ℓ-1}`` of every layer at the activations of one input, outputs in rows."""
        hs = self.activations(layers, x[None], scale)[:, 0]
        before = jnp.concatenate([x[None], hs[:-1]])

        def jacobian(layer: Layers, h: Array) -> Array:
            return jax.jacfwd(lambda h: self.layer(layer, h[None], scale)[0])(h)

        return jax.vmap(jacobian)(layers, before)


def read_out(params: Params, h: Float[Array, "B N"]) -> Float[Array, "B K"]:
    """Return the logits for the last activations."""
    return h @ params.w_out + params.b_out[None]


def nll(logits: Float[Array, "B K"], labels: Int[Array, " B"]) -> Float[Array, " B"]:
    """Return the negative log-likelihood of each label in nats."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]


@dataclass(frozen=True)
class Network:
    """A kind of network of some size, as it is before training."""

    activation: str
    variant: Variant
    depth: int
    width: int
    classes: int

    @property
    def architecture(self) -> Architecture:
        """What it computes."""
        return Architecture(self.activation, self.variant.connection)

    @property
    def weight_variance(self) -> float:
        """σ_w², N times the variance of a weight."""
        if self.variant.uniform:
            return 1 / 3
        return 2.0 if self.activation == "relu" else 1.0

    @property
    def scale(self) -> float:
        """α, the factor of a residual branch."""
        return self.depth**-0.5 if self.variant.scaled else 1.0

    def init(self, key: Key, dtype: DTypeLike = "float32") -> Params:
        """Draw weights: uniform ones as Glorot & Bengio (2010) or ±1/√N, for relu normal ones (He et al. 2015).

        Biases are zero but for those of the transform gates.
        """
        keys = jax.random.split(key, 3)
        shape = (self.depth, self.width, self.width)
        distribution = "normal" if self.activation == "relu" and not self.variant.uniform else "uniform"
        draw = functools.partial(jax.nn.initializers.variance_scaling, mode="fan_avg", batch_axis=0)
        w = draw(self.weight_variance, distribution=distribution)(keys[0], shape, dtype)
        layers = Layers(w, jnp.zeros(shape[:2], dtype))
        if self.variant.connection == HIGHWAY:
            gate_w = draw(1.0, distribution="uniform")(keys[1], shape, dtype)
            layers = layers._replace(gate_w=gate_w, gate_b=jnp.full(shape[:2], self.variant.gate_bias, dtype))
        w_out = jax.nn.initializers.glorot_uniform()(keys[2], (self.width, self.classes), dtype)
        return Params(layers, w_out, jnp.zeros((self.classes,), dtype))

    def layer_map(self) -> LayerMap:
        """Return the effect of a layer by mean-field theory."""
        activation = NONLINEARITIES[self.activation]
        constants: dict[str, float] = {"weight_variance": self.weight_variance}
        if self.variant.connection == HIGHWAY:
            constants |= {"gate_variance": 1.0, "gate_bias": self.variant.gate_bias}
            return functools.partial(mean_field.highway_layer, activation, **constants)
        if self.variant.connection == RESIDUAL:
            return functools.partial(mean_field.residual_layer, activation, scale=self.scale, **constants)
        return functools.partial(mean_field.plain_layer, activation, **constants)


def moments(x: Float[Array, "B N"] | np.ndarray) -> Moments:
    """Return the moments of activations, over units and inputs."""
    values = np.asarray(x, np.float64)
    return Moments(float(values.mean()), float((values**2).mean()))

"""The mixture of softmaxes: several softmaxes over one matrix of words, weighted by the hidden state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.arrays.activations import tanh
from rnnlm_jax.arrays.array_arguments import as_floats, as_whole_numbers
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.matrix_flops import matrix_flops
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.outputs.mixture_loss import MixtureOperands, mixture_log_probs, mixture_nats, weighted_mixture_nats
from rnnlm_jax.outputs.output_layer import HiddenStates, Latents, OutputLayer
from rnnlm_jax.registry.cached_factory import cached_factory


@serialized
class MixtureParams(NamedTuple):
    """Maps to components and their weights, and the matrix of words, which is None where weights are tied."""

    latent_w: Float[Array, "H K*D"]
    latent_b: Float[Array, " K*D"]
    prior_w: Float[Array, "H K"]
    w: Float[Array, "D V"] | Float[Array, "V D"] | None
    b: Float[Array, " V"]


@cached_factory
def mixture_of_softmaxes(
    components: int = 15,
    latent_size: int | None = None,
    tied: bool = False,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> OutputLayer:
    """The mixture of softmaxes of Yang et al. (2018, section 2.3), whose log-probabilities have no rank limit of D.

    ``P(v | h) = Σ_k π_k softmax(g_k W + b)_v`` with ``π = softmax(h W_π)`` and ``g_k = tanh(h W_k + b_k)``, k = 1 … K.

    Components have the width D of the matrix of words: of the embedding, if weights are tied, whatever the width H of
    hidden states is. Loss and gradients are exact, in memory that does not grow with tokens · K · V; they take K times
    the operations of a softmax over D units, and a third more in training. ``Dropout.latent`` applies to all ``g_k``.

    Args:
        components: K.
        latent_size: D; None: the width of the embedding if tied, else H.
        tied: whether the embedding takes the place of ``w``.
        dtype: dtype of the products; logits and what follows are in ``param_dtype``.
        param_dtype: dtype of the parameters.

    Raises:
        ArgumentError: if K or D is not positive, or if tied and D is not the width of the embedding.
    """
    for name, size in (("components", components), ("latent_size", 1 if latent_size is None else latent_size)):
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ArgumentError(f"`{name}` must be a positive whole number, not {size!r}")

    def init_of_width(key: Key, hidden_size: int, width: int, vocab_size: int) -> MixtureParams:
        k_latent, k_prior, k_word = jax.random.split(key, 3)
        glorot = jax.nn.initializers.glorot_uniform()
        # Each component has the scale of a map from H to D units, not to K D.
        of_components = jax.nn.initializers.glorot_uniform(in_axis=0, out_axis=2, batch_axis=1)
        return MixtureParams(
            latent_w=of_components(k_latent, (hidden_size, components, width), param_dtype).reshape(hidden_size, -1),
            latent_b=jnp.zeros((components * width,), param_dtype),
            prior_w=glorot(k_prior, (hidden_size, components), param_dtype),
            w=None if tied else glorot(k_word, (width, vocab_size), param_dtype),
            b=jnp.zeros((vocab_size,), param_dtype),
        )

    def init(key: Key, hidden_size: int, vocab_size: int) -> MixtureParams:
        return init_of_width(key, hidden_size, latent_size or hidden_size, vocab_size)

    def init_tied(key: Key, hidden_size: int, embedding_size: int, vocab_size: int) -> MixtureParams:
        if latent_size not in (None, embedding_size):
            raise ArgumentError(
                f"`latent_size` is {latent_size}, but the embedding that it is tied to has width {embedding_size}: "
                "leave it out"
            )
        return init_of_width(key, hidden_size, embedding_size, vocab_size)

    def latents(params: MixtureParams, hs: Float[Array, "*B H"]) -> Latents:
        hs = as_floats("hs", hs, param_dtype)
        rows = hs.reshape(-1, hs.shape[-1]).astype(dtype)
        products = (rows @ params.latent_w.astype(dtype)).astype(param_dtype)
        values = tanh(products + over_batch(params.latent_b, products))
        log_weights = jax.nn.log_softmax((rows @ params.prior_w.astype(dtype)).astype(param_dtype), axis=-1)
        shape = (*hs.shape[:-1], components)
        return Latents(values.reshape(*shape, params.latent_w.shape[1] // components), log_weights.reshape(shape))

    def operands(params: MixtureParams, hs: HiddenStates) -> MixtureOperands:
        assert params.w is not None, "the language model fills tied weights in"
        values, log_weights = hs if isinstance(hs, Latents) else latents(params, hs)
        return MixtureOperands(
            values.reshape(-1, *values.shape[-2:]).astype(dtype),
            log_weights.reshape(-1, components),
            params.w.astype(dtype),
            params.b,
        )

    def nats(params: MixtureParams, hs: HiddenStates, targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
        own, targets = operands(params, hs), as_whole_numbers("targets", targets)
        ones = jnp.ones((targets.size,), param_dtype)
        return mixture_nats(own, targets.reshape(-1), ones, by_word=tied).reshape(targets.shape)

    def total_nats(
        params: MixtureParams, hs: HiddenStates, targets: Int[Array, "*B"], weights: Float[Array, "*B"]
    ) -> Float[Array, ""]:
        own, targets = operands(params, hs), as_whole_numbers("targets", targets)
        of_rows = as_floats("weights", weights, param_dtype).astype(param_dtype).reshape(-1)
        return weighted_mixture_nats(own, targets.reshape(-1), of_rows, by_word=tied)

    def log_probs(params: MixtureParams, h: HiddenStates) -> Float[Array, "*B V"]:
        h = h if isinstance(h, Latents) else latents(params, h)
        found = mixture_log_probs(operands(params, h), by_word=tied)
        return found.reshape(*h.values.shape[:-2], -1)

    def flops(params: MixtureParams, word_probabilities: Float[np.ndarray, " V"]) -> float:
        del word_probabilities  # every word costs the same
        return float(matrix_flops((params.latent_w, params.prior_w)) + components * matrix_flops(params.w))

    return OutputLayer(
        kind="mixture-of-softmaxes",
        init=init,
        nats=nats,
        total_nats=total_nats,
        log_probs=log_probs,
        nats_gradient=True,
        init_tied=init_tied if tied else None,
        latents=latents,
        flops=flops,
        word_axes={"b": 0} if tied else {"w": 1, "b": 0},
        rows_by_id=True,
    )

"""The full softmax over the vocabulary."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.arrays.array_arguments import as_floats, as_whole_numbers
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.matrix_flops import matrix_flops
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.outputs.affine_cross_entropy import affine_nats
from rnnlm_jax.outputs.output_layer import HiddenStates, Latents, OutputLayer
from rnnlm_jax.outputs.training_loss import weighted_nats
from rnnlm_jax.registry.cached_factory import cached_factory


@serialized
class SoftmaxParams(NamedTuple):
    """The output matrix and its bias.

    Where weights are tied the matrix is not a parameter, but None; the layer is called with the embedding ``[V, D]`` in
    its place.
    """

    w: Float[Array, "H V"] | Float[Array, "V H"] | None
    b: Float[Array, " V"]


@serialized
class ProjectedSoftmaxParams(NamedTuple):
    """Parameters of a tied softmax whose embedding is not as wide as the hidden states.

    The projection has no bias: ``E c`` of a bias c is a vector over words, which ``b`` already contains.
    """

    projection: Float[Array, "H D"]
    w: Float[Array, "V D"] | None
    b: Float[Array, " V"]


@cached_factory
def softmax(tied: bool = False, dtype: Any = jnp.float32, param_dtype: Any = jnp.float32) -> OutputLayer:
    """The full softmax, ``log P(v | h) = a_v - log Σ_u exp(a_u)`` with ``a = h W + b`` (Bengio et al. 2003, section 2).

    Tied, ``W`` is the transposed embedding ``Eᵀ [D, V]``. Where D is not the width H of hidden states, they are first
    projected, ``a = (h P) Eᵀ + b`` with ``P [H, D]``, as in Melis et al. (2018): H can then be large while the
    embedding stays narrow. P starts with orthonormal columns (or rows, if D > H), as in their program. Loss and
    gradient are those of a softmax over D units, so a narrow embedding also makes them cheaper: 2 (H D + D V)
    operations in place of 2 H V.

    Args:
        tied: whether the embedding takes the place of ``w`` (Press & Wolf 2017).
        dtype: dtype of the products; logits and what follows are in ``param_dtype``.
        param_dtype: dtype of the parameters.
    """

    def init(key: Key, hidden_size: int, vocab_size: int) -> SoftmaxParams:
        w = None if tied else jax.nn.initializers.glorot_uniform()(key, (hidden_size, vocab_size), param_dtype)
        return SoftmaxParams(w, jnp.zeros((vocab_size,), param_dtype))

    def init_tied(
        key: Key, hidden_size: int, embedding_size: int, vocab_size: int
    ) -> SoftmaxParams | ProjectedSoftmaxParams:
        plain = init(key, embedding_size, vocab_size)
        if hidden_size == embedding_size:
            return plain
        return ProjectedSoftmaxParams(
            jax.nn.initializers.orthogonal()(key, (hidden_size, embedding_size), param_dtype), *plain
        )

    def latents(params: SoftmaxParams | ProjectedSoftmaxParams, hs: Float[Array, "*B H"]) -> Latents:
        if not isinstance(params, ProjectedSoftmaxParams):
            raise ArgumentError("this softmax has no projection after which dropout could be applied")
        hs = as_floats("hs", hs, param_dtype)
        rows = hs.reshape(-1, hs.shape[-1]).astype(dtype)
        product = (rows @ params.projection.astype(dtype)).astype(param_dtype)
        return Latents(product.reshape(*hs.shape[:-1], -1))

    def operands(
        params: SoftmaxParams | ProjectedSoftmaxParams, hs: HiddenStates
    ) -> tuple[tuple[int, ...], tuple[Array, Array, Array]]:
        """Return the batch axes of hidden states, and ``(rows, w, b)``."""
        assert params.w is not None, "the language model fills tied weights in"
        if isinstance(params, ProjectedSoftmaxParams) and not isinstance(hs, Latents):
            hs = latents(params, hs)
        h = hs.values if isinstance(hs, Latents) else hs
        # Products of two axes are faster than of three, forward and backward.
        return h.shape[:-1], (h.reshape(-1, h.shape[-1]).astype(dtype), params.w.astype(dtype), params.b)

    def checked(hs: HiddenStates) -> HiddenStates:
        return hs if isinstance(hs, Latents) else as_floats("hs", hs, param_dtype)

    def nats(
        params: SoftmaxParams | ProjectedSoftmaxParams, hs: HiddenStates, targets: Int[Array, "*B"]
    ) -> Float[Array, "*B"]:
        hs, targets = checked(hs), as_whole_numbers("targets", targets)
        ones = jnp.ones((targets.size,), param_dtype)
        return affine_nats(*operands(params, hs)[1], targets.reshape(-1), ones, by_word=tied).reshape(targets.shape)

    def total_nats(
        params: SoftmaxParams | ProjectedSoftmaxParams,
        hs: HiddenStates,
        targets: Int[Array, "*B"],
        weights: Float[Array, "*B"],
    ) -> Float[Array, ""]:
        hs, targets = checked(hs), as_whole_numbers("targets", targets)
        rows = as_floats("weights", weights, param_dtype).astype(param_dtype).reshape(-1)
        return weighted_nats(*operands(params, hs)[1], targets.reshape(-1), rows, by_word=tied)

    def log_probs(params: SoftmaxParams | ProjectedSoftmaxParams, h: HiddenStates) -> Float[Array, "*B V"]:
        batch, (rows, w, b) = operands(params, h if isinstance(h, Latents) else as_floats("h", h, param_dtype))
        products = (rows @ (w.T if tied else w)).astype(param_dtype)
        return jax.nn.log_softmax(products + over_batch(b, products), axis=-1).reshape(*batch, -1)

    def logit_excess(
        params: SoftmaxParams | ProjectedSoftmaxParams, hs: HiddenStates, targets: Int[Array, "*B"]
    ) -> Float[Array, "*B"]:
        rows, w, b = operands(params, hs)[1]
        of_targets = jnp.take(w, targets.reshape(-1), axis=0 if tied else 1, mode="clip")
        of_targets = of_targets if tied else of_targets.T
        mean = w.astype(param_dtype).mean(axis=0 if tied else 1)
        difference = of_targets.astype(param_dtype) - over_batch(mean, of_targets)
        biases = jnp.take(b, targets.reshape(-1), mode="clip") - b.mean()
        return ((rows.astype(param_dtype) * difference).sum(axis=1) + biases).reshape(targets.shape)

    def flops(params: SoftmaxParams | ProjectedSoftmaxParams, word_probabilities: Float[np.ndarray, " V"]) -> float:
        del word_probabilities  # every word costs the same
        return float(matrix_flops(params))

    return OutputLayer(
        kind="softmax",
        init=init,
        nats=nats,
        total_nats=total_nats,
        log_probs=log_probs,
        nats_gradient=True,
        init_tied=init_tied if tied else None,
        latents=latents if tied else None,
        logit_excess=logit_excess,
        flops=flops,
        word_axes={"b": 0} if tied else {"w": 1, "b": 0},
        rows_by_id=True,
    )

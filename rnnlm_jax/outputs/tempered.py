"""An output layer with a temperature: its distribution raised to a power, and normalised again."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.arrays.array_arguments import as_whole_numbers
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.outputs.output_layer import HiddenStates, OutputLayer
from rnnlm_jax.outputs.row_chunks import equal_chunk_rows, scan_row_chunks
from rnnlm_jax.registry.cached_factory import cached_factory

#: The log-probabilities that are formed at a time are about this many.
LOGITS_AT_ONCE = 2**21


@cached_factory
def tempered(layer: OutputLayer, temperature: float) -> OutputLayer:
    """The distribution ``P_τ(v | h) ∝ P(v | h)^(1/τ)`` of another layer's P, with the same parameters.

    Of a softmax with logits a it is ``softmax(a / τ)``, the temperature of Guo et al. (2017, section 4.2). Of any other
    layer it is the same power of its distribution: a mixture of softmaxes is raised to it, not its components. Above 1
    it is flatter, below 1 sharper. It is for evaluation and generation: every loss is exact and reads the
    log-probabilities of all words, also where ``layer`` reads few of them.

    Args:
        layer: the output layer.
        temperature: τ; 1 gives the layer's own distribution.

    Raises:
        ArgumentError: if τ is not a positive, finite number.
    """
    check_temperature(temperature)

    def log_probs(params: Tree, h: HiddenStates) -> Float[Array, "*B V"]:
        return jax.nn.log_softmax(layer.log_probs(params, h) / temperature, axis=-1)

    def nats(params: Tree, hs: HiddenStates, targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
        targets = as_whole_numbers("targets", targets)
        leaves, structure = jax.tree.flatten(hs)
        rows = tuple(jnp.asarray(leaf).reshape(targets.size, *jnp.shape(leaf)[targets.ndim :]) for leaf in leaves)

        def of_chunk(carry: tuple[()], chunk: tuple[Array, ...]) -> tuple[tuple[()], Array]:
            *part, ids = chunk
            return carry, -at_targets(log_probs(params, jax.tree.unflatten(structure, part)), ids)

        words = jax.eval_shape(log_probs, params, hs).shape[-1]
        longest = max(LOGITS_AT_ONCE // words, 1)
        chunk_rows = equal_chunk_rows(targets.size, longest)
        return scan_row_chunks(of_chunk, (), (*rows, targets.reshape(-1)), chunk_rows)[1].reshape(targets.shape)

    def total_nats(
        params: Tree, hs: HiddenStates, targets: Int[Array, "*B"], weights: Float[Array, "*B"]
    ) -> Float[Array, ""]:
        found = nats(params, hs, targets)
        weights = jnp.asarray(weights, found.dtype)
        return (weights * jnp.where(weights == 0, 0, found)).sum()

    return dataclasses.replace(
        layer, nats=nats, total_nats=total_nats, log_probs=log_probs, by_row=None, sampled=False, nats_gradient=True
    )


def check_temperature(temperature: float) -> None:
    """Check that a temperature is a positive, finite number.

    Raises:
        ArgumentError: if it is not.
    """
    number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    if not number or not 0 < temperature < math.inf:
        raise ArgumentError(f"`temperature` must be a positive number, not {temperature!r:.60}")


def at_targets(log_probs: Float[Array, "N V"], targets: Int[Array, " N"]) -> Float[Array, " N"]:
    """Return each row's entry of its target; a negative target counts from the end, one outside gives NaN."""
    targets = jnp.where(targets < 0, targets + log_probs.shape[1], targets)
    return log_probs.at[jnp.arange(targets.size), targets].get(
        mode="fill", fill_value=jnp.nan, wrap_negative_indices=False
    )

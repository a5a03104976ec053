"""What Flax modules of a language model compute: batch first or time first, the state theirs to carry."""

from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.arrays.array_arguments import as_array
from rnnlm_jax.data.batching import Batch
from rnnlm_jax.errors import UserError
from rnnlm_jax.language_model.loss_gradient import training_loss
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams, Scored


def draws(model: LanguageModel) -> bool:
    """Whether training draws anything: dropout, or the words of a sampled output layer."""
    return model.draws


def model_log_probs(
    model: LanguageModel,
    params: LanguageModelParams,
    tokens: Int[Array, "B T"],
    state: Tree | None,
    time_major: bool,
    key: Key | None,
) -> tuple[Tree, Float[Array, "B T V"]]:
    """The state after the tokens and ``log P(· | tokens up to t)`` in nats after each, axes as those of the tokens.

    Raises:
        UserError: if tokens are not whole numbers ``[B, T]`` (``[T, B]``), or the state is not one of the model's.
    """
    xs = _time_first("tokens", tokens, time_major)
    state = _state(model, state, xs.shape[1:])
    after, hs = model.hidden(params, state, xs, key)
    log_probs = model.output.log_probs(model.output_params(params), hs)
    return after, log_probs if time_major else log_probs.swapaxes(0, 1)


def model_loss(
    model: LanguageModel,
    params: LanguageModelParams,
    inputs: Int[Array, "B T"],
    targets: Int[Array, "B T"],
    mask: Array | None,
    state: Tree | None,
    time_major: bool,
    key: Key | None,
) -> tuple[Float[Array, ""], Scored]:
    """The summed loss over the targets that the mask counts, and what goes with it; see ``training_loss``.

    Raises:
        UserError: as ``model_log_probs``, or if shapes differ.
    """
    xs, ys = _time_first("inputs", inputs, time_major), _time_first("targets", targets, time_major)
    counted = jnp.ones(jnp.shape(inputs), bool) if mask is None else jnp.asarray(mask, bool)
    for name, array in (("targets", jnp.asarray(targets)), ("mask", counted)):
        if array.shape != jnp.shape(inputs):
            raise UserError(f"{name} has shape {array.shape}, but the inputs have {jnp.shape(inputs)}: one for each")
    arrays: Any = (xs, ys, counted if time_major else counted.T)
    batch = Batch(*arrays)
    return training_loss(model, params, _state(model, state, xs.shape[1:]), batch, key)


def model_step(
    model: LanguageModel, params: LanguageModelParams, state: Tree, token: Int[Array, "*B"]
) -> tuple[Tree, Float[Array, "*B V"]]:
    """One step, ``model.log_probs``: the state after a token, and the log-probabilities (nats) of every next one.

    Raises:
        UserError: if the token is no whole number, or the state is not one of the model's.
    """
    token = _whole("token", token)
    return model.log_probs(params, _state(model, state, token.shape), token)


def _whole(name: str, tokens: Any) -> Array:
    tokens = as_array(name, tokens)
    if not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise UserError(f"{name} are ids, whole numbers from 0 to V - 1, not of {tokens.dtype}")
    return tokens


def _time_first(name: str, tokens: Any, time_major: bool) -> Array:
    """Tokens ``[T, B]``."""
    tokens = _whole(name, tokens)
    if tokens.ndim != 2:
        axes = "(time, batch)" if time_major else "(batch, time)"
        raise UserError(f"{name} are {axes}, not of shape {tokens.shape}: give a single sequence a batch axis of 1")
    return tokens if time_major else tokens.T


def _state(model: LanguageModel, state: Tree | None, batch: tuple[int, ...]) -> Tree:
    """The state given, if it is one of the model's; its initial state if there is none."""
    if state is None:
        return model.initial_state(batch)
    wanted = jax.eval_shape(lambda: model.initial_state(batch))
    if jax.tree.structure(wanted) != jax.tree.structure(state):
        raise UserError(f"not a state of this model: start from model.initial_state({batch}), or leave it out")
    for want, leaf in zip(jax.tree.leaves(wanted), jax.tree.leaves(state), strict=True):
        have = as_array("a state", leaf)
        if (want.shape, want.dtype) != (have.shape, have.dtype):
            raise UserError(
                f"a state of {have.dtype} {have.shape} does not fit: these tokens ask for {want.dtype} {want.shape}"
            )
    return state

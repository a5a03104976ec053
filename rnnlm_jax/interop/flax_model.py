"""The calls that linen's and nnx's language-model modules share: batch first or time first, the carry explicit."""

from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.arrays.array_arguments import as_array
from rnnlm_jax.data.batching import Batch
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.language_model.loss_gradient import training_loss
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.language_model.run_results import Scored


def check_model(model: Any, user: str) -> None:
    """Check that something is a language model.

    Raises:
        ArgumentError: naming ``user``, the module's class, if it is not.
    """
    if not isinstance(model, LanguageModel):
        raise ArgumentError(f"{user} takes a model made by language_model, not {type(model).__name__}")


def draws(model: LanguageModel) -> bool:
    """Return whether training needs random numbers: for dropout, or for the words of a sampled output layer."""
    return model.draws


class ModelCalls:
    """A language model as a module; base of ``LinenLanguageModel`` and ``NnxLanguageModel``.

    Calling it returns log-probabilities of the next token, ``loss`` the loss that training minimises, ``step`` one
    step of generation. Tokens are ``[B, T]``, or with ``time_major`` ``[T, B]``.

    Attributes:
        model: the model, made by ``language_model``.
        time_major: whether tokens are ``[T, B]``; if not, ``[B, T]``.
        return_carry: whether the call also returns the state after the tokens, as ``(carry, log_probs)``.
    """

    model: LanguageModel
    time_major: bool
    return_carry: bool

    def model_params(self) -> LanguageModelParams:
        """Return the model's parameters."""
        raise NotImplementedError

    def step(self, carry: Tree, token: Int[Array, "*B"]) -> tuple[Tree, Float[Array, "*B V"]]:
        """Return the state after a token, and the log-probabilities (nats) of every next one.

        Raises:
            ArgumentError: if the token is not an integer, or the carry is not a state of the model.
        """
        token = _token_ids("token", token)
        return self.model.log_probs(self.model_params(), self._carry(carry, token.shape), token)

    def _log_probs(
        self, tokens: Int[Array, "_ _"], initial_carry: Tree | None, return_carry: bool | None, *, key: Key | None
    ) -> Any:
        """Return ``log P(· | tokens up to t)`` after each token, axes as those of the tokens; or ``(carry, …)``."""
        xs = self._time_first("tokens", tokens)
        params = self.model_params()
        after, hs = self.model.hidden(params, self._carry(initial_carry, xs.shape[1:]), xs, key)
        log_probs = self.model.output.log_probs(*self.model.output_operands(params, hs, key))
        log_probs = log_probs if self.time_major else log_probs.swapaxes(0, 1)
        return (after, log_probs) if (self.return_carry if return_carry is None else return_carry) else log_probs

    def _loss(
        self,
        inputs: Int[Array, "_ _"],
        targets: Int[Array, "_ _"],
        mask: Bool[Array, "_ _"] | None,
        *,
        initial_carry: Tree | None,
        key: Key | None,
    ) -> tuple[Float[Array, ""], Scored]:
        """Return the summed loss over the targets that the mask counts, and its ``Scored``; see ``training_loss``."""
        xs, ys = self._time_first("inputs", inputs), self._time_first("targets", targets)
        counted = jnp.ones(jnp.shape(inputs), bool) if mask is None else jnp.asarray(mask, bool)
        for name, array in (("targets", jnp.asarray(targets)), ("mask", counted)):
            if array.shape != jnp.shape(inputs):
                raise ArgumentError(f"`{name}` has shape {array.shape}, but the inputs have {jnp.shape(inputs)}")
        batch = Batch(xs, ys, counted if self.time_major else counted.T)
        return training_loss(self.model, self.model_params(), self._carry(initial_carry, xs.shape[1:]), batch, key)

    def _time_first(self, name: str, tokens: Any) -> Int[Array, "T B"]:
        """Return tokens ``[T, B]``."""
        tokens = _token_ids(name, tokens)
        if tokens.ndim != 2:
            axes = "(time, batch)" if self.time_major else "(batch, time)"
            raise ArgumentError(
                f"`{name}` are {axes}, not of shape {tokens.shape}: give a single sequence a batch axis of 1"
            )
        return tokens if self.time_major else tokens.T

    def _carry(self, state: Tree | None, batch: tuple[int, ...]) -> Tree:
        """Return a state after checking it; the model's initial state for None."""
        if state is None:
            return self.model.initial_state(batch)
        expected = jax.eval_shape(lambda: self.model.initial_state(batch))
        if jax.tree.structure(expected) != jax.tree.structure(state):
            raise ArgumentError(f"not a state of this model: start from model.initial_state({batch}), or leave it out")
        for like, leaf in zip(jax.tree.leaves(expected), jax.tree.leaves(state), strict=True):
            leaf = as_array("a state", leaf)
            if (like.shape, like.dtype) != (leaf.shape, leaf.dtype):
                raise ArgumentError(
                    f"a state of {leaf.dtype} {leaf.shape} does not fit: these tokens need {like.dtype} {like.shape}"
                )
        return state


def _token_ids(name: str, tokens: Any) -> Array:
    tokens = as_array(name, tokens)
    if not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise ArgumentError(f"`{name}` are token ids, integers from 0 to V - 1, not of {tokens.dtype}")
    return tokens

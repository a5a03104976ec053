"""A whole language model as a Flax linen module."""

from typing import Any

import flax.linen as nn

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.linen_weights import module_weights
from rnnlm_jax.interop.model_call import draws, model_log_probs, model_loss, model_step
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams, Scored


class LinenLanguageModel(nn.Module):
    """A whole language model as a module: log-probabilities of the next token, and the loss that training descends.

    Attributes:
        model: made by ``language_model``.
        time_major: whether tokens are ``[T, B]``; if not, ``[B, T]``.
        return_carry: whether the call returns the state after the tokens too, as ``(carry, log_probs)``.
    """

    model: LanguageModel
    time_major: bool = False
    return_carry: bool = False

    def __post_init__(self) -> None:
        """Check the model."""
        if not isinstance(self.model, LanguageModel):
            raise UserError(f"{type(self).__name__} takes what language_model makes, not {type(self.model).__name__}")
        super().__post_init__()

    @nn.compact
    def weights(self) -> LanguageModelParams:
        """The model's parameters."""
        return module_weights(self, "this language model", self.model.init)

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        *,
        initial_carry: Tree | None = None,
        return_carry: bool | None = None,
        train: bool = False,
    ) -> Any:
        """``log P(· | tokens up to t)`` in nats after each token, ``[B, T, V]``, normalised; or ``(carry, log_probs)``.

        That is V numbers a token; ``loss`` never keeps them all.

        Args:
            tokens: ids ``[B, T]``, or with ``time_major`` ``[T, B]``.
            initial_carry: the state before the first token, ``model.initial_state((B,))`` or what an earlier call
                returned.
            return_carry: see the attribute.
            train: whether dropout is applied, from the rng "dropout".

        Raises:
            UserError: for tokens, weights or a state that do not fit the model, or an rng that is not there.
        """
        state, log_probs = model_log_probs(
            self.model, self.weights(), tokens, initial_carry, self.time_major, self._key(train)
        )
        return (state, log_probs) if (self.return_carry if return_carry is None else return_carry) else log_probs

    def loss(
        self,
        inputs: Int[Array, "B T"],
        targets: Int[Array, "B T"],
        mask: Bool[Array, "B T"] | None = None,
        *,
        initial_carry: Tree | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, ""], Scored]:
        """Summed nats of the targets that the mask counts, and ``Scored``: over how many, and the state after them.

        Divide by ``scored.tokens`` for the mean. With ``train`` a sampled output layer gives what it descends instead.

        Args:
            inputs: the token before each target.
            targets: what is predicted.
            mask: which targets count; all unless given.
            initial_carry: as in the call.
            train: whether dropout is applied and samples are drawn, from the rng "dropout".

        Raises:
            UserError: as the call.
        """
        return model_loss(
            self.model, self.weights(), inputs, targets, mask, initial_carry, self.time_major, self._key(train)
        )

    def step(self, carry: Tree, token: Int[Array, "*B"]) -> tuple[Tree, Float[Array, "*B V"]]:
        """One step: the state after a token, and the log-probabilities (nats) of every next one."""
        return model_step(self.model, self.weights(), carry, token)

    @nn.nowrap
    def _key(self, train: bool) -> Key | None:
        """What training draws from; None if it draws nothing."""
        if not train or not draws(self.model):
            return None
        if not self.has_rng("dropout"):
            raise UserError('this model draws when it is trained: give apply rngs={"dropout": key}')
        return self.make_rng("dropout")

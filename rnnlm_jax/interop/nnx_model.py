"""A whole language model as a Flax nnx module."""

from typing import Any, Self

from flax import nnx

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.model_call import draws, model_log_probs, model_loss, model_step
from rnnlm_jax.interop.nnx_weights import Holder, set_params, to_params
from rnnlm_jax.language_model.model import LanguageModel, Scored


class NnxLanguageModel(Holder):
    """A whole language model as a module: log-probabilities of the next token, and the loss that training descends.

    The weights are those of ``model.init(rngs.params())``.

    Args:
        model: made by ``language_model``.
        rngs: its stream "params" is drawn from.
        time_major: whether tokens are ``[T, B]``; if not, ``[B, T]``.
        return_carry: whether the call returns the state after the tokens too, as ``(carry, log_probs)``.

    Raises:
        UserError: for no model or no ``Rngs``.
    """

    def __init__(self, model: LanguageModel, *, rngs: nnx.Rngs, time_major: bool = False, return_carry: bool = False):
        """Draw the weights."""
        if not isinstance(model, LanguageModel):
            raise UserError(f"{type(self).__name__} takes what language_model makes, not {type(model).__name__}")
        self.model = model
        self.time_major = time_major
        self.return_carry = return_carry
        self.draw(model.init, rngs)

    @classmethod
    def from_params(
        cls, model: LanguageModel, params: Tree, *, time_major: bool = False, return_carry: bool = False
    ) -> Self:
        """A module with the parameters that it is given.

        Raises:
            UserError: if they are no parameters of the model.
        """
        how = {"time_major": time_major, "return_carry": return_carry}
        module = nnx.eval_shape(lambda: cls(model, rngs=nnx.Rngs(0), **how))
        set_params(module, params)
        return module

    def __call__(
        self,
        tokens: Int[Array, "B T"],
        *,
        initial_carry: Tree | None = None,
        return_carry: bool | None = None,
        rngs: nnx.Rngs | nnx.RngStream | None = None,
    ) -> Any:
        """``log P(· | tokens up to t)`` in nats after each token, ``[B, T, V]``, normalised; or ``(carry, log_probs)``.

        That is V numbers a token; ``loss`` never keeps them all.

        Args:
            tokens: ids ``[B, T]``, or with ``time_major`` ``[T, B]``.
            initial_carry: the state before the first token, ``model.initial_state((B,))`` or what an earlier call
                returned.
            return_carry: see the class.
            rngs: for dropout, from the stream "dropout"; none: no dropout.

        Raises:
            UserError: for tokens or a state that do not fit the model.
        """
        state, log_probs = model_log_probs(
            self.model, to_params(self), tokens, initial_carry, self.time_major, self._key(rngs)
        )
        return (state, log_probs) if (self.return_carry if return_carry is None else return_carry) else log_probs

    def loss(
        self,
        inputs: Int[Array, "B T"],
        targets: Int[Array, "B T"],
        mask: Bool[Array, "B T"] | None = None,
        *,
        initial_carry: Tree | None = None,
        rngs: nnx.Rngs | nnx.RngStream | None = None,
    ) -> tuple[Float[Array, ""], Scored]:
        """Summed nats of the targets that the mask counts, and ``Scored``: over how many, and the state after them.

        Divide by ``scored.tokens`` for the mean. With ``rngs`` a sampled output layer gives what it descends instead.

        Args:
            inputs: the token before each target.
            targets: what is predicted.
            mask: which targets count; all unless given.
            initial_carry: as in the call.
            rngs: for dropout, and for what a sampled output layer draws, from the stream "dropout".

        Raises:
            UserError: as the call.
        """
        return model_loss(
            self.model, to_params(self), inputs, targets, mask, initial_carry, self.time_major, self._key(rngs)
        )

    def step(self, carry: Tree, token: Int[Array, "*B"]) -> tuple[Tree, Float[Array, "*B V"]]:
        """One step: the state after a token, and the log-probabilities (nats) of every next one."""
        return model_step(self.model, to_params(self), carry, token)

    def _key(self, rngs: nnx.Rngs | nnx.RngStream | None) -> Key | None:
        """What training draws from; None if it draws nothing."""
        if rngs is None or not draws(self.model):
            return None
        return rngs() if isinstance(rngs, nnx.RngStream) else rngs.dropout()

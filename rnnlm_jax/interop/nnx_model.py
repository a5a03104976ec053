"""A language model as a Flax nnx module."""

from typing import Any, Self

from flax import nnx

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.interop.flax_model import ModelCalls, check_model, draws
from rnnlm_jax.interop.nnx_weights import WeightsModule, set_params, to_params
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.language_model.run_results import Scored


class NnxLanguageModel(ModelCalls, WeightsModule):
    """A language model as an nnx module: see ``ModelCalls`` for its attributes and axes.

    The weights are those of ``model.init(rngs.params())``.

    Args:
        model: the model, made by ``language_model``.
        rngs: its stream "params" is drawn from.
        time_major: whether tokens are ``[T, B]``; if not, ``[B, T]``.
        return_carry: whether the call also returns the state after the tokens, as ``(carry, log_probs)``.

    Raises:
        ArgumentError: for something that is not a model or an ``Rngs``.
    """

    def __init__(self, model: LanguageModel, *, rngs: nnx.Rngs, time_major: bool = False, return_carry: bool = False):
        """Draw the weights."""
        check_model(model, type(self).__name__)
        self.model = model
        self.time_major = time_major
        self.return_carry = return_carry
        self.draw(model.init, rngs)

    @classmethod
    def from_params(
        cls, model: LanguageModel, params: Tree, *, time_major: bool = False, return_carry: bool = False
    ) -> Self:
        """Return a module with the given parameters.

        Raises:
            WeightsError: if they are not parameters of the model.
        """
        options = {"time_major": time_major, "return_carry": return_carry}
        module = nnx.eval_shape(lambda: cls(model, rngs=nnx.Rngs(0), **options))
        set_params(module, params)
        return module

    def model_params(self) -> LanguageModelParams:
        """Return the model's parameters."""
        return to_params(self)

    def __call__(
        self,
        tokens: Int[Array, "_ _"],
        *,
        initial_carry: Tree | None = None,
        return_carry: bool | None = None,
        rngs: nnx.Rngs | nnx.RngStream | None = None,
    ) -> Any:
        """Return ``log P(· | tokens up to t)`` in nats after each token, ``[B, T, V]``; or ``(carry, log_probs)``.

        Args:
            tokens: ids ``[B, T]``, or with ``time_major`` ``[T, B]``.
            initial_carry: the state before the first token, ``model.initial_state((B,))`` or one that an earlier call
                returned.
            return_carry: in place of the attribute.
            rngs: for dropout, from the stream "dropout"; None: without dropout.

        Raises:
            ArgumentError: for tokens or a state that do not fit the model.
        """
        return self._log_probs(tokens, initial_carry, return_carry, key=self._key(rngs))

    def loss(
        self,
        inputs: Int[Array, "_ _"],
        targets: Int[Array, "_ _"],
        mask: Bool[Array, "_ _"] | None = None,
        *,
        initial_carry: Tree | None = None,
        rngs: nnx.Rngs | nnx.RngStream | None = None,
    ) -> tuple[Float[Array, ""], Scored]:
        """Return the summed negative log-likelihood (nats) of the targets, and ``Scored``: their number and the state.

        Divide by ``scored.tokens`` for the mean. With ``rngs``, a sampled output layer returns its sampled loss.
        Not all logits are kept.

        Args:
            inputs: the token before each target.
            targets: the tokens to predict.
            mask: which targets count; all by default.
            initial_carry: as in the call.
            rngs: for dropout and the samples of a sampled output layer, from the stream "dropout".

        Raises:
            ArgumentError: as the call.
        """
        return self._loss(inputs, targets, mask, initial_carry=initial_carry, key=self._key(rngs))

    def _key(self, rngs: nnx.Rngs | nnx.RngStream | None) -> Key | None:
        """Return the key of a training call; None if nothing is drawn."""
        if rngs is None or not draws(self.model):
            return None
        return rngs() if isinstance(rngs, nnx.RngStream) else rngs.dropout()

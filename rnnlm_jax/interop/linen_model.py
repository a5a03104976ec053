"""A language model as a Flax linen module."""

from typing import Any

import flax.linen as nn

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.interop.flax_model import ModelCalls, check_model, draws
from rnnlm_jax.interop.linen_weights import module_weights
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.language_model.run_results import Scored


class LinenLanguageModel(ModelCalls, nn.Module):
    """A language model as a linen module: see ``ModelCalls`` for its attributes and axes.

    In training it draws from the rng "dropout".
    """

    model: LanguageModel
    time_major: bool = False
    return_carry: bool = False
    step = ModelCalls.step  # linen opens a scope only in methods of the class itself

    def __post_init__(self) -> None:
        """Check the model."""
        check_model(self.model, type(self).__name__)
        super().__post_init__()

    @nn.compact
    def model_params(self) -> LanguageModelParams:
        """Return the model's parameters."""
        return module_weights(self, "this language model", self.model.init)

    def __call__(
        self,
        tokens: Int[Array, "_ _"],
        *,
        initial_carry: Tree | None = None,
        return_carry: bool | None = None,
        train: bool = False,
    ) -> Any:
        """Return ``log P(· | tokens up to t)`` in nats after each token, ``[B, T, V]``; or ``(carry, log_probs)``.

        Args:
            tokens: ids ``[B, T]``, or with ``time_major`` ``[T, B]``.
            initial_carry: the state before the first token, ``model.initial_state((B,))`` or one that an earlier call
                returned.
            return_carry: in place of the attribute.
            train: whether to apply dropout.

        Raises:
            ArgumentError, WeightsError: for tokens, a state or weights that do not fit the model, or a missing rng.
        """
        return self._log_probs(tokens, initial_carry, return_carry, key=self._key(train))

    def loss(
        self,
        inputs: Int[Array, "_ _"],
        targets: Int[Array, "_ _"],
        mask: Bool[Array, "_ _"] | None = None,
        *,
        initial_carry: Tree | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, ""], Scored]:
        """Return the summed negative log-likelihood (nats) of the targets, and ``Scored``: their number and the state.

        Divide by ``scored.tokens`` for the mean. With ``train``, a sampled output layer returns its sampled loss.
        Not all logits are kept.

        Args:
            inputs: the token before each target.
            targets: the tokens to predict.
            mask: which targets count; all by default.
            initial_carry: as in the call.
            train: whether to apply dropout and to draw samples.

        Raises:
            ArgumentError, WeightsError: as the call.
        """
        return self._loss(inputs, targets, mask, initial_carry=initial_carry, key=self._key(train))

    @nn.nowrap
    def _key(self, train: bool) -> Key | None:
        """Return the key of a training call; None if nothing is drawn."""
        if not train or not draws(self.model):
            return None
        if not self.has_rng("dropout"):
            raise ArgumentError('this model needs random numbers in training: give `apply` rngs={"dropout": key}')
        return self.make_rng("dropout")

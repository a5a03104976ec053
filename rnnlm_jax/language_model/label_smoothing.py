"""Label smoothing: targets that are a mixture of the word and the uniform distribution."""

import math
from typing import Any

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.errors import ArgumentError, ConfigError
from rnnlm_jax.outputs.output_layer import HiddenStates, OutputLayer


def smoothing_nats(
    output: OutputLayer,
    params: Tree,
    hs: HiddenStates,
    targets: Int[Array, "*B"],
    weights: Float[Array, "*B"],
) -> Float[Array, ""]:
    """Return ``Σ weight · (H(u, p) - nats)`` with ``H(u, p) = -1/V Σ_v log p_v``; ε of it is added to the loss.

    Label smoothing (Szegedy et al. 2016, section 7) trains on the targets ``(1-ε) [v = target] + ε/V``, whose
    cross-entropy is

        (1-ε) nats + ε H(u, p) = nats + ε (a_target - 1/V Σ_v a_v),

    since the normaliser of the logits a is in both terms. The mean logit is one product with the mean of the output
    layer's rows, so that no logits are formed.

    Args:
        output: the output layer.
        params: its parameters.
        hs: hidden states ``[*B, H]``.
        targets: word ids ``[*B]``.
        weights: weights ``[*B]``; a target of weight 0 adds nothing.

    Returns:
        a scalar in nats, which may be negative.

    Raises:
        ArgumentError: if the output layer does not declare ``logit_excess``.
    """
    if output.logit_excess is None:
        raise ArgumentError(_undefined(output))
    return (output.logit_excess(params, hs, targets) * weights).sum()


def check_label_smoothing(output: OutputLayer, label_smoothing: Any) -> None:
    """Check that labels can be smoothed by ε for an output layer.

    Raises:
        ConfigError: if ε is not at least 0 and below 1, or the output layer cannot do it.
    """
    is_number = isinstance(label_smoothing, int | float) and not isinstance(label_smoothing, bool)
    if not is_number or not math.isfinite(label_smoothing) or not 0 <= label_smoothing < 1:
        raise ConfigError(f"`label_smoothing` must be at least 0 and below 1, not {label_smoothing!r}")
    if label_smoothing and output.logit_excess is None:
        raise ConfigError(_undefined(output))


def _undefined(output: OutputLayer) -> str:
    return (
        f"`label_smoothing` needs the logits of all words, which output {output.kind!r} does not form: use `output` "
        "softmax, or leave it out"
    )

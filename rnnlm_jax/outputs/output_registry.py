"""Every output layer by name, with the paper that it is from."""

from typing import Any

import jax.numpy as jnp

from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.outputs.adaptive_softmax import adaptive_softmax
from rnnlm_jax.outputs.class_softmax import class_softmax
from rnnlm_jax.outputs.hierarchical_softmax import hierarchical_softmax
from rnnlm_jax.outputs.maxent import maxent
from rnnlm_jax.outputs.mixture_of_softmaxes import mixture_of_softmaxes
from rnnlm_jax.outputs.output_layer import OutputLayer
from rnnlm_jax.outputs.sampled_softmax import blackout, importance_sampling, noise_contrastive
from rnnlm_jax.outputs.softmax import softmax
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.registry.registry import Entry, Registry
from rnnlm_jax.registry.user_source import shown

#: Every output layer by name, with its source; options of a factory are options of the command line.
OUTPUTS: Registry[OutputLayer] = Registry(
    "output",
    OutputLayer,
    {
        "softmax": Entry(softmax, "Bengio et al. 2003"),
        "mixture-of-softmaxes": Entry(mixture_of_softmaxes, "Yang et al. 2018"),
        "class": Entry(class_softmax, "Goodman 2001; Mikolov et al. 2011"),
        "maxent": Entry(maxent, "Mikolov, Deoras, Povey et al. 2011"),
        "hierarchical": Entry(hierarchical_softmax, "Morin & Bengio 2005; Mikolov et al. 2013"),
        "adaptive": Entry(adaptive_softmax, "Grave et al. 2017"),
        "importance": Entry(importance_sampling, "Jean et al. 2015; Jozefowicz et al. 2016"),
        "nce": Entry(noise_contrastive, "Gutmann & Hyvärinen 2012; Mnih & Teh 2012"),
        "blackout": Entry(blackout, "Ji et al. 2016"),
    },
    supplied=("words", "tied", "dtype", "param_dtype"),
    accepts_functions=True,
)


def make(
    name: str,
    words: WordCounts | None = None,
    tied: bool = False,
    *,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
    **options: Any,
) -> OutputLayer:
    """Return the output layer of a name.

    Args:
        name: one of ``names()``, or a user's function, ``FILE.py:function`` or ``module:function``.
        words: the vocabulary's words and their counts, for a layer that is made from them.
        tied: whether the embedding takes the place of the layer's matrix.
        dtype: dtype of the matrix products.
        param_dtype: dtype of parameters and logits.
        **options: options of the layer, see its factory.

    Raises:
        ArgumentError: for an unknown name or option, a value that the layer does not accept, or a layer that cannot
            be tied.
        DataError: if the layer is made from word counts and they are missing.
        UserError: if a user's function cannot be loaded, fails, or returns something else than an output layer.
    """
    entry = OUTPUTS.find(name)
    if words is None and entry.requires("words"):
        raise DataError(f"output {shown(name)!r} is made from word counts, which are missing: restore counts.json")
    if tied and not entry.takes("tied"):
        raise ArgumentError(f"output {shown(name)!r} cannot be tied to the embedding: leave `tie_embeddings` out")
    types = {"dtype": jnp.dtype(dtype), "param_dtype": jnp.dtype(param_dtype)}
    return OUTPUTS.make(name, options, words=words, tied=tied, **types)


def names() -> tuple[str, ...]:
    """Return the names of all output layers."""
    return OUTPUTS.names()

"""Every output layer by name, with the paper it is from: what tests, benchmarks and the command line enumerate."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs.adaptive_softmax import adaptive_softmax
from rnnlm_jax.outputs.class_softmax import class_softmax
from rnnlm_jax.outputs.hierarchical_softmax import hierarchical_softmax
from rnnlm_jax.outputs.maxent import maxent
from rnnlm_jax.outputs.output_layer import OutputLayer
from rnnlm_jax.outputs.sampled_softmax import blackout, importance_sampling, noise_contrastive
from rnnlm_jax.outputs.softmax import softmax
from rnnlm_jax.outputs.user_output import own_output
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.registry.user_source import is_reference, load, recorded, shown


@dataclass(frozen=True)
class Entry:
    """A named output layer: how to make it, and where it comes from.

    A factory with a parameter ``words`` is given the words of the vocabulary with their counts, one with a parameter
    ``tied`` can have the embedding for its matrix; what else it takes are its options.
    """

    factory: Callable[..., OutputLayer]
    paper: str

    def takes(self, name: str) -> bool:
        """Whether the factory has a parameter of that name."""
        return name in inspect.signature(self.factory).parameters

    def options(self) -> list[str]:
        """The names of the options that ``make`` takes for it."""
        return [name for name in inspect.signature(self.factory).parameters if name not in _GIVEN]


_GIVEN = ("words", "tied", "dtype", "param_dtype")

OUTPUTS: dict[str, Entry] = {
    "softmax": Entry(softmax, "Bengio et al. 2003"),
    "class": Entry(class_softmax, "Goodman 2001; Mikolov et al. 2011"),
    "maxent": Entry(maxent, "Mikolov, Deoras, Povey et al. 2011"),
    "hierarchical": Entry(hierarchical_softmax, "Morin & Bengio 2005; Mikolov et al. 2013"),
    "adaptive": Entry(adaptive_softmax, "Grave et al. 2017"),
    "importance": Entry(importance_sampling, "Jean et al. 2015; Jozefowicz et al. 2016"),
    "nce": Entry(noise_contrastive, "Gutmann & Hyvärinen 2012; Mnih & Teh 2012"),
    "blackout": Entry(blackout, "Ji et al. 2016"),
}


def make(
    name: str,
    words: Words | None = None,
    tied: bool = False,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
    **options: Any,
) -> OutputLayer:
    """The output layer of that name.

    Args:
        name: one of ``OUTPUTS``, or a function of the user's own, ``FILE.py:function`` or ``module:function``.
        words: the vocabulary's words and their counts, for a layer that is made of them.
        tied: whether the embedding takes the place of its matrix.
        dtype: of matrix products.
        param_dtype: of parameters and logits.
        options: its own.

    Raises:
        UserError: for an unknown name, an option that the layer does not have or that cannot be, counts that are
            missing, or a layer that cannot be tied.
    """
    if name not in OUTPUTS and not is_reference(name):
        raise UserError(f"unknown output {name!r}: choose one of {', '.join(OUTPUTS)}, or give FILE.py:function")
    entry = Entry(load(name), "the user's own") if is_reference(name) else OUTPUTS[name]
    known = entry.options()
    for option in options:
        if option not in known:
            raise UserError(f"output {shown(name)!r} has no option {option!r}: it has {', '.join(known) or 'none'}")
    if entry.takes("words"):
        needed = inspect.signature(entry.factory).parameters["words"].default is inspect.Parameter.empty
        if words is None and needed:
            raise UserError(f"output {shown(name)!r} is made from word counts, and there are none: restore counts.json")
        options["words"] = words
    if entry.takes("tied"):
        options["tied"] = tied
    elif tied:
        raise UserError(f"output {shown(name)!r} cannot be tied to the embedding: leave --tie-embeddings out")
    if is_reference(name):
        return own_output(recorded(name), tuple(sorted(options.items())), dtype=dtype, param_dtype=param_dtype)
    try:
        return entry.factory(dtype=jnp.dtype(dtype), param_dtype=jnp.dtype(param_dtype), **options)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"output {name!r} cannot be made with these --output-options ({str(error).splitlines()[0]}): correct them"
        ) from error

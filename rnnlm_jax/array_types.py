"""Array types, and the letters for axes in all shapes of this library.

=====  ==============================================================
axis   meaning
=====  ==============================================================
``T``  time, always first: arrays over time are ``[T, B, ·]``
``B``  batch (``*B``: any number of batch axes, none included)
``D``  input of a cell, also the embedding
``H``  hidden units of a cell
``P``  projected hidden units (an LSTM with a recurrent projection)
``G``  gates side by side on the last axis: ``G*H``
``V``  vocabulary
=====  ==============================================================
"""

from typing import Any

from jaxtyping import Array, Bool, Float, Int, Integer, PRNGKeyArray

#: Parameters or a recurrent state: a nested tuple of arrays.
Tree = Any

#: A random key, ``jax.random.key(0)``.
Key = PRNGKeyArray

__all__ = ["Array", "Bool", "Float", "Int", "Integer", "Key", "Tree"]

"""NamedTuples of parameters and states that ``jax.export`` can serialise."""

from typing import TypeVar

from jax import export

Kind = TypeVar("Kind")


def serialized(kind: type[Kind]) -> type[Kind]:
    """Register a NamedTuple, so that functions which take or return it can be exported and serialised.

    Its name in the file is ``rnnlm_jax.NAME``: a class that is renamed can no longer be read from older files.
    """
    export.register_namedtuple_serialization(kind, serialized_name=f"rnnlm_jax.{kind.__name__}")
    return kind

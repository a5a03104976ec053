"""A cell that a function of the user's own makes, checked against the contract and cached like those of the zoo."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from rnnlm_jax.cells.cell import Cell, cell_factory
from rnnlm_jax.errors import UserError
from rnnlm_jax.registry.user_source import call, shown


@cell_factory
def own_cell(
    reference: str,
    hidden_size: int,
    options: tuple[tuple[str, Any], ...] = (),
    library_kinds: tuple[str, ...] = (),
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell:
    """The cell that ``function(hidden_size, dtype=…, param_dtype=…, **options)`` returns.

    Args:
        reference: names the function, see ``own_source``.
        hidden_size: H.
        options: of the function, by name.
        library_kinds: kinds of the library's cells, which have kernels and closed forms that another cell may not have.
        dtype: of the products; ``param_dtype`` unless given.
        param_dtype: of parameters and state.

    Raises:
        UserError: if the function cannot be had or fails, or returns something else than such a cell.
    """
    name = shown(reference)
    found = call(reference, hidden_size, dtype=dtype, param_dtype=param_dtype, **dict(options))
    if not isinstance(found, Cell):
        raise UserError(f"{name} must return a rnnlm_jax.cells.Cell, not {type(found).__name__}")
    spec = found.spec
    wanted = {"hidden_size": hidden_size, "dtype": dtype, "param_dtype": param_dtype}
    for field, value in wanted.items():
        if getattr(spec, field) != value:
            raise UserError(
                f"{name} returned a cell whose spec has {field} {getattr(spec, field)}, not {value}: let it use its "
                f"argument {field}"
            )
    if spec.kind in library_kinds and not found.is_of_the_library:
        raise UserError(
            f"{name} returned a cell of kind {spec.kind!r}, one of the library's: give it a kind of its own"
        )
    return dataclasses.replace(found)  # a copy: what the function returned may be a shared object

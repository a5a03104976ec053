"""Products of each row with the block of a matrix that belongs to the row's class; other blocks are not computed.

Rows are sorted by class and cut into tiles of one class each. Classes of similar size share a loop, in which blocks
have one shape. The number of tiles depends on the batch: shapes are static, bounds of loops are not. On a CPU the
products are C++ kernels, which read each class in place.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import ad

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.kernels.operation import Operation
from rnnlm_jax.outputs.word_classes import WordClasses

#: Most rows per tile.
TILE = 16
#: The blocks of a loop are this many times as wide as those of the loop before.
GROWTH = 4
ZERO = np.int32(0)


class Tiles(NamedTuple):
    """Tiles of a batch's rows. There are ``bounds[-1]`` tiles; entries beyond are not read."""

    order: Int[Array, " N"]
    """Rows sorted by class, those without a class last."""
    first: Int[Array, " K"]
    """Position in ``order`` at which each tile begins."""
    rows: Int[Array, " K"]
    """Number of rows of each tile."""
    start: Int[Array, " K"]
    """Row of the matrix at which the tile's class begins."""
    size: Int[Array, " K"]
    """Number of words of the tile's class."""
    bounds: Int[Array, " L+1"]
    """Loop l runs over the tiles ``bounds[l]`` to ``bounds[l + 1] - 1``."""


@functools.cache
def loop_widths(width: int) -> tuple[int, ...]:
    """Return the widths of the loops' blocks, ascending, for classes of at most ``width`` words."""
    widths = [width]
    while widths[-1] > 8:
        widths.append(-(-widths[-1] // GROWTH))
    return tuple(reversed(widths))


def tiles_of(classes: WordClasses, of_rows: Int[Array, " N"]) -> Tiles:
    """Cut rows into tiles of one class each.

    Args:
        classes: the classes.
        of_rows: class of each row; C for a row without one. A class of one word has no product, and its rows are in no
            tile either.
    """
    count, none = of_rows.shape[0], classes.count
    loops = np.searchsorted(np.array(loop_widths(classes.width)), classes.sizes)
    by_loop = np.lexsort((np.arange(none), loops))  # classes in the order of their loops
    position = np.empty(none + 1, np.int32)
    position[by_loop] = np.arange(none)
    position[:none][classes.sizes == 1] = none
    position[none] = none
    positions = jnp.asarray(position)[of_rows]
    order = jnp.argsort(positions).astype(jnp.int32)
    sorted_positions = positions[order]
    number = jnp.arange(count, dtype=jnp.int32)
    run = lax.cummax(jnp.where(jnp.diff(sorted_positions, prepend=-1) != 0, number, 0))
    used = sorted_positions < none
    begins = used & ((number - run) % TILE == 0)
    most = min(count, none) + count // TILE
    tile = jnp.where(used, jnp.cumsum(begins, dtype=jnp.int32) - 1, most)

    def of_tiles(values: Array) -> Array:
        return jnp.zeros((most,), jnp.int32).at[jnp.where(begins, tile, most)].set(values, mode="drop")

    at = jnp.minimum(sorted_positions, none - 1)
    loop = jnp.asarray(loops[by_loop].astype(np.int32))[at]
    below = [(begins & (loop < k)).sum(dtype=jnp.int32) for k in range(len(loop_widths(classes.width)) + 1)]
    return Tiles(
        order=order,
        first=of_tiles(number),
        rows=jnp.zeros((most,), jnp.int32).at[tile].add(1, mode="drop"),
        start=of_tiles(jnp.asarray(classes.starts[by_loop])[at]),
        size=of_tiles(jnp.asarray(classes.sizes[by_loop])[at]),
        bounds=jnp.stack(below),
    )


def class_products(h: Float[Array, "N H"], w: Float[Array, "V H"], tiles: Tiles, width: int) -> Float[Array, "N W"]:
    """Return ``a_nk = Σ_i h_ni w_{start(n)+k, i}`` for ``k`` below the size of the row's class, and 0 elsewhere.

    It is linear in ``h`` and in ``w``; its derivatives are products of the same kind.

    Args:
        h: rows.
        w: matrix, each class a run of its rows.
        tiles: result of ``tiles_of``.
        width: W, the size of the largest class.
    """
    return _logits(h, w, *tiles, width=np.int64(width))[0]


def _loop_over(tiles: Tiles, width: int, body: Callable[[Any, Array, int], Any], carry: Any) -> Any:
    for k, block in enumerate(loop_widths(int(width))):
        step = functools.partial(lambda block, i, carry: body(carry, i, block), block)
        carry = lax.fori_loop(tiles.bounds[k], tiles.bounds[k + 1], step, carry)
    return carry


def _sorted(rows: Array, tiles: Tiles) -> Array:
    """Return the rows in the order of the tiles, padded by a tile of zeros."""
    return jnp.pad(rows[tiles.order], ((0, TILE), (0, 0)))


def _unsorted(rows: Array, tiles: Tiles) -> Array:
    return jnp.zeros_like(rows[:-TILE]).at[tiles.order].set(rows[:-TILE], unique_indices=True)


def _block(w: Array, tiles: Tiles, i: Array, width: int) -> tuple[Array, Array, Array]:
    """Return rows of the matrix that hold the tile's class, their first row, and the class's offset from it."""
    begin = jnp.minimum(tiles.start[i], w.shape[0] - width)
    return lax.dynamic_slice(w, (begin, ZERO), (width, w.shape[1])), begin, tiles.start[i] - begin


def _keep(values: Array, tiles: Tiles, i: Array) -> Array:
    """Return the values of the tile's rows and of the words of its class; zeros elsewhere."""
    row, column = (lax.broadcasted_iota(jnp.int32, values.shape, axis) for axis in (0, 1))
    return jnp.where((row < tiles.rows[i]) & (column < tiles.size[i]), values, 0)


def _logits_reference(h: Array, w: Array, *plan: Array, width: int) -> tuple[Array]:
    tiles = Tiles(*plan)
    hs = _sorted(h, tiles)

    def body(out: Array, i: Array, block_width: int) -> Array:
        block, _, shift = _block(w, tiles, i, block_width)
        rows = lax.dynamic_slice(hs, (tiles.first[i], ZERO), (TILE, h.shape[1]))
        product = jnp.roll(lax.dot_general(rows, block, (((1,), (1,)), ((), ()))), -shift, axis=1)
        return lax.dynamic_update_slice(out, _keep(product, tiles, i), (tiles.first[i], ZERO))

    return (_unsorted(_loop_over(tiles, width, body, jnp.zeros((hs.shape[0], int(width)), h.dtype)), tiles),)


def _rows_reference(slopes: Array, w: Array, *plan: Array, width: int) -> tuple[Array]:
    tiles = Tiles(*plan)
    sorted_slopes = _sorted(slopes, tiles)

    def body(out: Array, i: Array, block_width: int) -> Array:
        block, _, shift = _block(w, tiles, i, block_width)
        slopes = lax.dynamic_slice(sorted_slopes, (tiles.first[i], ZERO), (TILE, block_width))
        product = jnp.roll(_keep(slopes, tiles, i), shift, axis=1) @ block
        return lax.dynamic_update_slice(out, product, (tiles.first[i], ZERO))

    return (_unsorted(_loop_over(tiles, width, body, jnp.zeros((sorted_slopes.shape[0], w.shape[1]), w.dtype)), tiles),)


def _matrix_reference(slopes: Array, h: Array, *plan: Array, width: int, words: int) -> tuple[Array]:
    tiles = Tiles(*plan)
    sorted_slopes, hs = _sorted(slopes, tiles), _sorted(h, tiles)

    def body(out: Array, i: Array, block_width: int) -> Array:
        old, begin, shift = _block(out, tiles, i, block_width)
        slopes = lax.dynamic_slice(sorted_slopes, (tiles.first[i], ZERO), (TILE, block_width))
        slopes = jnp.roll(_keep(slopes, tiles, i), shift, axis=1)
        rows = lax.dynamic_slice(hs, (tiles.first[i], ZERO), (TILE, h.shape[1]))
        product = lax.dot_general(slopes, rows, (((0,), (0,)), ((), ())))
        return lax.dynamic_update_slice(out, old + product, (begin, ZERO))

    return (_loop_over(tiles, width, body, jnp.zeros((int(words), h.shape[1]), h.dtype)),)


class _Trilinear(Operation):
    """A product that is linear in each of its first two arguments; its derivatives are the other two products."""

    def __init__(self, name: str, reference: Callable[..., tuple[Array]]) -> None:
        super().__init__(name, reference)
        ad.primitive_transposes[self.primitive] = self._transpose

    def _jvp(self, primals: Any, tangents: Any, **static: Any) -> tuple[Any, Any]:
        (a, b, *plan), (da, db, *_) = primals, tangents
        parts = [self(da, b, *plan, **static)[0]] if type(da) is not ad.Zero else []
        parts += [self(a, db, *plan, **static)[0]] if type(db) is not ad.Zero else []
        return self(a, b, *plan, **static), [sum(parts[1:], parts[0])]

    def _transpose(self, cotangents: Any, a: Any, b: Any, *plan: Any, **static: Any) -> list[Any]:
        (g,) = cotangents
        rest = [None] * len(plan)
        if type(g) is ad.Zero:
            return [None, None, *rest]
        if ad.is_undefined_primal(a):
            return [_derivative(self, 0, a.aval, g, b, plan, **static), None, *rest]
        return [None, _derivative(self, 1, b.aval, g, a, plan, **static), *rest]


_logits = _Trilinear("class_logits", _logits_reference)
_rows = _Trilinear("class_rows", _rows_reference)
_matrix = _Trilinear("class_matrix", _matrix_reference)


def _derivative(of: _Trilinear, argument: int, like: Any, g: Array, other: Array, plan: Any, **static: Any) -> Array:
    """Return the cotangent of one of the first two arguments; axes are rows (n, i), words (v, i) and slopes (n, k)."""
    width = static["width"]
    if of is _logits:  # (n, k) of (n, i), (v, i)
        if argument == 0:
            return _rows(g, other, *plan, width=width)[0]
        return _matrix(g, other, *plan, width=width, words=np.int64(like.shape[0]))[0]
    if of is _rows:  # (n, i) of (n, k), (v, i)
        if argument == 0:
            return _logits(g, other, *plan, width=width)[0]
        return _matrix(other, g, *plan, width=width, words=np.int64(like.shape[0]))[0]
    if argument == 0:  # (v, i) of (n, k), (n, i)
        return _logits(other, g, *plan, width=width)[0]
    return _rows(other, g, *plan, width=width)[0]

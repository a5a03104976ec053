"""Products of each row with a block of a matrix, the block of the row's class: nothing is computed for other classes.

Rows are put in the order of their classes and taken in tiles of one class each; classes of like size share a loop, in
which blocks have one shape. How many tiles there are depends on the batch: shapes are static, loops' bounds are not. On
a CPU the products are kernels of our own, which read each class where it lies.
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

#: Rows a tile, at most.
TILE = 16
#: The blocks of a loop are this many times as wide as those of the loop before.
GROWTH = 4
ZERO = np.int32(0)


class Tiles(NamedTuple):
    """How the rows of a batch are taken. There are ``bounds[-1]`` tiles; what stands beyond is not read."""

    order: Int[Array, " N"]
    """Rows in the order of their classes, those without a class last."""
    first: Int[Array, " K"]
    """Where in ``order`` each tile begins."""
    rows: Int[Array, " K"]
    """How many rows each has."""
    start: Int[Array, " K"]
    """Where in the matrix its class begins."""
    size: Int[Array, " K"]
    """How large its class is."""
    bounds: Int[Array, " L+1"]
    """Loop l runs over the tiles ``bounds[l]`` to ``bounds[l + 1] - 1``."""


@functools.cache
def loop_widths(width: int) -> tuple[int, ...]:
    """The widths of the loops' blocks, ascending, for classes of at most ``width`` words."""
    widths = [width]
    while widths[-1] > 8:
        widths.append(-(-widths[-1] // GROWTH))
    return tuple(reversed(widths))


def tiles_of(classes: WordClasses, of_rows: Int[Array, " N"]) -> Tiles:
    """Cut rows into tiles of one class each.

    Args:
        classes: the classes.
        of_rows: the class of each row; C for a row that has none. Classes of one word have no product: their rows are
            passed over too.
    """
    count, none = of_rows.shape[0], classes.count
    loops = np.searchsorted(np.array(loop_widths(classes.width)), classes.sizes)
    by_loop = np.lexsort((np.arange(none), loops))  # classes in the order of their loops
    place = np.empty(none + 1, np.int32)
    place[by_loop] = np.arange(none)
    place[:none][classes.sizes == 1] = none
    place[none] = none
    places = jnp.asarray(place)[of_rows]
    order = jnp.argsort(places).astype(jnp.int32)
    sorted_places = places[order]
    number = jnp.arange(count, dtype=jnp.int32)
    run = lax.cummax(jnp.where(jnp.diff(sorted_places, prepend=-1) != 0, number, 0))
    used = sorted_places < none
    begins = used & ((number - run) % TILE == 0)
    most = min(count, none) + count // TILE
    tile = jnp.where(used, jnp.cumsum(begins, dtype=jnp.int32) - 1, most)

    def of_tiles(values: Array) -> Array:
        return jnp.zeros((most,), jnp.int32).at[jnp.where(begins, tile, most)].set(values, mode="drop")

    at = jnp.minimum(sorted_places, none - 1)
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
    """``a_nk = Σ_i h_ni w_{start(n)+k, i}`` for ``k`` below the size of the row's class, and 0 elsewhere.

    Linear in ``h`` and in ``w``; its derivatives are products of the same kind.

    Args:
        h: rows.
        w: the matrix, each class a run of its rows.
        tiles: of ``tiles_of``.
        width: W, the size of the largest class.
    """
    return _logits(h, w, *tiles, width=np.int64(width))[0]


def _loop_over(tiles: Tiles, width: int, body: Callable[[Any, Array, int], Any], carry: Any) -> Any:
    for k, block in enumerate(loop_widths(int(width))):
        step = functools.partial(lambda block, i, carry: body(carry, i, block), block)
        carry = lax.fori_loop(tiles.bounds[k], tiles.bounds[k + 1], step, carry)
    return carry


def _sorted(rows: Array, tiles: Tiles) -> Array:
    """Rows in the order of the tiles, and as many zeros behind them as a tile may reach into."""
    return jnp.pad(rows[tiles.order], ((0, TILE), (0, 0)))


def _unsorted(rows: Array, tiles: Tiles) -> Array:
    return jnp.zeros_like(rows[:-TILE]).at[tiles.order].set(rows[:-TILE], unique_indices=True)


def _block(w: Array, tiles: Tiles, i: Array, width: int) -> tuple[Array, Array, Array]:
    """Rows of the matrix that hold the tile's class, where they begin, and how far into them the class does."""
    begin = jnp.minimum(tiles.start[i], w.shape[0] - width)
    return lax.dynamic_slice(w, (begin, ZERO), (width, w.shape[1])), begin, tiles.start[i] - begin


def _keep(values: Array, tiles: Tiles, i: Array) -> Array:
    """What belongs to the tile's rows and to the words of its class; zeros elsewhere."""
    row, column = (lax.broadcasted_iota(jnp.int32, values.shape, axis) for axis in (0, 1))
    return jnp.where((row < tiles.rows[i]) & (column < tiles.size[i]), values, 0)


def _logits_meaning(h: Array, w: Array, *plan: Array, width: int) -> tuple[Array]:
    tiles = Tiles(*plan)
    hs = _sorted(h, tiles)

    def body(out: Array, i: Array, block_width: int) -> Array:
        block, _, shift = _block(w, tiles, i, block_width)
        some = lax.dynamic_slice(hs, (tiles.first[i], ZERO), (TILE, h.shape[1]))
        found = jnp.roll(lax.dot_general(some, block, (((1,), (1,)), ((), ()))), -shift, axis=1)
        return lax.dynamic_update_slice(out, _keep(found, tiles, i), (tiles.first[i], ZERO))

    return (_unsorted(_loop_over(tiles, width, body, jnp.zeros((hs.shape[0], int(width)), h.dtype)), tiles),)


def _rows_meaning(slopes: Array, w: Array, *plan: Array, width: int) -> tuple[Array]:
    tiles = Tiles(*plan)
    sorted_slopes = _sorted(slopes, tiles)

    def body(out: Array, i: Array, block_width: int) -> Array:
        block, _, shift = _block(w, tiles, i, block_width)
        some = lax.dynamic_slice(sorted_slopes, (tiles.first[i], ZERO), (TILE, block_width))
        found = jnp.roll(_keep(some, tiles, i), shift, axis=1) @ block
        return lax.dynamic_update_slice(out, found, (tiles.first[i], ZERO))

    return (_unsorted(_loop_over(tiles, width, body, jnp.zeros((sorted_slopes.shape[0], w.shape[1]), w.dtype)), tiles),)


def _matrix_meaning(slopes: Array, h: Array, *plan: Array, width: int, words: int) -> tuple[Array]:
    tiles = Tiles(*plan)
    sorted_slopes, hs = _sorted(slopes, tiles), _sorted(h, tiles)

    def body(out: Array, i: Array, block_width: int) -> Array:
        old, begin, shift = _block(out, tiles, i, block_width)
        some = lax.dynamic_slice(sorted_slopes, (tiles.first[i], ZERO), (TILE, block_width))
        some = jnp.roll(_keep(some, tiles, i), shift, axis=1)
        rows = lax.dynamic_slice(hs, (tiles.first[i], ZERO), (TILE, h.shape[1]))
        return lax.dynamic_update_slice(out, old + lax.dot_general(some, rows, (((0,), (0,)), ((), ()))), (begin, ZERO))

    return (_loop_over(tiles, width, body, jnp.zeros((int(words), h.shape[1]), h.dtype)),)


class _Trilinear(Operation):
    """A product that is linear in each of its first two arguments, with the two that its derivatives are."""

    def __init__(self, name: str, meaning: Callable[..., tuple[Array]]) -> None:
        super().__init__(name, meaning)
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


_logits = _Trilinear("class_logits", _logits_meaning)
_rows = _Trilinear("class_rows", _rows_meaning)
_matrix = _Trilinear("class_matrix", _matrix_meaning)


def _derivative(of: _Trilinear, place: int, like: Any, g: Array, other: Array, plan: Any, **static: Any) -> Array:
    """The cotangent of one of the two arguments, of a product among rows (n, i), words (v, i) and slopes (n, k)."""
    width = static["width"]
    if of is _logits:  # (n, k) of (n, i), (v, i)
        if place == 0:
            return _rows(g, other, *plan, width=width)[0]
        return _matrix(g, other, *plan, width=width, words=np.int64(like.shape[0]))[0]
    if of is _rows:  # (n, i) of (n, k), (v, i)
        if place == 0:
            return _logits(g, other, *plan, width=width)[0]
        return _matrix(other, g, *plan, width=width, words=np.int64(like.shape[0]))[0]
    if place == 0:  # (v, i) of (n, k), (n, i)
        return _logits(other, g, *plan, width=width)[0]
    return _rows(other, g, *plan, width=width)[0]

"""Arguments of ``unroll`` as people give them: arrays of any kind, lists, numbers; and what is refused."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, unroll

T, B, D, H = 3, 2, 2, 4
CELL = cells.lstm(H)
PARAMS, STATE = CELL.init(jax.random.key(0), D), CELL.initial_state((B,))
XS = [[[0.5, -1.0], [0.0, 0.25]], [[1.0, 2.0], [0.5, 0.5]], [[-0.5, 0.0], [1.0, -1.0]]]
MASK, LENGTHS, RESETS = [[1, 1], [1, 0], [0, 1]], [2, 3], [[False, False], [False, True], [False, False]]


@functools.cache
def wanted():
    control = {"mask": jnp.asarray(MASK, bool), "lengths": jnp.asarray(LENGTHS), "resets": jnp.asarray(RESETS)}
    return unroll(CELL, PARAMS, STATE, jnp.asarray(XS, jnp.float32), **control)


FORMS = {
    "lists": lambda value, dtype: value,
    "tuples": lambda value, dtype: tuple(map(tuple, value)) if isinstance(value[0], list) else tuple(value),
    "lists of arrays": lambda value, dtype: [np.asarray(part, dtype) for part in value],
    "numpy": lambda value, dtype: np.asarray(value, dtype),
    "jax": lambda value, dtype: jnp.asarray(value, dtype),
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_may_be_jax_or_numpy_arrays_or_lists(form):
    as_form = FORMS[form]
    found = unroll(
        CELL,
        jax.tree.map(np.asarray, PARAMS),
        jax.tree.map(np.asarray, STATE),
        as_form(XS, "float32"),
        mask=as_form(MASK, "bool" if form in ("numpy", "jax") else "int32"),
        lengths=as_form(LENGTHS, "int64"),
        resets=as_form(RESETS, "bool"),
    )
    jax.tree.map(np.testing.assert_array_equal, found, wanted())
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype("float32")}


def test_without_a_batch_lengths_are_numbers():
    state = CELL.initial_state(())
    xs = [x[0] for x in XS]
    wanted = unroll(CELL, PARAMS, state, jnp.asarray(xs, jnp.float32)[:2])[0]
    for length in (2, np.int32(2), jnp.asarray(2)):
        final, hs = unroll(CELL, PARAMS, state, xs, lengths=length)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), final, wanted)
        assert (np.asarray(hs[2]) == 0).all()


def test_lists_of_whole_numbers_are_numbers():
    whole = [[[1, 0], [0, 1]]] * T
    found = unroll(CELL, PARAMS, STATE, whole)
    jax.tree.map(np.testing.assert_array_equal, found, unroll(CELL, PARAMS, STATE, jnp.asarray(whole, jnp.float32)))


OTHER = cells.lstm(H + 1)
REFUSED = {
    "other-cell": ({"params": cells.gru(H).init(jax.random.key(0), D)}, "not the parameters of this lstm cell"),
    "other-size": ({"params": OTHER.init(jax.random.key(0), D)}, r"w_x of shape \(2, 20\) do not fit.*\(2, 16\)"),
    "other-inputs": ({"params": CELL.init(jax.random.key(0), D + 1)}, r"w_x of shape \(3, 16\) do not fit.*2 features"),
    "no-parameters": ({"params": None}, "not the parameters of this lstm cell"),
    "whole-parameters": (
        {"params": jax.tree.map(lambda a: a.astype(jnp.int32), PARAMS)},
        "w_x are int32: convert them",
    ),
    "no-state": ({"state": None}, "not a state of this lstm cell"),
    "plain-tuple": ({"state": tuple(STATE)}, "not a state of this lstm cell.*cell.initial_state"),
    "not-a-cell": ({"cell": "lstm"}, "`cell` must be a cell.*not a str"),
    "ragged": ({"xs": [[[1.0, 2.0], [1.0]]]}, "`xs` must be an array of numbers, not this list"),
    "words": ({"xs": "the cat"}, "`xs` must be an array of numbers, not this str"),
    "nothing": ({"xs": None}, "`xs` must be an array of numbers, not this NoneType"),
    "number": ({"xs": 0.5}, "at least time and features"),
    "complex": ({"xs": np.asarray(XS) + 1j}, "`xs` must be floating-point numbers, not complex128"),
    "complex-list": ({"xs": [[[1j, 0], [0, 1]]] * T}, "`xs` must be floating-point numbers, not complex"),
    "whole": ({"xs": np.ones((T, B, D), np.int32)}, "`xs` must be floating-point numbers, not int32.*embed"),
    "truths": ({"xs": np.ones((T, B, D), bool)}, "`xs` must be floating-point numbers, not bool"),
    "negative-length": ({"lengths": [2, -1]}, "`lengths` must be from 0 to 3, not -1"),
    "long-length": ({"lengths": np.array([4, 1])}, "`lengths` must be from 0 to 3, not 4"),
    "fractional-length": ({"lengths": [2.5, 1.0]}, "`lengths` must be whole numbers, not float"),
    "true-length": ({"lengths": [True, False]}, "`lengths` must be whole numbers, not bool"),
    "fractional-mask": ({"mask": np.full((T, B), 0.5)}, "`mask` must be true or false"),
    "two-resets": ({"resets": np.full((T, B), 2)}, "`resets` must be true or false"),
    "words-mask": ({"mask": [["yes"] * B] * T}, "`mask` must be an array of numbers, not this list"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arguments_are_refused(case):
    changed, pattern = REFUSED[case]
    with pytest.raises(UserError, match=pattern) as caught:
        unroll(**{"cell": CELL, "params": PARAMS, "state": STATE, "xs": XS, **changed})
    assert "\n" not in str(caught.value)


def test_shapes_and_dtypes_of_traced_arrays_are_checked():
    """Shapes and dtypes; values of arrays that are not traced, too."""
    for xs, lengths, pattern in (
        (np.ones((T, B, D), np.int32), None, "`xs` must be floating-point"),
        (jnp.asarray(XS), np.array([1.5, 2.0]), "`lengths` must be whole numbers"),
    ):
        with pytest.raises(UserError, match=pattern):
            jax.jit(lambda xs, lengths: unroll(CELL, PARAMS, STATE, xs, lengths=lengths))(xs, lengths)
    with pytest.raises(UserError, match="`lengths` must be from 0 to 3, not 7"):
        jax.jit(lambda xs: unroll(CELL, PARAMS, STATE, xs, lengths=[7, 1]))(jnp.asarray(XS))


def test_checking_costs_a_compiled_program_nothing():
    def program(xs, lengths):
        return unroll(CELL, PARAMS, STATE, xs, lengths=lengths, executor="scan")

    primitives = {
        str(equation.primitive)
        for equation in jax.make_jaxpr(program)(jnp.asarray(XS, jnp.float32), jnp.asarray(LENGTHS, jnp.int32)).eqns
    }
    assert not primitives & {"pure_callback", "debug_callback", "io_callback", "check", "reduce_min", "reduce_max"}
    traced = jax.jit(program)(jnp.asarray(XS, jnp.float32), jnp.asarray([7, -1], jnp.int32))  # as T and 0
    jax.tree.map(
        np.testing.assert_array_equal, traced, jax.jit(program)(jnp.asarray(XS, jnp.float32), jnp.asarray([T, 0]))
    )


def test_known_lengths_with_a_symbolic_number_of_steps():
    """In a program that is exported for any number of steps, which a length may go beyond."""
    steps = jax.export.symbolic_shape("t")[0]
    xs = jax.ShapeDtypeStruct((steps, B, D), jnp.float32)
    program = jax.jit(lambda xs: unroll(CELL, PARAMS, STATE, xs, lengths=[2, 1], executor="scan"))
    exported = jax.export.export(program)(xs)
    wanted = unroll(CELL, PARAMS, STATE, XS, lengths=[2, 1])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), exported.call(jnp.float32(XS)), wanted
    )

"""What a person can get wrong gives a ``UserError`` of one line; and factories give one object for one meaning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, unroll
from rnnlm_jax.cells import initializers
from rnnlm_jax.cells.cell_registry import CELLS

KEY = jax.random.key(0)
T, B, D = 4, 2, 3
LSTM = cells.lstm(5)
PAIR = cells.bidirectional(LSTM, LSTM)


def run(cell=LSTM, xs=(T, B, D), state=None, input_size=D, **options):
    params = cell.init(KEY, input_size)
    state = cell.initial_state((B,)) if state is None else state
    return unroll(cell, params, state, jnp.zeros(xs, jnp.float32), **options)


ERRORS = {
    "unknown-cell": (lambda: cells.make("lstn", 5), "unknown cell 'lstn'.*lstm-peephole"),
    "unknown-option": (
        lambda: cells.make("gru", 5, forget_bias=1.0),
        "'gru' has no option 'forget_bias'.*candidate_bias",
    ),
    "fixed-option": (lambda: cells.make("elman-tanh", 5, activation="relu"), "no option 'activation'"),
    "size-as-an-option": (lambda: cells.make("lstm-peephole", 5, projection_size=2), "no option 'projection_size'"),
    "activation": (lambda: cells.elman(5, activation="gelu"), "`activation` must be one of .*tanh.*'gelu'"),
    "reset": (lambda: cells.gru(5, reset="never"), "`reset` must be one of after, before, not 'never'"),
    "recurrent-init": (lambda: cells.lstm(5, recurrent_init="xavier"), "`recurrent_init` must be one of .*'xavier'"),
    "negative-radius": (lambda: initializers.spectral_radius(-0.5), "spectral radius.*-0.5"),
    "radius-not-square": (
        lambda: cells.projected_lstm(6, 2, recurrent_init="spectral_radius").init(KEY, D),
        r"square.*\(2, 6\)",
    ),
    "projection-size": (lambda: cells.projected_lstm(5, 0), "`projection_size` must be a positive whole number, not 0"),
    "input-size": (lambda: LSTM.init(KEY, 0), "`input_size` must be a positive whole number, not 0"),
    "empty-stack": (lambda: cells.stack(), "at least one layer"),
    "unequal-residual": (lambda: cells.stack(LSTM, cells.gru(4), residual=True), r"one output size, not \[5, 4\]"),
    "step-both-ways": (lambda: PAIR.step(None, None, None), "bidirectional cell cannot be stepped.*unroll"),
    "input_projection-both-ways": (lambda: PAIR.input_projection(None, None), "bidirectional.*unroll"),
    "read-both-ways": (lambda: PAIR.readout(None, None), "bidirectional.*unroll"),
    "step-a-stack-with-both-ways": (
        lambda: cells.stack(LSTM, PAIR).step(
            cells.stack(LSTM, PAIR).init(KEY, D), cells.stack(LSTM, PAIR).initial_state((B,)), jnp.zeros((B, 20))
        ),
        "bidirectional.*unroll",
    ),
    "features": (
        lambda: run(input_size=D + 1),
        r"w_x of shape \(4, 20\) do not fit this lstm cell on inputs of 3 features, which takes \(3, 20\)",
    ),
    "no-features": (lambda: run(xs=(T,), state=LSTM.initial_state(())), "at least time and features"),
    "state-batch": (lambda: run(state=LSTM.initial_state((B + 1,))), r"state of shape \(3, 5\) does not fit.*\(2, 5\)"),
    "state-size": (lambda: run(state=cells.lstm(6).initial_state((B,))), r"\(2, 6\) does not fit.*\(2, 5\)"),
    "state-kind": (lambda: run(state=cells.gru(5).initial_state((B,))), "state of this lstm cell.*cell.initial_state"),
    "state-layers": (
        lambda: run(cells.stack(LSTM, LSTM), state=LSTM.initial_state((B,))),
        "state of this stack.*cell.initial_state",
    ),
    "mask": (lambda: run(mask=jnp.ones((B, T), bool)), r"`mask` has shape \(2, 4\).*\(4, 2\)"),
    "resets": (lambda: run(resets=jnp.ones((T,), bool)), r"`resets` has shape \(4,\).*\(4, 2\)"),
    "lengths": (lambda: run(lengths=jnp.ones((T,), int)), r"`lengths` has shape \(4,\).*\(2,\)"),
    "scalar-length": (lambda: run(lengths=3), r"`lengths` has shape \(\).*\(2,\)"),
    "scan-unroll": (lambda: run(scan_unroll=0), "`scan_unroll` must be a positive whole number, not 0"),
    **{
        f"remat-chunk-{bad!r}": (lambda bad=bad: run(remat_chunk=bad), "`remat_chunk` must be a positive number")
        for bad in (0, -1, 2.0, True, "log")
    },
}


def assert_one_line(caught, pattern):
    caught.match(pattern)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ERRORS)
def test_wrong_arguments_raise_an_error_of_one_line(case):
    call, pattern = ERRORS[case]
    with pytest.raises(UserError) as caught:
        call()
    assert_one_line(caught, pattern)


@pytest.mark.parametrize("name", cells.names())
@pytest.mark.parametrize("size", [0, -3, True, 5.0, "5", None, [5]], ids=repr)
def test_sizes_must_be_positive_whole_numbers(name, size):
    """Also when the cache knows the cell of the number that the wrong size is equal to (5.0 == 5, True == 1)."""
    cells.make(name, 5)
    cells.make(name, 1)
    with pytest.raises(UserError) as caught:
        cells.make(name, size)
    assert_one_line(caught, "`hidden_size` must be a positive whole number")


@pytest.mark.parametrize("name", cells.names())
def test_equal_arguments_give_the_same_object(name):
    cell = cells.make(name, 5)
    assert cells.make(name, np.int64(5)) is cell
    assert cells.make(name, 5, param_dtype="float32", dtype=None) is cell
    assert cells.make(name, 5, dtype=jnp.float32, param_dtype=np.float32) is cell
    assert cells.make(name, 5, recurrent_init=cell_default(name)) is cell if cell_default(name) else True
    assert cells.make(name, 6) is not cell
    assert cells.make(name, 5, param_dtype="float64") is not cell
    assert cells.make(name, 5, dtype="bfloat16") is not cell
    assert hash(cell) == hash(cells.make(name, 5))


def cell_default(name):
    """The recurrent initialiser by its name, unless the zoo's name fixes it."""
    if "recurrent_init" not in CELLS.options(name):
        return None
    return {"lstm-projected": "glorot", "slstm": "zeros"}.get(name, "orthogonal")


def test_factories_accept_every_spelling_of_their_arguments():
    assert cells.lstm(5) is cells.lstm(hidden_size=5) is cells.lstm(5, 1.0) is cells.lstm(5, forget_bias=1)
    assert cells.linear(5) is cells.elman(5, "identity")
    assert cells.gru(5) is cells.make("gru", 5)
    assert cells.projected_lstm(8) is not cells.projected_lstm(8, 3)
    assert cells.stack(LSTM, cells.gru(5)) is cells.stack(LSTM, cells.gru(5), residual=False)
    assert cells.stack(LSTM, cells.gru(5)) is not cells.stack(cells.gru(5), LSTM)
    assert cells.bidirectional(LSTM, LSTM) is cells.bidirectional(forward=LSTM, backward=LSTM)


def test_entries_have_a_paper_and_options():
    for name, entry in CELLS.items():
        assert entry.paper
        assert {"hidden_size", "dtype", "param_dtype"} <= set(entry.parameters())
        assert {"hidden_size", "dtype", "param_dtype"}.isdisjoint(CELLS.options(name))

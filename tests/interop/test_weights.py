"""Round trips of weights: every row of the table, exactly; layers, directions, dtypes, names, states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.interop import weights
from rnnlm_jax.interop.weights import CONVENTIONS, SYSTEMS, layout
from rnnlm_jax.interop.weights.layout import LayerPosition
from rnnlm_jax.interop.weights.named_arrays import flatten
from tests.interop.weight_cases import D, H, cell_of, random_params, same_bits, shapes, their_arrays

ROWS = {row.title: row for row in CONVENTIONS}
SHARED_GATE = "linen MGUCell"  # holds only GRUs whose two gates are equal


def shapes_of_rows():
    """Return (row, layers, directions) for every combination that a library has."""
    found = []
    for title, row in ROWS.items():
        system = SYSTEMS[row.system]
        for layers in (1, 2) if system.layer else (1,):
            for directions in (1, 2) if system.direction else (1,):
                found.append(pytest.param(title, layers, directions, id=f"{title}-{layers}-{directions}"))
    return found


def built(row, layers, directions):
    one = cell_of(row)
    layer = cells.bidirectional(one, one) if directions == 2 else one
    return cells.stack(*[layer] * layers) if layers > 1 else layer


@pytest.mark.parametrize(("title", "layers", "directions"), shapes_of_rows())
def test_ours_to_theirs_to_ours(title, layers, directions):
    row = ROWS[title]
    cell = built(row, layers, directions)
    params = random_params(cell)
    if title == SHARED_GATE:
        params = jax.tree.map(lambda a: a if a.shape[-1] == H else a.at[..., H : 2 * H].set(a[..., :H]), params)
    if title == "haiku LSTM":  # its forget bias is stored less 1, which is exact near 1
        parts = params if layers > 1 else (params,)
        parts = tuple(p._replace(b=p.b.at[H : 2 * H].add(1.0)) for p in parts)
        params = parts if layers > 1 else parts[0]
    dumped = weights.dump(row.system, cell, params, kind=row.kind)
    found = weights.load(row.system, row.kind, dumped)
    same_bits(params, found.params)
    assert all(array.flags.writeable for array in flatten(dumped).values())  # torch.from_numpy takes them
    assert jax.tree.structure(shapes(found.cell)) == jax.tree.structure(params)
    same_bits(params, weights.load(row.system, cell, dumped).params)


@pytest.mark.parametrize("title", ROWS)
def test_theirs_to_ours_to_theirs(title):
    """Exact where no biases are added: the second one is zero except for the candidate's part."""
    row = ROWS[title]
    theirs = their_arrays(row)
    for name in layout.names(row, "b_h", LayerPosition(0, 0)):
        second = theirs[name][1] if row.b == row.b_h else theirs[name]
        second[: 2 * H if row.cell == "gru" else None] = 0
    if title == "haiku LSTM":
        theirs["lstm.linear.b"][2 * H : 3 * H] = np.arange(H) / 8
    cell, params = weights.load(row.system, row.kind, theirs)
    back = weights.dump(row.system, cell, params, kind=row.kind)
    same_bits(theirs, flatten(back))


@pytest.mark.parametrize("input_size", [1, H, 4 * H, 40])
def test_any_input_size_is_inferred(input_size):
    """Also as many inputs as units or gates, where the shape of one array does not determine its axes."""
    for row in CONVENTIONS:
        for biases in {True, not row.optional}:
            theirs = their_arrays(row, biases=biases, input_size=input_size)
            cell, params = weights.load(row.system, row.kind, theirs)
            assert (params.w_x.shape[0], cell.spec.hidden_size) == (input_size, H), row.title


@pytest.mark.parametrize("title", [title for title, row in ROWS.items() if row.optional])
def test_layers_without_biases(title):
    row = ROWS[title]
    theirs = their_arrays(row, biases=False)
    cell, params = weights.load(row.system, row.kind, theirs)
    back = weights.dump(row.system, cell, params, kind=row.kind, biases=False)
    same_bits(theirs, flatten(back))
    with_zeros = flatten(weights.dump(row.system, cell, params, kind=row.kind, biases=True))
    assert set(with_zeros) == set(their_arrays(row))
    added = set(with_zeros) - set(theirs)
    assert added and not any(with_zeros[name].any() for name in added)


def test_two_biases_are_read_as_their_sum():
    row = ROWS["torch GRU"]
    theirs = their_arrays(row)
    cell, params = weights.load("torch", "GRU", theirs)
    np.testing.assert_array_equal(params.b[: 2 * H], (theirs["bias_ih_l0"] + theirs["bias_hh_l0"])[: 2 * H])
    np.testing.assert_array_equal(params.b[2 * H :], theirs["bias_ih_l0"][2 * H :])
    np.testing.assert_array_equal(params.b_n, theirs["bias_hh_l0"][2 * H :])
    back = weights.dump("torch", cell, params)
    assert not back["bias_hh_l0"][: 2 * H].any()


def test_negative_zeros_nan_and_inf_are_kept():
    cell = cells.lstm(H)
    params = random_params(cell)
    params = params._replace(b=params.b.at[0].set(-0.0).at[1].set(jnp.nan).at[2].set(jnp.inf))
    for system in ("torch", "keras", "equinox", "linen"):
        kind = next(row.kind for row in CONVENTIONS if row.system == system and row.cell == "lstm")
        same_bits(params, weights.load(system, kind, weights.dump(system, cell, params)).params)


def test_rows_are_consistent():
    for row in CONVENTIONS:
        assert row.system in SYSTEMS
        assert not (row.transposed and row.w_x == row.w_h), "two matrices in one, transposed"
        for field in ("w_x", "w_h", "b", "b_h"):
            assert len(getattr(row, field)) in (0, 1, len(row.gates)), row.title
    assert len(ROWS) == len(CONVENTIONS)


def test_names_may_be_nested_flat_or_prefixed():
    cell = cells.lstm(H)
    params = random_params(cell)
    tree = weights.dump("haiku", cell, params, prefix="model/~/")
    assert set(tree) == {"model/~/lstm/linear"}
    exact = weights.load("haiku", "LSTM", tree, prefix="model/~").params
    same_bits(exact, weights.load("haiku", "LSTM", weights.dump("haiku", cell, params)).params)
    linen = weights.dump("linen", cell, params, prefix="params.cell")
    same_bits(params, weights.load("linen", "LSTMCell", linen, prefix="params.cell").params)
    flat = {name.replace(".", "/"): a for name, a in flatten(linen).items()}
    same_bits(params, weights.load("linen", "LSTMCell", flat, prefix="params/cell/").params)


def test_a_given_cell_determines_dtype_and_activation():
    row = ROWS["keras SimpleRNN"]
    theirs = their_arrays(row)
    relu = cells.elman(H, "relu", param_dtype="float64")
    cell, params = weights.load("keras", relu, theirs)
    assert cell is relu and params.w_x.dtype == np.float64
    np.testing.assert_array_equal(params.b, theirs["bias"])
    with_bias = cells.gru(H)
    assert not weights.load("nnx", with_bias, their_arrays(ROWS["nnx GRUCell"])).params.b_n.any()


@pytest.mark.parametrize("half", [np.float16, jnp.bfloat16])
def test_half_precision_becomes_float32(half):
    theirs = their_arrays(ROWS["torch LSTM"], dtype=half)
    params = weights.load("torch", "LSTM", theirs).params
    assert params.w_h.dtype == np.float32
    np.testing.assert_array_equal(params.w_h, theirs["weight_hh_l0"].T.astype(np.float32))


def test_a_list_in_the_order_of_keras():
    one = cells.lstm(H)
    cell = cells.bidirectional(one, one)
    params = random_params(cell)
    listed = list(weights.dump("keras", cell, params).values())
    assert [a.shape for a in listed[:3]] == [(D, 4 * H), (H, 4 * H), (4 * H,)]
    same_bits(params, weights.load("keras", "LSTM", listed).params)
    same_bits(params.forward, weights.load("keras", "LSTM", listed[:3]).params)


STATES = {
    "torch": ("torch", cells.stack(*[cells.bidirectional(cells.lstm(H), cells.lstm(H))] * 2)),
    "torch gru": ("torch", cells.stack(cells.gru(H), cells.gru(H))),
    "linen": ("linen", cells.lstm(H)),
    "nnx": ("nnx", cells.gru(H)),
    "haiku": ("haiku", cells.stack(cells.lstm(H), cells.lstm(H + 1))),
    "haiku gru": ("haiku", cells.gru(H, "before")),
    "equinox": ("equinox", cells.lstm(H)),
    "keras": ("keras", cells.bidirectional(cells.lstm(H), cells.lstm(H))),
    "keras one": ("keras", cells.elman(H)),
}


@pytest.mark.parametrize("name", STATES)
def test_states_round_trip(name):
    system, cell = STATES[name]
    leaves, structure = jax.tree.flatten(jax.eval_shape(lambda: cell.initial_state((3,))))
    state = jax.tree.unflatten(structure, [jnp.full(a.shape, k, a.dtype) for k, a in enumerate(leaves)])
    same_bits(state, weights.load_state(system, cell, weights.dump_state(system, cell, state)))


def test_the_order_of_h_and_c_is_the_librarys():
    h, c = jnp.ones((3, H)), jnp.zeros((3, H))
    state = cells.LSTMState(hidden=h, cell=c)
    for system, first in {"linen": 0, "nnx": 0, "equinox": 1, "haiku": 1, "keras": 1}.items():
        assert weights.dump_state(system, cells.lstm(H), state)[0].all() == first
    shown, kept = weights.dump_state("torch", cells.lstm(H), state)
    assert shown.shape == kept.shape == (1, 3, H) and shown.all() and not kept.any()


def test_files_round_trip(tmp_path):
    cell = cells.lstm(H)
    params = random_params(cell)
    path = tmp_path / "lstm.safetensors"
    weights.write_safetensors(path, weights.dump("linen", cell, params), {"what": "a test"})
    same_bits(params, weights.load("linen", "LSTMCell", weights.read_safetensors(path)).params)
    half = {"a": np.asarray([1.5, -2.0], jnp.bfloat16), "b": np.asarray(3.0, np.float16)}
    weights.write_safetensors(path, half)
    same_bits(half, weights.read_safetensors(path))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]

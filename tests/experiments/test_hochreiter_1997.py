"""The study of Hochreiter & Schmidhuber 1997: its networks against independent computations, and the command."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.hochreiter_1997 import __main__ as study
from experiments.hochreiter_1997.conditions import EXPERIMENTS, METHODS, PRESENT_DAY, PUBLISHED, find, names
from experiments.hochreiter_1997.memory_blocks import lag_cell, memory_blocks, with_inputs
from experiments.hochreiter_1997.networks import ELMAN, LSTM, PresentDay, make_network, networks_of
from experiments.hochreiter_1997.report import record, sequences_words
from experiments.hochreiter_1997.task_variants import GRAMMAR, SECOND_SYMBOL, by_number, part_of_reber, summed
from experiments.hochreiter_1997.train import QUICK, Settings, train_and_test
from experiments.readme_table import BEGIN, END
from rnnlm_jax import cells, tasks
from rnnlm_jax.cells import LSTM1997Params
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.sequence_model import model_for
from rnnlm_jax.system.file_lock import file_lock
from rnnlm_jax.unroll import unroll

DOUBLE = {"param_dtype": "float64"}
STEPS, BATCH, INPUTS = 6, 2, 3


def numbers(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def close(found, wanted):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), found, wanted)


def gradient(cell, params, xs, weights):
    """Return the gradient of a weighted sum of the outputs of all steps."""

    def loss(params):
        return (unroll(cell, params, cell.initial_state((BATCH,)), xs)[1] * weights).sum()

    return jax.grad(loss)(params)


def drawn(cell, scale=1.0):
    """Return parameters large enough for errors to matter."""
    return jax.tree.map(lambda w: w * 10 * scale, cell.init(jax.random.key(1), INPUTS))


def test_blocks_of_one_cell_whose_gates_are_not_fed_back_are_the_lstm_of_the_library():
    size = 3
    blocks = memory_blocks(size, truncated=False, **DOUBLE)
    library = cells.lstm_1997(size, **DOUBLE)
    params = drawn(blocks)
    params = params._replace(w_h=params.w_h.at[size:].set(0))
    order = np.r_[size : 2 * size, :size, 2 * size : 3 * size]  # input gates, candidates, output gates
    halves = np.repeat([1.0, 0.5, 1.0], size)  # 2 tanh(a/2) inside, tanh(s/2) outside: candidates at half their size
    own = LSTM1997Params(*(np.asarray(w)[..., order] * halves for w in (params.w_x, params.w_h[:size], params.b)))
    xs, weights = numbers(0, STEPS, BATCH, INPUTS), numbers(1, STEPS, BATCH, size)
    state, hs = unroll(blocks, params, blocks.initial_state((BATCH,)), xs)
    other, wanted = unroll(library, own, library.initial_state((BATCH,)), xs, executor="scan")
    close((hs, state.contents), (wanted, 2 * other.cell))
    found, of_library = gradient(blocks, params, xs, weights), gradient(library, own, xs, weights)
    close(found.w_x[:, order], np.asarray(of_library.w_x) * halves)
    close(found.w_h[:size, order], np.asarray(of_library.w_h) * halves)
    close(found.b[order], np.asarray(of_library.b) * halves)


def truncated_gradient(cells_, blocks, params, xs, weights):
    """Return the gradient of the appendix of the paper for one sequence: sums forward in time, no unit read twice."""
    size = cells_ // blocks
    units = cells_ + 2 * blocks
    w = np.concatenate([params.w_x, params.w_h, params.b[None]])
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    contents, outputs = np.zeros(cells_), np.zeros(units)
    of_input, of_gate = np.zeros((cells_, len(w))), np.zeros((cells_, len(w)))  # ∂s/∂w^c and ∂s/∂w^in of each cell
    total = np.zeros((len(w), units))
    for x, error in zip(xs, weights, strict=True):
        read = np.concatenate([x, outputs, [1.0]])
        a = read @ w
        gates = sigmoid(a[cells_:])
        outputs = np.concatenate([np.zeros(cells_), gates])
        for c in range(cells_):
            block = c // size
            i, o = gates[block], gates[blocks + block]
            g = 4 * sigmoid(a[c]) - 2
            of_input[c] += i * 4 * sigmoid(a[c]) * sigmoid(-a[c]) * read
            of_gate[c] += g * i * (1 - i) * read
            contents[c] += i * g
            h = 2 * sigmoid(contents[c]) - 1
            outputs[c] = o * h
            of_contents = error[c] * o * 2 * sigmoid(contents[c]) * sigmoid(-contents[c])
            total[:, c] += of_contents * of_input[c]
            total[:, cells_ + block] += of_contents * of_gate[c]
            total[:, cells_ + blocks + block] += error[c] * h * o * (1 - o) * read
    return total[: len(params.w_x)], total[len(params.w_x) : -1], total[-1]


def test_the_truncated_gradient_is_that_of_the_paper():
    layer = memory_blocks(2, 2, **DOUBLE)
    params, xs, weights = drawn(layer), numbers(2, STEPS, BATCH, INPUTS), numbers(3, STEPS, BATCH, 4)
    of_sequences = [truncated_gradient(4, 2, params, xs[:, k], weights[:, k]) for k in range(BATCH)]
    close(tuple(gradient(layer, params, xs, weights)), tuple(map(sum, zip(*of_sequences, strict=True))))


def test_truncation_changes_gradients_and_no_values():
    whole, truncated = memory_blocks(2, 2, truncated=False, **DOUBLE), memory_blocks(2, 2, **DOUBLE)
    params, xs, weights = drawn(whole), numbers(2, STEPS, BATCH, INPUTS), numbers(3, STEPS, BATCH, 4)
    state = whole.initial_state((BATCH,))
    close(unroll(whole, params, state, xs), unroll(truncated, params, state, xs))
    differences = jax.tree.map(
        lambda a, b: float(jnp.abs(a - b).max() / jnp.abs(a).max()),
        gradient(whole, params, xs, weights),
        gradient(truncated, params, xs, weights),
    )
    assert min(jax.tree.leaves(differences)) > 0.01
    without = params._replace(w_h=jnp.zeros_like(params.w_h))  # nothing is fed back: nothing to truncate
    one, other = gradient(whole, without, xs, weights), gradient(truncated, without, xs, weights)
    close((one.w_x, one.b), (other.w_x, other.b))


@pytest.mark.parametrize("biases", ["none", "gates"])
def test_units_without_a_bias_have_the_bias_zero(biases):
    layer, all_biases = memory_blocks(2, 2, biases, **DOUBLE), memory_blocks(2, 2, **DOUBLE)
    params, xs = drawn(layer), numbers(2, STEPS, BATCH, INPUTS)
    b = jnp.zeros(8) if biases == "none" else jnp.concatenate([jnp.zeros(4), params.b])
    state = layer.initial_state((BATCH,))
    close(unroll(layer, params, state, xs), unroll(all_biases, params._replace(b=b), state, xs))


def test_the_memory_cell_of_long_lags_sums_what_its_gate_lets_in():
    cell = lag_cell(-1.0, **DOUBLE)
    params, xs = drawn(cell), numbers(2, STEPS, BATCH, INPUTS)
    gate, candidate = np.moveaxis(np.asarray(xs) @ np.asarray(params.w_x), -1, 0)
    contents = np.cumsum(2 * np.tanh(candidate / 2) / (1 + np.exp(1 - gate)), axis=0)[..., None]
    state, hs = unroll(cell, params, cell.initial_state((BATCH,)), xs)
    close((state.contents, hs), (contents[-1], np.tanh(contents / 2)))


def test_the_memory_cell_of_long_lags_is_added_later():
    (experiment,) = find(["2a"])
    conditions = dataclasses.replace(experiment.lstm, added_after=2)
    network = make_network(dataclasses.replace(experiment, lstm=conditions), PUBLISHED, LSTM, PresentDay())
    params = network.init(jax.random.key(0))
    assert bool((params.w[0] == 0).all())
    assert float(jnp.abs(params.w[1:]).max()) > 0.19
    state = network.optimizer.init(params)
    ones = jax.tree.map(jnp.ones_like, params)
    for step in range(4):
        updates, state = network.optimizer.update(ones, state, params)
        of_cell = -3 if step >= 2 else 0  # by its own learning rate
        assert bool((updates.cell.w_x == of_cell).all())
        assert bool((updates.w[0] == of_cell).all())
        assert bool((updates.w[1:] == -1).all())
        assert bool((updates.b == 0).all())


@pytest.mark.parametrize("cell", [memory_blocks(2, **DOUBLE), cells.elman(2, "sigmoid", bias=False, **DOUBLE)])
def test_outputs_with_inputs(cell):
    both, xs = with_inputs(cell, INPUTS), numbers(2, STEPS, BATCH, INPUTS)
    params, state = cell.init(jax.random.key(1), INPUTS), cell.initial_state((BATCH,))
    last, hs = unroll(cell, params, state, xs)
    found_last, found = unroll(both, params, state, xs)
    close((found_last, found), (last, jnp.concatenate([hs, xs], axis=-1)))
    assert both.spec.output_size == 2 + INPUTS


def test_numbers_of_weights_are_the_published_ones():
    for experiment in EXPERIMENTS:
        network = make_network(experiment, PUBLISHED, LSTM, PresentDay())
        assert network.count_weights() == experiment.lstm.weights, experiment.name
        if experiment.elman is not None:
            elman = make_network(experiment, PUBLISHED, ELMAN, PresentDay())
            assert elman.count_weights() == experiment.elman.weights


def test_conditions_are_of_the_tasks_of_the_library():
    assert len(set(names())) == len(EXPERIMENTS)
    for experiment in EXPERIMENTS:
        for method in METHODS:
            task = experiment.make_task(method)
            assert task.source == "Hochreiter & Schmidhuber 1997"
            assert task.shortest_length <= experiment.length
            if experiment.task not in ("two-sequence", "adding", "embedded-reber"):
                assert experiment.length == task.default_length
        assert experiment.most >= 1.9 * experiment.published.sequences
        assert experiment.most % experiment.every == 0
        assert Settings().length(experiment) == experiment.length
        assert QUICK.length(experiment) <= max(20, task.shortest_length)


@pytest.mark.parametrize("name", ["1", "2c-50", "3a", "4-100", "6b"])
def test_initial_weights_are_as_published(name):
    (experiment,) = find([name])
    conditions = experiment.lstm
    params = make_network(experiment, PUBLISHED, LSTM, PresentDay()).init(jax.random.key(3))
    w_x = params.embedding if experiment.many_symbols else params.cell.w_x
    weights = jnp.concatenate([jnp.ravel(w) for w in (w_x, params.cell.w_h, params.w)])
    assert 0.9 * conditions.scale < float(jnp.abs(weights).max()) <= conditions.scale
    assert bool((params.b == 0).all()) == (not conditions.output_biases)
    gates = conditions.blocks
    if conditions.biases == "none":
        assert params.cell.b is None
        return
    given = (conditions.input_gates, conditions.output_gates)
    for biases, values in zip((params.cell.b[-2 * gates : -gates], params.cell.b[-gates:]), given, strict=True):
        if values is None:
            assert float(jnp.abs(biases).max()) <= conditions.scale
        else:
            np.testing.assert_array_equal(biases, values)


def test_symbols_as_numbers_are_those_of_one_hot_vectors():
    (experiment,) = find(["2c-50"])
    network = make_network(experiment, PUBLISHED, LSTM, PresentDay())
    plain = experiment.make_task(PUBLISHED)
    sequences, wanted = (task.sample(jax.random.key(0), 3, 9) for task in (network.task, plain))
    assert sequences.inputs.dtype == jnp.int32
    inside = wanted.inputs.any(axis=-1)
    np.testing.assert_array_equal(sequences.inputs, jnp.where(inside, wanted.inputs.argmax(axis=-1), 0))
    params = network.init(jax.random.key(1))
    one_hot = model_for(summed(plain), network.model.cell)
    own = params._replace(cell=params.cell._replace(w_x=params.embedding), embedding=None)
    state = one_hot.initial_state((3,))

    def loss(model, task, sequences, params):
        return task.mean_loss(model(params, state, sequences.inputs)[1], sequences)

    value, of_numbers = jax.value_and_grad(functools.partial(loss, network.model, network.task, sequences))(params)
    other, of_vectors = jax.value_and_grad(functools.partial(loss, one_hot, summed(plain), wanted))(own)
    assert float(value) == pytest.approx(float(other), rel=1e-6)
    np.testing.assert_allclose(of_numbers.embedding, of_vectors.cell.w_x, rtol=1e-4, atol=1e-9)
    before = network.optimizer.init(params)
    updates, _ = network.optimizer.update(of_numbers, before, params)
    after = jax.tree.map(jnp.add, params, updates)
    np.testing.assert_array_equal(after.cell.w_x, np.eye(6))
    assert bool((after.b == 0).all())
    np.testing.assert_allclose(after.w, params.w - 0.01 * of_numbers.w, rtol=1e-6)


def test_losses_are_summed_over_the_answers_of_a_sequence():
    task = tasks.embedded_reber(loss="logistic")
    sequences = task.sample(jax.random.key(0), 5, 20)
    outputs = jax.random.normal(jax.random.key(1), (20, 5, 7))
    answers = sequences.mask.sum() / 5
    assert float(summed(task).mean_loss(outputs, sequences)) == pytest.approx(
        float(task.mean_loss(outputs, sequences) * answers), rel=1e-6
    )
    assert summed(task) is summed(task)


def test_the_grammar_and_the_second_symbol_are_the_whole():
    task = tasks.embedded_reber()
    sequences = task.sample(jax.random.key(0), 50, 30)
    may_follow = sequences.targets[..., 1:].astype(jnp.float32)
    letter = sequences.inputs[1].argmax(axis=-1)  # T or P, which comes again
    forgetful = may_follow.at[..., [1, 2]].max(may_follow[..., [2, 1]])  # takes T for P everywhere
    for outputs, grammar, second in (
        (may_follow, True, True),
        (-may_follow, False, False),
    ):
        for part, right in ((GRAMMAR, grammar), (SECOND_SYMBOL, second)):
            count, judged = part_of_reber(task, part).count_right(outputs, sequences)
            assert int(judged) == 50
            assert int(count) == 50 * right
    count, _ = part_of_reber(task, SECOND_SYMBOL).count_right(forgetful, sequences)
    assert int(count) == 0
    last = sequences.mask.sum(axis=0) - 2  # the step before the letter
    np.testing.assert_array_equal(sequences.targets[last, jnp.arange(50), 0], letter)


@pytest.fixture
def folder(tmp_path):
    """A folder with a README to write the table into."""
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}old\n{END}after\n")
    return tmp_path


def run(folder, *arguments):
    return study.main(["--runs", str(folder / "runs"), "--quick", *arguments], folder)


def test_a_trial_of_two_experiments(folder, capsys, monkeypatch):
    assert run(folder, "--only", "1,4-100", "--method", PUBLISHED) == 0
    printed = capsys.readouterr().out
    assert "4: adding, T = 100" in printed
    assert "Networks with simple units:" in printed
    assert not (folder / "results.json").exists()
    assert (folder / "README.md").read_text() == f"before\n{BEGIN}old\n{END}after\n"
    found = {path.stem: json.loads(path.read_text()) for path in (folder / "runs" / PUBLISHED).glob("*.json")}
    assert set(found) == {"1-lstm", "1-elman", "4-100-lstm"}
    adding, reber = found["4-100-lstm"], found["1-lstm"]
    assert (adding["length"], adding["most"], adding["weights"]) == (20, 64, 93)
    assert adding["solved"] == [False, False]
    assert adding["tests"]["short_test"]["sequences"] == 64
    wrong = {name: np.array(test["wrong"]) for name, test in reber["tests"].items()}
    either = wrong["new_strings_grammar"] + wrong["new_strings_second_symbol"]
    assert (wrong["new_strings"] <= either).all()
    assert (wrong["new_strings"] >= np.maximum(wrong["new_strings_grammar"], wrong["new_strings_second_symbol"])).all()

    def never(*arguments, **options):
        raise AssertionError("was run again")

    monkeypatch.setattr(study, "train_and_test", never)
    assert run(folder, "--only", "4-100", "--method", PUBLISHED) == 0
    found["4-100-lstm"] |= {"solved": [True, False], "sequences_until_solved": [32, None], "success": 0.5}
    record(list(found.values()), folder)
    text = (folder / "README.md").read_text()
    assert text.startswith(f"before\n{BEGIN}\n| experiment |")
    assert "| 4: adding, T = 100 | 74,000 | 1 | 1 of 2 | 32 (32–32) |" in text
    assert (folder / "sequences.png").stat().st_size > 5000
    assert len(json.loads((folder / "results.json").read_text())["results"]) == 3


def test_the_present_day_recipe_solves_a_short_lag():
    (experiment,) = find(["2a"])
    short = dataclasses.replace(experiment, options=(("symbols", 5),), length=5)
    settings = Settings(seeds=2, test_sequences=200, short_test=20, most=10_000)
    result = train_and_test(short, PRESENT_DAY, LSTM, settings)
    assert result["solved"] == [True, True]
    assert result["tests"]["test"]["wrong"] == [0, 0]
    assert all(0 < count < 10_000 for count in result["sequences_until_solved"])
    assert result["sequences_until_solved"][0] % 32 == 0


def test_requests_that_cannot_be_met(folder, capsys):
    assert run(folder, "--only", "2d") == 2
    assert "unknown experiment '2d': choose among 1, 2a" in capsys.readouterr().err
    assert run(folder, "--method", "old") == 2
    assert "unknown method 'old'" in capsys.readouterr().err
    file = folder / "runs" / PUBLISHED / "4-100-lstm.json"
    file.parent.mkdir(parents=True)
    recipe = Settings().recorded(*find(["4-100"]), PUBLISHED, LSTM)
    file.write_text(json.dumps({"recipe": recipe}))
    assert run(folder, "--only", "4-100") == 2
    assert "has results of seeds 10, not 2: give another `runs`" in capsys.readouterr().err


def test_a_training_of_another_process_is_left_to_it(folder, capsys):
    lock = folder / "runs" / PUBLISHED / ".4-100-lstm.json.lock"
    lock.parent.mkdir(parents=True)
    with file_lock(lock, wait=False):
        assert run(folder, "--only", "4-100", "--method", PUBLISHED) == 0
    assert "another process is at work on 4-100, published, lstm" in capsys.readouterr().out


def test_trainings_are_in_the_order_of_their_time():
    trainings = study.choose(None, None, Settings())
    assert len(trainings) == sum(len(networks_of(experiment)) for experiment in EXPERIMENTS)
    assert trainings[-1][0].name == "4-1000"
    assert trainings[0][0].name == "1"
    with pytest.raises(ConfigError, match="unknown experiment ''"):
        study.choose("", None, Settings())


def test_words():
    result = {"sequences_until_solved": [None, None], "most": 500}
    assert sequences_words(result) == "over 500"
    assert sequences_words(result | {"sequences_until_solved": [10, None]}) == "10 (10–10)"
    assert by_number(tasks.very_long_lag()) is by_number(tasks.very_long_lag())

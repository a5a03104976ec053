"""The study of Elman (1990): training against a loop by hand, measures of answers that are known, and the record."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.elman_1990 import __main__ as study
from experiments.elman_1990 import bits, recipes, sentences
from experiments.elman_1990.report import record
from experiments.elman_1990.streams import letters_of, roc, separation, word_places
from experiments.elman_1990.train import Answers, SeedStreams, logistic, read_answers, softmax, train
from experiments.readme_table import BEGIN, END
from rnnlm_jax import tasks
from rnnlm_jax.errors import DataError
from rnnlm_jax.sequence_model.program import INITIAL, seed_key
from rnnlm_jax.tasks.elman_sentences import WORDS
from rnnlm_jax.tasks.letter_streams import LETTER_CODES, LEXICON

PUBLISHED = recipes.Published(
    hidden_size=3, stream=40, passes=2, learning_rate=0.5, init_scale=1.0, seeds=2, test_length=30
)
TODAY = recipes.Today(hidden_size=3, steps=2, seeds=2, test_length=30, length=10)


def sampled(name, length):
    """New streams of a task for two seeds, as NumPy arrays."""
    task = tasks.make(recipes.TASKS[name])
    return jax.tree.map(np.asarray, jax.jit(lambda key: task.sample(key, 2, length))(jax.random.key(1)))


def answers(streams, outputs, hidden=None):
    """Answers of two networks."""
    return Answers(
        streams, np.asarray(outputs, np.float64), np.zeros((*outputs.shape[:2], 1)) if hidden is None else hidden
    )


def logit(probs):
    clipped = np.clip(probs, 1e-12, 1 - 1e-12)
    return np.log(clipped) - np.log1p(-clipped)


def by_hand(params, xs, ys, passes, learning_rate):
    """Elman's training in NumPy: the context is an input, and every error is followed by a step down its gradient."""
    w_x, w_h, b = (np.array(leaf, np.float64) for leaf in params.cell)
    w, c = np.array(params.w, np.float64), np.array(params.b, np.float64)
    context = np.zeros(len(b))
    for x, y in [*zip(xs, ys, strict=True)] * passes:
        hidden = logistic(x @ w_x + context @ w_h + b)
        output = logistic(hidden @ w + c)
        delta = (output - y) * output * (1 - output)
        below = (w @ delta) * hidden * (1 - hidden)
        w, c = w - learning_rate * np.outer(hidden, delta), c - learning_rate * delta
        w_x, w_h = w_x - learning_rate * np.outer(x, below), w_h - learning_rate * np.outer(context, below)
        b, context = b - learning_rate * below, hidden
    return w_x, w_h, b, w, c


def test_the_published_training_is_that_of_a_loop_by_hand():
    task = tasks.elman_letters(loss="logistic")
    trained = train(task, PUBLISHED)
    streams = SeedStreams(task, PUBLISHED.stream, range(2)).arrays
    for seed in range(2):
        mine = slice(PUBLISHED.stream * seed, PUBLISHED.stream * (seed + 1))
        xs, ys = (np.asarray(leaf)[mine, 0, 0] for leaf in (streams.inputs, streams.targets))
        initial = trained.model.init(seed_key(seed, INITIAL))
        wanted = by_hand(initial, xs, ys, PUBLISHED.passes, PUBLISHED.learning_rate)
        found = trained.params_of(seed)
        for one, other in zip((*found.cell, found.w, found.b), wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
    assert trained.steps == PUBLISHED.stream * PUBLISHED.passes
    assert not np.array_equal(streams.inputs[: PUBLISHED.stream], streams.inputs[PUBLISHED.stream :])


def test_the_recipe_of_today_learns_letters():
    task = tasks.elman_letters()
    trained = train(task, replace(TODAY, steps=200, hidden_size=16, length=30))
    found = read_answers(trained, task, 200)
    assert found.outputs.shape == (200, 2, 6)
    assert found.hidden.shape == (200, 2, 16)
    measured = bits.letters(found)
    assert min(measured["separation"]) > 0.95
    assert max(measured["vowels"]) < 0.2 < min(measured["consonants"])


def test_xor_at_every_bit_is_known_by_its_errors():
    """A reader that takes every bit for the XOR of the two before, with probability 2/3."""
    streams = sampled("xor", 3012)
    line = streams.inputs[..., 0]
    rule = np.concatenate([np.zeros((1, 2), bool), line[1:] != line[:-1]])
    found = bits.xor(answers(streams, logit(np.where(rule, 2 / 3, 1 / 3))[..., None]))
    assert np.shape(found["error_by_step"]) == (2, 12)
    positions = np.array(found["error_by_position"])
    np.testing.assert_allclose(positions[:, 2], 1 / 9, rtol=1e-9)
    np.testing.assert_allclose(positions[:, :2], 5 / 18, atol=0.02)
    assert found["third_is_lowest"] == [True, True]
    assert found["xor_share"] == [1, 1]
    opposite = bits.xor(answers(streams, logit(np.where(rule, 1 / 3, 2 / 3))[..., None]))
    np.testing.assert_allclose(np.array(opposite["error_by_position"])[:, 2], 4 / 9, rtol=1e-9)
    assert opposite["third_is_lowest"] == [False, False]
    assert opposite["xor_share"] == [0, 0]


def sure_within_words(streams, places):
    """Outputs that are right but at the beginnings of words, where each bit has one half."""
    return np.where((places == 0)[..., None], 0.0, logit(streams.targets.astype(np.float64)))


def test_errors_of_letters():
    streams = sampled("letters", 120)
    is_consonant = streams.targets[..., 0] == 1
    found = bits.letters(answers(streams, sure_within_words(streams, ~is_consonant * 1)))
    assert found["separation"] == [1, 1]
    np.testing.assert_allclose(found["consonants"], 0.5, rtol=1e-9)
    np.testing.assert_allclose(found["vowels"], 0, atol=1e-9)
    np.testing.assert_allclose(found["bits_at_consonants"], np.full((2, 6), 0.5), rtol=1e-9)
    assert {x: round(e, 6) for x, e in found["by_letter"][1].items()} == dict.fromkeys("bdg", 0.5) | dict.fromkeys(
        "aiu", 0
    )
    text = found["shown"]["text"]
    assert len(text) == bits.SHOWN
    assert set(text) <= set("bdgaiu")
    for letter, error in zip(text, found["shown"]["error"], strict=True):
        assert error == pytest.approx(0.5 * (letter in "bdg"), abs=1e-9)


def letters_with_places(streams):
    """The places of all letters that are asked."""
    columns = []
    for seed in range(2):
        text = letters_of(np.concatenate([streams.inputs[:1, seed], streams.targets[:, seed]]), LETTER_CODES)
        columns.append(word_places(text, LEXICON)[1:])
    return np.stack(columns, axis=1)


def test_errors_of_words():
    streams = sampled("words", 300)
    places = letters_with_places(streams)
    found = bits.words(answers(streams, sure_within_words(streams, places)))
    assert found["separation"] == [1, 1]
    np.testing.assert_allclose(found["error_by_place"], [[0.5, *[0] * 6]] * 2, atol=1e-9)
    assert np.shape(found["roc"]) == (2, 101)
    assert min(map(min, found["roc"])) == 1
    assert found["shown"]["places"] == places[: bits.SHOWN, 0].tolist()


def test_places_in_words():
    rng = np.random.default_rng(0)
    chosen = rng.choice(LEXICON, 300)
    places = [place for word in chosen for place in range(len(word))]
    text = "".join(chosen)
    np.testing.assert_array_equal(word_places(text, LEXICON), places)
    for end in range(1, 60):
        np.testing.assert_array_equal(word_places(text[:end], LEXICON)[:-1], places[: end - 1])
    assert word_places("theyears", LEXICON).tolist() == [0, 1, 2, 0, 1, 2, 3, 4]  # not "they"
    with pytest.raises(DataError, match="not made of the given words"):
        word_places("thez", LEXICON)


def test_separation_and_the_curve_of_a_threshold():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 12, 80).astype(float), rng.random(80) < 0.3
    scores[positive] += 2
    pairs = [np.sign(a - b) / 2 + 0.5 for a in scores[positive] for b in scores[~positive]]
    assert separation(scores, positive) == pytest.approx(np.mean(pairs))
    thresholds = sorted({*scores})
    false = [(scores[~positive] >= t).mean() for t in thresholds]
    true = [(scores[positive] >= t).mean() for t in thresholds]
    most = [max(t for f, t in zip(false, true, strict=True) if f == share) for share in false]
    np.testing.assert_allclose(roc(scores, positive, false), most)
    grid = np.linspace(0, 1, 20_001)
    assert np.mean(roc(scores, positive, grid)) == pytest.approx(separation(scores, positive), abs=1e-3)


def true_answers(recipe, length=2000):
    """Answers of a reader that knows the grammar; its units are those of noun and verb, animate and not, and noise."""
    streams = sampled("sentences", length)
    truth = np.asarray(tasks.next_word_probs(streams), np.float64)
    outputs = logit(truth) if isinstance(recipe, recipes.Published) else np.log(np.maximum(truth, 1e-30))
    words = [WORDS[word] for word in range(len(WORDS))]
    kinds = np.array([[4.0 * (w in sentences.VERBS), 2.0 * (w in sentences.ANIMATES)] for w in words])
    vectors = np.concatenate([kinds, 0.1 * np.random.default_rng(0).normal(size=(len(words), 3))], axis=1)
    return answers(streams, outputs, vectors[streams.inputs.argmax(axis=-1)])


@pytest.mark.parametrize("recipe", [PUBLISHED, TODAY])
def test_a_reader_that_knows_the_grammar(recipe):
    found = sentences.sentences(true_answers(recipe), recipe)
    network, truth = found["readers"]["network"], found["readers"]["true probabilities"]
    for name, values in network.items():
        np.testing.assert_allclose(values, truth[name], atol=1e-5)
    np.testing.assert_allclose(network["cosine"], 1, rtol=1e-6)
    np.testing.assert_allclose([network["squares"], network["norm"], network["rms"]], 0, atol=1e-5)
    np.testing.assert_allclose(network["norm_of_actual"], 0.88, atol=0.01)  # the published error of the actual words
    cosines = [found["readers"][name]["cosine"][0] for name in ("frequencies", "last word", "network")]
    assert cosines == sorted(cosines)
    assert found["nearest_of_kind"] == [1, 1]
    assert [seed["three_kinds"] for seed in found["branches"]["ward"]] == [1, 1]
    assert np.shape(found["tree"]) == (28, 4)


def test_distances_are_the_means_that_they_say():
    rng = np.random.default_rng(0)
    one, two = rng.random((5, 2, 4)), rng.random((5, 2, 4))
    found = sentences.distances(one, two, np.eye(4)[rng.integers(0, 4, (5, 2))])
    difference = (one - two)[:, 1]
    assert found["squares"][1] == pytest.approx(np.mean([sum(d * d) for d in difference]))
    assert found["norm"][1] == pytest.approx(np.mean([np.linalg.norm(d) for d in difference]))
    assert found["rms"][1] == pytest.approx(np.mean([np.sqrt(np.mean(d * d)) for d in difference]))
    np.testing.assert_allclose(softmax(np.log(one)), one / one.sum(axis=-1, keepdims=True))


def test_branches_of_a_tree_of_words():
    rng = np.random.default_rng(0)
    centres = {"verb": (0, 0), "animate": (5, 1), "inanimate": (5, -1)}
    vectors = np.array([centres[kind] for kind in sentences.KINDS]) + 0.01 * rng.normal(size=(29, 2))
    for linkage in sentences.LINKAGES:
        found = sentences.branch_purities(vectors, linkage)
        assert found == {"nouns_from_verbs": 1, "animates_from_inanimates": 1, "three_kinds": 1}
        mixed = sentences.branch_purities(vectors[:, ::-1] * [1, 0.01], linkage)  # animates apart from all others
        assert mixed["animates_from_inanimates"] == 1
        assert mixed["nouns_from_verbs"] < 1
    assert sentences.nearest_of_kind(vectors) == 1
    vectors[sentences.WORDS.index("eat")] = vectors[sentences.WORDS.index("man")]
    assert sentences.nearest_of_kind(vectors) == pytest.approx(27 / 29)
    kinds = np.array(["a", "a", "b", "b", "b"])
    assert sentences.purity(np.array([1, 1, 2, 2, 2]), kinds) == 1
    assert sentences.purity(np.array([1, 2, 2, 2, 2]), kinds) == 0.8
    assert sentences.purity(np.array([2, 1, 2, 1, 2]), kinds) == 0.6
    assert sentences.purity(np.array([1, 2, 3, 4, 5]), kinds) == 1
    assert (len(sentences.VERBS), len(sentences.ANIMATES)) == (11, 10)


@pytest.fixture
def folder(tmp_path):
    """A folder with a README to write the tables into."""
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}old\n{END}after\n")
    return tmp_path


def test_the_record_has_tables_and_figures(folder):
    measured = {}
    for name in ("letters", "words"):
        streams = sampled(name, 120)
        places = letters_with_places(streams) if name == "words" else 1 - streams.targets[..., 0]
        measured[name] = getattr(bits, name)(answers(streams, sure_within_words(streams, places)))
    measured["sentences"] = sentences.sentences(true_answers(PUBLISHED), PUBLISHED)
    streams = sampled("xor", 120)
    measured["xor"] = bits.xor(answers(streams, np.zeros((120, 2, 1))))
    found = {
        name: [{"network": "published", "recipe": recipes.recorded(PUBLISHED)} | measured[name]]
        for name in recipes.TASKS
    }
    record(json.loads(json.dumps(found)), folder)
    assert json.loads((folder / "results.json").read_text()) == found
    text = (folder / "README.md").read_text()
    for file in ("xor.png", "letters.png", "words.png", "tree.png"):
        assert (folder / file).stat().st_size > 5000
        assert f"]({file})" in text
    assert "| published recipe | 0.250 | 0.250 | 0.250 | 0 of 2 |" in text
    assert "| published recipe | 0.500 | 0.000 | 0.500 | 0.500 | 2 of 2 | 1.000 |" in text
    assert "| published | .916 | .053 |" in text
    assert "| published recipe | 1.000 |" in text


def tiny():
    """The published recipes at small sizes."""
    return {name: {"published": of["published"]} for name, of in recipes.quick().items()}


def test_a_network_with_a_result_is_not_trained_again(folder, monkeypatch, capsys):
    arguments = ["--runs", str(folder / "runs"), "--only", "xor"]
    assert study.main(arguments, folder, recipes=tiny()) == 0
    printed = capsys.readouterr().out
    assert "### 1. Temporal XOR" in printed
    assert "Sentences" not in printed
    result = json.loads((folder / "results.json").read_text())["xor"][0]
    assert (result["experiment"], result["network"], result["steps"]) == ("xor", "published", 600)
    assert result["recipe"]["passes"] == 2
    assert (folder / "xor.png").exists()

    def never(*arguments, **options):
        raise AssertionError("was trained again")

    monkeypatch.setattr(study, "train", never)
    assert study.main(arguments, folder, recipes=tiny()) == 0
    assert study.main(["--runs", str(folder / "runs"), "--only", "letters"], folder, recipes=tiny()) == 1  # left out
    longer = {"xor": {"published": replace(tiny()["xor"]["published"], passes=3)}}
    capsys.readouterr()
    assert study.main(arguments, folder, recipes=tiny() | longer) == 2
    assert "has results of passes 2, not 3: give another `runs`" in capsys.readouterr().err
    assert study.main([*arguments[:2], "--only", "zor"], folder) == 2
    assert "unknown experiment 'zor': choose from xor,letters,words,sentences" in capsys.readouterr().err


def test_quick_sizes_print_the_tables_and_record_nothing(folder, capsys):
    assert study.main(["--runs", str(folder / "runs"), "--only", "sentences", "--quick"], folder) == 0
    assert "### 4. Sentences" in capsys.readouterr().out
    assert not (folder / "results.json").exists()
    assert "old" in (folder / "README.md").read_text()
    for network in ("published", "today"):
        result = json.loads((folder / "runs" / "sentences" / f"{network}.json").read_text())
        assert len(result["readers"]["network"]["cosine"]) == result["recipe"]["seeds"] == 2
        assert result["skipped_steps"] == [0, 0]

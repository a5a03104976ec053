"""Log-probabilities of many sentences at once against one at a time, and mixtures by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, ngrams
from rnnlm_jax.config import Config
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation import score_sentences
from rnnlm_jax.evaluation.comparison import CountedModel, ModelInfo, TrainedRun
from rnnlm_jax.evaluation.rescoring import SentenceModel, sentence_model, tree_scoring
from rnnlm_jax.evaluation.rescoring.prefix_tree import prefix_tree
from rnnlm_jax.evaluation.rescoring.tree_scoring import sentence_nll
from rnnlm_jax.jobs.run_folder import START, Run
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs.maxent import maxent
from rnnlm_jax.outputs.word_counts import WordCounts
from tests.training.tiny import LINES, random_params, vocabulary

WORDS = vocabulary()
#: Shared prefixes, a sentence that begins another, empty ones, unknown words, duplicates.
TEXTS = (
    *("the cat sat on the mat", "the cat sat on a mat", "the cat", "a dog ran to the cat", "a dog ran to a unicorn"),
    *("", "ran", "the cat sat on the mat", "", "on and on and on and on and on and on", *LINES),
)
TEXT = WORDS.encode(TEXTS)
COUNTED = WordCounts.counted(WORDS.tokens, TEXT.tokens)
WIDE = {"dtype": jnp.float64, "param_dtype": jnp.float64}
MODELS = {
    "two layers": lambda: language_model(cells.stack(cells.lstm(6, **WIDE), cells.gru(5, **WIDE)), WORDS.size),
    "words in the state": lambda: language_model(
        cells.elman(6, **WIDE), WORDS.size, output=maxent(COUNTED, order=3, table_size=64, **WIDE)
    ),
    "a fixed window": lambda: language_model(cells.make("feed-forward", 6, order=3, **WIDE), WORDS.size),
}


def counted(order=3):
    model = ngrams.train(WORDS.encode(LINES * 2), WORDS, order)
    return CountedModel("kn", model, ModelInfo("n-grams"))


def trained(model=None):
    model = model or language_model(cells.elman(8, param_dtype=jnp.float64), WORDS.size)
    run = Run(Config(), WORDS, model, random_params(model), START)
    return TrainedRun("net", run, ModelInfo("network"))


def test_a_prefix_tree_has_each_prefix_once():
    tree = prefix_tree(TEXT, WORDS.size)
    prefixes = {tuple(line[:n].tolist()) for line in TEXT.lines() for n in range(1, line.size + 1)}
    assert sum(level.words.size for level in tree.levels) == len(prefixes) < len(TEXT)
    assert np.unique(tree.nodes).size == len(prefixes)
    # Following the parents from its last node gives every line back.
    sizes = np.concatenate([[0], np.cumsum([level.words.size for level in tree.levels])])
    start = 0
    for line in TEXT.lines():
        node, words = int(tree.nodes[start + line.size - 1] - sizes[line.size - 1]), []
        for level in tree.levels[line.size - 1 :: -1]:
            words.append(int(level.words[node]))
            node = int(level.parents[node])
        assert words[::-1] == line.tolist()
        start += line.size


@pytest.mark.parametrize("name", MODELS)
def test_sentences_scored_together_equal_each_alone(name, monkeypatch):
    monkeypatch.setattr(tree_scoring, "MIN_PREFIXES", 16)
    monkeypatch.setattr(tree_scoring, "MAX_PREFIXES", 16)  # several pieces per level, of two sizes
    model = MODELS[name]()
    params = random_params(model)
    found = sentence_nll(model, params, TEXT, WORDS)
    alone = np.concatenate(score_sentences(model, params, TEXT, WORDS))
    np.testing.assert_allclose(found, alone, rtol=1e-10)


def test_log_probs_in_chunks_equal_a_mixture_by_hand(monkeypatch):
    monkeypatch.setattr(sentence_model, "MAX_LINES", 4)
    net, kn = trained(), counted()
    reports = []
    sums = SentenceModel([net, kn]).log_probs(TEXT, [0.7, 0.3], reports.append)
    assert sum(reports) == 2 * len(TEXT)
    for text, log_prob in zip(TEXTS, sums, strict=True):
        line = WORDS.encode([text])
        one = score_sentences(net.run.model, net.run.params, line, WORDS)[0]
        other = kn.token_nll(line)
        assert log_prob == pytest.approx(np.log(0.7 * np.exp(-one) + 0.3 * np.exp(-other)).sum(), abs=1e-10)
    alone = SentenceModel([kn]).log_probs(TEXT, [1.0])
    np.testing.assert_allclose(alone, [-kn.token_nll(WORDS.encode([text])).sum() for text in TEXTS], rtol=1e-12)
    np.testing.assert_array_equal(SentenceModel([net, kn]).log_probs(TEXT, [0.0, 1.0]), alone)


def test_without_ends_of_lines_each_sentence_is_scored_alone_too():
    letters = Vocabulary("char", tuple("abc "), None, None)
    model = ngrams.train(letters.encode(["ab ab", "abc", "ca b"]), letters, 2)
    scorer = CountedModel("kn", model, ModelInfo("n-grams"))
    texts = ["ab", "", "ca", "ab"]
    found = SentenceModel([scorer]).log_probs(letters.encode(texts), [1.0])
    expected = [-model.token_nll(letters.encode([text])).sum() if text else 0.0 for text in texts]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    with pytest.raises(DataError, match="it is in 'ax'"):
        SentenceModel([scorer]).encode(["ab", "ax"])

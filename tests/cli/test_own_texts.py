"""Training on a user's texts and vocabularies, in several file formats."""

import pytest

from rnnlm_jax.data import Vocabulary, build_vocabulary
from tests.training.tiny import LINES, TINY


@pytest.fixture
def words(tmp_path):
    """A plain list of the words of the corpus, in another order than that of a built vocabulary."""
    found = sorted(build_vocabulary(LINES).tokens)
    (tmp_path / "words.txt").write_text("".join(f"{word}\n" for word in found))
    return tmp_path / "words.txt"


def test_a_plain_list_of_words_is_a_vocabulary(corpus, tmp_path, words, rnnlm):
    run = tmp_path / "run"
    outcome = rnnlm("train", *TINY, "--data", corpus, "--vocabulary", words, "--run", run)
    assert outcome.code == 0, outcome
    assert Vocabulary.load(run / "vocabulary.json").tokens == tuple(words.read_text().split())
    words.unlink()  # the run has its own
    assert rnnlm("eval", run, "--data", corpus).code == 0


def test_words_that_a_list_without_unk_does_not_have(corpus, tmp_path, words, refuse):
    words.write_text(words.read_text().replace("<unk>\n", "").replace("mat\n", ""))
    message = refuse("train", *TINY, "--data", corpus, "--vocabulary", words, "--run", tmp_path / "new", saying="'mat'")
    assert "no unknown words allowed" in message
    assert not (tmp_path / "new").exists()

"""Penn Treebank, WikiText-2 and Tiny Shakespeare have the published numbers of tokens and types."""

import numpy as np
import pytest

from rnnlm_jax.data import SentenceBatches, StreamBatches, build_vocabulary, load_corpus, read_lines

COUNTS = {
    "ptb": (10_000, {"train": 929_589, "valid": 73_760, "test": 82_430}, "ptb.{}.txt"),
    "wikitext-2": (33_278, {"train": 2_088_628, "valid": 217_646, "test": 245_569}, "{}.txt"),
}


@pytest.mark.parametrize("name", COUNTS)
def test_benchmarks_have_the_published_tokens_and_types(name, real_text, cache):
    types, tokens, file = COUNTS[name]
    corpus = load_corpus(name)
    lines = {split: list(corpus.lines(split)) for split in corpus.splits}
    for split in lines:
        assert lines[split] == list(read_lines(real_text / name / file.format(split)))
    vocabulary = build_vocabulary(lines["train"])
    assert vocabulary.size == types
    encoded = {split: vocabulary.encode(lines[split]) for split in lines}
    assert {split: len(text) for split, text in encoded.items()} == tokens
    assert all(text.oov == 0 for text in encoded.values())
    assert encoded["test"].characters == sum(len(line) + 1 for line in lines["test"])

    streams = StreamBatches(encoded["test"].tokens, 20, 35)
    assert sum(int(batch.mask.sum()) for batch in streams) == tokens["test"]
    counted = np.concatenate([batch.targets[batch.mask] for batch in SentenceBatches(encoded["test"], 32).epoch(0)])
    assert np.array_equal(np.sort(counted), np.sort(encoded["test"].tokens))


def test_tiny_shakespeare_has_65_characters(real_text, cache):
    path = real_text / "tinyshakespeare" / "input.txt"
    vocabulary = build_vocabulary(read_lines(path), "char")
    encoded = vocabulary.encode(read_lines(path))
    assert vocabulary.size == 65
    assert len(encoded) == encoded.characters == 1_115_394
    assert vocabulary.decode(encoded.tokens) == path.read_text(encoding="utf-8")

    corpus = load_corpus("tfds:tiny_shakespeare")
    assert corpus.level == "char"
    assert vocabulary.encode(corpus.lines("train")).characters == 1_003_854 + 1  # its last line is cut and ended

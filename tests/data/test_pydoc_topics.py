"""The corpus of Python's help topics: clean lines, and no overlap between splits."""

import re
from collections import Counter
from pydoc_data.topics import topics

from rnnlm_jax.data import build_vocabulary, load_corpus
from rnnlm_jax.data.corpora.pydoc_topics import prose, split_of, tokenise

CORPUS = load_corpus("pydoc")


def test_tokenise_splits_words_numbers_and_punctuation():
    assert tokenise("Don’t call “__init__()” (e.g. in 3.11).") == [
        "don't", "call", '"', "__init__", "(", ")", '"', "(", "e.g.", "in", "3.11", ")", ".",
    ]  # fmt: skip


def test_prose_unwraps_paragraphs_and_leaves_code_and_tables_out():
    topic = (
        "The title\n*********\n\nA paragraph of\ntwo lines:\n\n   code = here\n\n   more()\n\nNote:\n\n  Text.\n\n"
        "+---+\n| a |\n+---+\n\n* one\n  item\n\n* two\n\n   rule ::= this\n\nTerm\n   Its definition\n   goes on."
    )
    assert list(prose(topic)) == [
        "The title", "A paragraph of two lines:", "Note:", "Text.", "one item", "two", "Term",
        "Its definition goes on.",
    ]  # fmt: skip


def test_splits_hardly_share_lines():
    sizes = Counter(split_of(topic) for topic in topics)
    assert set(sizes) == {"train", "valid", "test"} and sizes["train"] > 0.6 * len(topics)
    lines = {split: set(CORPUS.lines(split)) for split in CORPUS.splits}
    # paragraphs are in one split; what is left are sentences that differently worded paragraphs share
    for held_out in ("valid", "test"):
        shared = {line for line in lines[held_out] & lines["train"] if len(line.split()) > 8}
        assert len(shared) <= 0.02 * len(lines[held_out])


def test_lines_are_clean_and_splits_have_the_documented_sizes():
    count = {split: sum(len(line.split()) + 1 for line in CORPUS.lines(split)) for split in CORPUS.splits}
    total = sum(count.values())
    assert total > 40_000
    assert 0.6 < count["train"] / total < 0.95 and min(count["valid"], count["test"]) > 1_000
    for split in CORPUS.splits:
        for line in CORPUS.lines(split):
            assert line and line == line.lower() and line == " ".join(line.split())
            assert not re.search(r"(\*|=|-|~) \1 \1 \1|::=|> > >", line)


def test_the_corpus_can_be_read_again_and_few_test_words_are_unknown():
    assert list(CORPUS.lines("test")) == list(CORPUS.lines("test"))
    vocabulary = build_vocabulary(CORPUS.lines("train"))
    encoded = vocabulary.encode(CORPUS.lines("test"))
    assert encoded.oov < 0.1 * len(encoded)

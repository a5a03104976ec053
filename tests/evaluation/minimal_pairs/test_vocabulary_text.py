"""Text as vocabularies of different corpora have it."""

import pytest

from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.evaluation.minimal_pairs import text_rules

PENN = "<unk> </s> N ca n't katherine help herself the U.S. it 's did she " + " ".join(map(str, range(200)))
WIKI = "<unk> </s> can 't Katherine help herself the U.S. 's @-@ ex wife . ? , \" ' ( ) American waiters it"


def words(tokens, **options):
    return text_rules(Vocabulary("word", tuple(tokens.split()), "<unk>", "</s>"), **options)


@pytest.mark.parametrize(
    ("text", "penn", "wiki"),
    [
        ("Katherine can't help herself.", "katherine ca n't help herself", "Katherine can 't help herself ."),
        ("The waiters' wife", "the waiters wife", "the waiters ' wife"),
        ("it's the U.S., it's", "it 's the u.s it 's", "it 's the U.S. , it 's"),
        ("Her ex-wife (Katherine)?", "her ex-wife katherine", "Her ex @-@ wife ( Katherine ) ?"),
        ("`` Waiters '' help", "waiters help", '" waiters " help'),
        ("american - wife -", "american - wife -", "American - wife -"),
        ("don't cannot", "do n't cannot", "don 't cannot"),
        ("<unk> </s>", "<unk> </s>", "<unk> </s>"),
        ("", "", ""),
    ],
)
def test_text_is_written_as_the_vocabulary_has_it(text, penn, wiki):
    assert words(PENN)(text) == penn
    assert words(WIKI)(text) == wiki
    for rules in (words(PENN), words(WIKI)):
        assert rules(rules(text)) == rules(text)


def test_options():
    assert words(WIKI, tokenize="spaces")("the American. american") == "the American. American"
    assert words(WIKI, tokenize="spaces", case="keep")("the  American. american") == "the  American. american"
    assert words(WIKI, case="keep")("The american can't") == "The american can 't"
    assert words(WIKI, case="lower")("Katherine can't.") == "katherine can 't ."
    assert words(PENN, case="keep")("Katherine can't.") == "Katherine ca n't"
    assert words(WIKI, tokenize="spaces", case="keep").description == "text as it stands"
    assert words(WIKI).description == "words split as in the vocabulary, unknown words looked up in another case"
    assert words(PENN).description == "words split as in the vocabulary, lower case"
    with pytest.raises(ArgumentError, match="unknown `case` 'upper': choose one of auto, keep, lower"):
        words(WIKI, case="upper")
    with pytest.raises(ArgumentError, match="unknown `tokenize` 'moses'"):
        words(WIKI, tokenize="moses")


def test_a_text_of_marks_alone_is_not_left_out():
    assert words(PENN)("?!") == "?!"


def test_characters_and_bytes_stand_as_they_are():
    letters = Vocabulary("char", tuple("abc' ."), None, None)
    assert text_rules(letters)("Can't.") == "can't."
    assert text_rules(letters).description == "lower case"
    capitals = Vocabulary("char", tuple("abcABC' ."), None, None)
    assert text_rules(capitals)("Can't.") == "Can't."
    octets = Vocabulary("byte", tuple(map(chr, range(256))), None, "\n")
    assert text_rules(octets)("Can't  be.") == "Can't  be."

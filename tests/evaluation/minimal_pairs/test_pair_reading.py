"""Minimal pairs of each format, read; and every way in which a file can be wrong, refused."""

import gzip
import json
import os

import pytest

from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.minimal_pairs import DEPENDENCY, POSITION, SENTENCE, WORD, Contrast, Pair, read_pairs
from rnnlm_jax.evaluation.minimal_pairs.index_files import SUFFIXES

BLIMP = {"sentence_good": "A dog barks.", "sentence_bad": "A dog bark.", "UID": "sv", "linguistics_term": "agreement"}
ONE = {"one_prefix_prefix": "A dog", "one_prefix_word_good": "barks", "one_prefix_word_bad": "bark"}
TWO = {"two_prefix_prefix_good": "A dog", "two_prefix_prefix_bad": "Dogs", "two_prefix_word": "barks"}


@pytest.fixture
def write(tmp_path):
    """Write a file, and return its path."""

    def write(name, *lines):
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


def stem(folder, text, evaluated, gold):
    """Write the three files of a stem, and return it."""
    for suffix, lines in zip(SUFFIXES, (text, evaluated, gold), strict=True):
        (folder / f"s{suffix}").write_text("".join(f"{line}\n" for line in lines))
    return folder / "s"


def test_lines_of_blimp(write):
    one, two, whole = BLIMP | ONE, BLIMP | TWO | {"UID": "det", "dependency_length": 3}, BLIMP | {"field": "syntax"}
    found = read_pairs(write("pairs.jsonl", json.dumps(one), "", json.dumps(two), json.dumps(whole)))
    pair = Pair("A dog barks.", "A dog bark.", Contrast("A dog", "barks", "A dog", "bark"), "sv", "agreement")
    assert found.pairs[0] == pair
    assert found.pairs[1].contrast == Contrast("A dog", "barks", "Dogs", "barks")
    assert (found.pairs[1].group, found.pairs[1].dependency_length) == ("det", 3)
    assert found.pairs[2].contrast is None
    assert (found.default_unit, found.name) == (SENTENCE, "pairs.jsonl")
    assert found.distances == (POSITION, (2, 2, 2))
    assert read_pairs(write("deep.jsonl", json.dumps(two))).distances == (DEPENDENCY, (3,))
    unnamed = {name: BLIMP[name] for name in ("sentence_good", "sentence_bad")}
    assert read_pairs(write("npi.jsonl", json.dumps(unnamed))).pairs[0].group == "npi"


def test_sentences_between_tabs(write, tmp_path):
    path = write("mine.tsv", "the dogs bark\tthe dogs barks\tplural", "he ran\the run\t", "he ran\the ran away")
    found = read_pairs(path).pairs
    contrast = Contrast("the dogs", "bark", "the dogs", "barks")
    assert found[0] == Pair("the dogs bark", "the dogs barks", contrast, "plural")
    assert [pair.group for pair in found] == ["plural", "mine", "mine"]
    assert found[2].contrast is None  # one begins with the other
    assert [pair.position for pair in found] == [2, 1, 2]
    packed = tmp_path / "mine.tsv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert [pair.group for pair in read_pairs(packed).pairs] == ["plural", "mine", "mine"]
    both = read_pairs([path, packed])
    assert (len(both.pairs), both.name) == (6, "2 files")


def test_linzen_fields(tmp_path):
    text = ["the keys to the cabinet are here . <eos>", "the dog is old <eos>", "we are the fallen"]
    found = read_pairs(stem(tmp_path, text, [5, 2, 1], ["5\tare\tis\t1", "2\tis\tare\t0", "1\tAre\tIs\t10"]))
    prefix = "the keys to the cabinet"
    good, bad = "the keys to the cabinet are here .", "the keys to the cabinet is here ."
    assert found.pairs[0] == Pair(good, bad, Contrast(prefix, "are", prefix, "is"), "1")
    assert found.pairs[2].contrast == Contrast("we", "are", "we", "is")  # as the text has them
    assert [pair.group for pair in found.pairs] == ["1", "0", "10"]
    assert found.default_unit == WORD
    assert found.distances == (POSITION, (5, 2, 1))


def test_gulordava_fields(tmp_path):
    lines = [
        "L!N_V!Plur\t0\t0\t3\tVERB\tNumber=Sing\tis\tare\tbe\t1\tNOUN\tThe thing there is",
        "L!N_V!Plur\t0\t4\t3\tVERB\tNumber=Sing\tadds\tadd\tadd\t1\tNOUN\tThe thing there is",
        "R!V_V\t1\t0\t1\tVERB\tNumber=Sing\tran\trun\trun\tx\tVERB\tHe ran",
    ]
    text = ["The thing there is odd . <eos>", "The pit nearby drinks odd . <eos>", "He ran . <eos>"]
    first, second, third = read_pairs(stem(tmp_path, text, [3, 3, 1], lines)).pairs
    assert (first.group, first.category, first.dependency_length) == ("L!N_V!Plur", "original", 2)
    assert (first.good, first.bad) == ("The thing there is odd .", "The thing there are odd .")
    assert second.category == "nonsense"
    assert second.contrast == Contrast("The pit nearby", "adds", "The pit nearby", "add")
    assert second.bad == "The pit nearby add odd ."
    assert third.dependency_length is None


WRONG_LINES = {
    "no field 'sentence_bad'": json.dumps({"sentence_good": "a"}),
    "the field 'sentence_good' is empty": json.dumps(BLIMP | {"sentence_good": " "}),
    "the field 'UID' is 3": json.dumps(BLIMP | {"UID": 3}),
    "no field 'one_prefix_word_bad'": json.dumps(BLIMP | {key: ONE[key] for key in list(ONE)[:2]}),
    "no field 'two_prefix_word'": json.dumps(BLIMP | {key: TWO[key] for key in list(TWO)[:2]}),
    "'dependency_length' is -1": json.dumps(BLIMP | {"dependency_length": -1}),
    "'dependency_length' is True": json.dumps(BLIMP | {"dependency_length": True}),
    "the two sentences are the same": json.dumps(BLIMP | {"sentence_bad": "A dog barks."}),
    "not JSON": '{"sentence_good": ',
    "not a JSON object": "[1]",
}


@pytest.mark.parametrize("saying", WRONG_LINES)
def test_wrong_lines_of_json_are_refused(write, saying):
    path = write("pairs.jsonl", json.dumps(BLIMP), "", WRONG_LINES[saying])
    with pytest.raises(DataError, match=f"pairs.jsonl line 3: .*{saying}"):
        read_pairs(path)


@pytest.mark.parametrize(
    ("line", "saying"),
    [
        ("only one", "1 of 2 or 3 fields"),
        ("a\tb\tc\td", "4 of 2 or 3 fields"),
        ("a b\t ", "a sentence is empty"),
        ("a b\ta b", "the two sentences are the same, 'a b'"),
    ],
)
def test_wrong_lines_between_tabs_are_refused(write, line, saying):
    with pytest.raises(DataError, match=f"mine.tsv line 2: {saying}"):
        read_pairs(write("mine.tsv", "a\tb", line))


@pytest.mark.parametrize(
    ("files", "saying"),
    [
        ((["a b", "c d"], [1], ["1\tb\tx\t0"] * 2), "2 in s.text and 1 in s.eval and 2 in s.gold: give one line"),
        ((["a b"], [1], ["1\tb\tx"]), "line 1: the .gold file has 3 fields"),
        ((["a b"], [1], ["\t".join("p0010bbxyzz")]), "line 1: the .gold file has 11 fields"),
        ((["a b"], [2], ["2\tb\tx\t0"]), "line 1: the index 2 is outside the sentence of 2 words"),
        ((["a <eos>"], [1], ["1\ta\tx\t0"]), "line 1: the index 1 is outside the sentence of 1 words"),
        ((["a b"], [0], ["0\tb\tx\t0"]), "line 1: the word with index 0 is 'a', not 'b'"),
        ((["a b"], [1], ["0\tb\tx\t0"]), "line 1: the index is 1 in the .eval file and 0 in the .gold file"),
        ((["a b"], ["-1"], ["-1\tb\tx\t0"]), "line 1: the index in the .eval file is '-1'"),
        ((["a b"], [1], ["1\tb\tx\tmany"]), "line 1: the number of attractors is 'many'"),
        ((["a b"], [1], ["1\tb\t\t0"]), "line 1: '' is not one word"),
        (([], [], []), "is empty"),
    ],
)
def test_wrong_files_of_a_stem_are_refused(tmp_path, files, saying):
    with pytest.raises(DataError, match=saying):
        read_pairs(stem(tmp_path, *files))


def test_files_that_are_missing_empty_or_mixed_are_refused(write, tmp_path):
    for name in ("nothing", os.devnull):
        with pytest.raises(DataError, match="cannot find|is empty"):
            read_pairs(tmp_path / name)
    with pytest.raises(DataError, match="blank.tsv holds no minimal pairs"):
        read_pairs(write("blank.tsv", "", " "))
    with pytest.raises(DataError, match="is a directory"):
        read_pairs(tmp_path)
    with pytest.raises(DataError, match="no data to read"):
        read_pairs([])
    tabs, lines = write("a.tsv", "a\tb"), write("b.jsonl", json.dumps(BLIMP))
    with pytest.raises(DataError, match="a.tsv has sentences between tabs and .*b.jsonl JSON lines"):
        read_pairs([tabs, lines])
    indexed = stem(tmp_path, ["a b"], [1], ["1\tb\tx\t0"])
    (tmp_path / "s.gold").unlink()
    with pytest.raises(DataError, match="cannot find the file .*s.gold"):
        read_pairs(indexed)

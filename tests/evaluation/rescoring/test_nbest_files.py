"""N-best lists and references in all formats, what is written read back, and errors with their line."""

import json

import numpy as np
import pytest

from rnnlm_jax.errors import DataError, UserError
from rnnlm_jax.evaluation.rescoring import best_text, nbest_text, read_nbest, read_references

TABS = "u2\t-1.5\tthe cat\nu1\t-2\ta dog\nu2\t-3\t\nu1\t-2.5\tthe cat\n"
MOSES = (
    "0 ||| the cat ||| LM= -12.5 TM= -1 -2 ||| -3.25 ||| 0-0 1-1\n0 ||| a cat ||| LM= -13 TM= -1.5 -2 ||| -4\n"
    "7 ||| a dog ||| LM=-1 TM= -2 -3 ||| -5\n"
)
JSON = (
    '{"id": "u1", "scores": {"am": -1, "lm0": -2.5}, "text": "the cat"}\n'
    '{"id": "u1", "scores": {"am": -3, "lm0": -1.5}, "text": "le chât"}\n'
)


@pytest.fixture
def file(tmp_path):
    def write(text, name="list.txt"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def rows(nbest):
    names = [nbest.ids[i] for i in nbest.utterances]
    texts = [nbest.texts[i] for i in nbest.text]
    return list(zip(names, nbest.scores.tolist(), texts, strict=True))


def test_tabs_with_hypotheses_of_an_utterance_not_adjacent(file):
    nbest = read_nbest(file(TABS))
    assert nbest.ids == ("u2", "u1")
    assert rows(nbest) == [
        ("u2", [-1.5], "the cat"),
        ("u2", [-3.0], ""),
        ("u1", [-2.0], "a dog"),
        ("u1", [-2.5], "the cat"),
    ]
    assert nbest.texts == ("the cat", "a dog", "")  # distinct
    assert nbest.word_counts().tolist() == [2, 0, 2, 2]


@pytest.mark.parametrize("line", ["u1\t-1,-2.5\tthe cat", "u1\t-1\t-2.5\tthe cat", "u1\t-1, -2.5\tthe ||| cat"])
def test_several_scores_between_tabs(file, line):
    nbest = read_nbest(file(line))
    assert nbest.format == "tabs"
    assert nbest.scores.tolist() == [[-1.0, -2.5]]


def test_moses_features_and_total_are_scores(file):
    nbest = read_nbest(file(MOSES))
    assert nbest.score_names == ("LM", "TM", "TM", "total")
    assert rows(nbest)[0] == ("0", [-12.5, -1.0, -2.0, -3.25], "the cat")
    assert rows(nbest)[2] == ("7", [-1.0, -2.0, -3.0, -5.0], "a dog")


def test_json_lines_name_their_scores(file):
    nbest = read_nbest(file(JSON))
    assert nbest.score_names == ("am", "lm0")
    assert rows(nbest)[1] == ("u1", [-3.0, -1.5], "le chât")
    assert read_nbest(file('{"id": 3, "score": -1, "text": "a"}')).ids == ("3",)


def test_kaldi_with_files_of_scores(file):
    scores = [file("a-b-1 10.5\na-b-2 11\nc-1 3\nunused-1 0\n", "ac"), file("a-b-2 2\na-b-1 1\nc-1 0\n", "lm")]
    nbest = read_nbest(file("a-b-1 the cat\na-b-2\nc-1 a\n"), scores)
    assert nbest.score_names == ("ac", "lm")
    assert rows(nbest) == [("a-b", [10.5, 1.0], "the cat"), ("a-b", [11.0, 2.0], ""), ("c", [3.0, 0.0], "a")]


@pytest.mark.parametrize("text", [TABS, MOSES, JSON])
def test_a_written_list_is_read_back_with_one_more_score(file, text):
    nbest = read_nbest(file(text))
    order = np.arange(len(nbest))[::-1]
    order = order[np.argsort(nbest.utterances[order], kind="stable")]
    added, totals = -0.25 * np.arange(1, len(nbest) + 1), -np.arange(float(len(nbest)))
    again = read_nbest(file(nbest_text(nbest, order, lm_scores=added, totals=totals), "again"))
    assert (again.ids, again.format) == (nbest.ids, nbest.format)
    assert [row[2] for row in rows(again)] == [rows(nbest)[i][2] for i in order]
    if nbest.format == "moses":
        assert again.score_names == ("LM", "TM", "TM", "lm", "total")
        np.testing.assert_array_equal(again.scores[:, -1], totals[order])
        np.testing.assert_array_equal(again.scores[:, -2], added[order])
        np.testing.assert_array_equal(again.scores[:, :-2], nbest.scores[order, :-1])
    else:
        np.testing.assert_array_equal(again.scores, np.column_stack([nbest.scores, added])[order])
    if nbest.format == "json lines":
        assert (
            json.loads(nbest_text(nbest, order, lm_scores=added, totals=totals).splitlines()[0])["total"]
            == totals[order[0]]
        )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"id": "u", "scores": {"lm": -1, "am": -2}, "text": "a"}\n', ("lm", "am", "lm2")),
        ("u ||| a ||| lm= -1 lm2= -2 ||| -3\n", ("lm", "lm2", "lm3", "total")),
    ],
)
def test_a_score_with_the_same_name_is_kept(file, text, names):
    nbest = read_nbest(file(text))
    again = read_nbest(
        file(nbest_text(nbest, np.arange(1), lm_scores=np.array([-0.5]), totals=np.array([-3.0])), "again")
    )
    assert again.score_names == names
    assert [*again.scores[0, :2], -0.5] == [*nbest.scores[0, :2], again.scores[0, 2]]


def test_the_best_hypotheses_have_the_format_of_references(file):
    nbest = read_nbest(file(TABS))
    path = file(best_text(nbest, np.array([1, 2])), "best")
    assert read_references([path]) == {"u2": "", "u1": "a dog"}


def test_references_with_tabs_or_spaces_in_several_files(file):
    one, two = file("u1\tthe  cat\n\nu2 \t a\n", "one"), file("u3 a dog ran\nu4\nu1 the  cat\n", "two")
    assert read_references([one, two]) == {"u1": "the  cat", "u2": "a", "u3": "a dog ran", "u4": ""}
    with pytest.raises(DataError, match=r"two line 1: a second reference for 'u1'"):
        read_references([one, file("u1 other\n", "two")])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ('{"id": 1, "scores": 1, "text": "a\\nb"}\n', "line 1: 'text' has several lines or columns"),
        ('{"id": "1\\t2", "scores": 1, "text": "a"}\n', "line 1: 'id' has several lines or columns"),
        ('{"id": 1, "scores": 1' + "0" * 400 + ', "text": "a"}\n', "is not a score"),
        ("\n \n", "holds no hypotheses"),
        ("u1\tthe cat\n", "line 1: 2 of 3 columns"),
        ("u1\t-1\ta\nu1\ta\n", "line 2: 2 of 3 columns"),
        ("u1\t-1\ta\n\nu1\t-1,-2\ta\n", "line 3: 2 scores where the first line has 1"),
        ("u1\tnan\ta\n", "line 1: 'nan' is not a score: give a finite number"),
        ("u1\t-1\ta\nu1\t-inf\ta\n", "line 2: '-inf' is not a score"),
        ("u1\t-1,\ta\n", "line 1: '' is not a score: give a number"),
        ("\t-1\ta\n", "line 1: no utterance id"),
        ("u1\t-1\ta\n0 ||| a ||| LM= 1 ||| 2\n", "line 2: 1 of 3 columns"),
        ("0 ||| a ||| LM= 1 ||| 2\nu1\t-1\ta\n", "line 2: 1 of 4 fields"),
        (
            "0 ||| a ||| LM= 1 ||| 2\n0 ||| a ||| TM= 1 ||| 2\n",
            "line 2: scores are TM, total, in the first line LM, total",
        ),
        ("0 ||| a ||| LM= x ||| 2\n", "line 1: 'x' is not a score"),
        ("0 ||| a ||| ||| \n", "line 1: '' is not a score"),
        ('{"id": "u", "text": "a"}\n', "line 1: no 'scores'"),
        ('{"id": "u", "text": "a", "scores": []}\n', "line 1: no 'scores'"),
        ('{"id": "u", "text": "a", "scores": [true]}\n', "line 1: True is not a score"),
        ('{"id": "u", "text": "a", "scores": [NaN]}\n', "line 1: nan is not a score"),
        ('{"id": "u", "scores": 1}\n', "line 1: no 'text'"),
        ('{"id": "u", "text": "a", "scores": 1}\n{"id"\n', "line 2: not JSON"),
        ('{"id": "u", "text": "a", "scores": 1}\n[1]\n', "line 2: not a JSON object"),
        ("u1-1 the cat\n", "line 1: no scores: give id, score"),
    ],
)
def test_errors_name_the_file_and_the_line(file, text, complaint):
    with pytest.raises(UserError) as caught:
        read_nbest(file(text))
    assert complaint in str(caught.value)
    assert "list.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "scores", "complaint"),
    [
        ("u-1 a\nu-2 b\n", "u-1 1\n", "scores has no score of 'u-2', "),
        ("u-1 a\nu-1 b\n", "u-1 1\n", "line 2: 'u-1' for the second time"),
        ("u1 a\n", "u1 1\n", "line 1: 'u1' is not an utterance and rank"),
        ("u-1 a\nu\t1\ta\n", "u-1 1\n", "line 2: 'u' is not an utterance and rank"),
        ("u-1 a\n", "u-1 1 2\n", "scores line 1: 3 words"),
        ("u-1 a\n", "u-1 nan\n", "scores line 1: 'nan' is not a score"),
        ("u-1 a\n", "u-1 1\nu-1 1\n", "scores line 2: a second score of 'u-1'"),
        ("u\t1\ta\n", "u-1 1\n", "has scores of its own"),
    ],
)
def test_errors_of_kaldi_lists(file, text, scores, complaint):
    with pytest.raises(DataError) as caught:
        read_nbest(file(text), [file(scores, "scores")])
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "text", ["u\t-1\ta b\n", "u ||| a b ||| x= -1\n", '{"id": "u", "scores": -1, "text": "a b"}\n']
)
def test_a_byte_order_mark_is_ignored(file, text):
    nbest = read_nbest(file("\ufeff" + text))
    assert (nbest.ids, nbest.texts, nbest.scores.tolist()) == (("u",), ("a b",), [[-1.0]])
    assert read_references([file("\ufeffu\ta b\n", "refs")]) == {"u": "a b"}
    kaldi = read_nbest(file("\ufeffu-1 a b\n", "kaldi"), [file("\ufeffu-1 -1\n", "scores")])
    assert (kaldi.ids, kaldi.texts, kaldi.scores.tolist()) == (("u",), ("a b",), [[-1.0]])


@pytest.mark.parametrize(
    "line",
    [
        r'{"id": "u", "scores": -1, "text": "a \ud800 b"}',
        r'{"id": "u\udfff", "scores": -1, "text": "a"}',
        r'{"id": "u", "scores": {"a\ud83d": -1}, "text": "a"}',
    ],
)
def test_half_a_surrogate_pair_is_an_error(file, line):
    good = r'{"id": "u", "scores": -1, "text": "a \ud83d\ude00 b"}'
    assert read_nbest(file(good + "\n")).texts == ("a \U0001f600 b",)
    with pytest.raises(DataError, match=r"line 2: '\\ud[0-9a-f]{3}' is half of a surrogate pair"):
        read_nbest(file(good + "\n" + line + "\n"))

"""Spellings are the words' bytes between marks, and equal only if all of them are."""

import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.inputs.spellings import BEGIN, END, PAD, Spellings


def test_bytes_between_marks():
    spellings = Spellings(["ab", "", "ñ", "\ud800"])
    assert spellings.lengths.tolist() == [4, 2, 4, 5]
    assert spellings.table[0].tolist() == [BEGIN, *b"ab", END, PAD]
    assert spellings.table[1].tolist() == [BEGIN, END, PAD, PAD, PAD]
    assert spellings.table[2].tolist() == [BEGIN, *"ñ".encode(), END, PAD]
    assert not spellings.table.flags.writeable


def test_long_words_are_cut_and_keep_their_end():
    spellings = Spellings(["abcdef", "abcxyz", "a"], max_length=5)
    assert spellings.table.tolist() == [[BEGIN, *b"abc", END]] * 2 + [[BEGIN, *b"a", END, PAD, PAD]]


def test_no_text_contains_the_marks():
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000), 0x10FFFF]))
    assert not {BEGIN, END, PAD} & set(text.encode())
    assert len({BEGIN, END, PAD}) == 3


def test_equal_by_content():
    one, same = Spellings(["ab", "c"]), Spellings(("ab", "c"), max_length=9)
    assert one == same
    assert hash(one) == hash(same)
    for other in (Spellings(["c", "ab"]), Spellings(["ab"]), Spellings(["ab", "d"]), Spellings(["ab", "c", "d"])):
        assert one != other
    assert one != "ab"
    assert "2 tokens" in repr(one)


@pytest.mark.parametrize("length", [2, 0, -1, 3.5, True, "long"])
def test_no_room_for_a_character(length):
    with pytest.raises(UserError, match="`max_length` must be at least 3"):
        Spellings(["a"], length)


def test_nothing_to_spell():
    with pytest.raises(UserError, match="`tokens` is empty"):
        Spellings([])


def test_the_table_is_small():
    assert Spellings(["word"] * 1000).table.nbytes == 6000
    assert Spellings(["word"]).table.dtype == np.uint8

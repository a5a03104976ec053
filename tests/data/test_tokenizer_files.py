"""Reading the `tokenizer.json` of other libraries: what is used of it, and which are refused."""

import json

import numpy as np
import pytest

pytest.importorskip("tokenizers")

import tokenizers

from rnnlm_jax.data import Vocabulary, build_vocabulary, read_tokenizer, require_in_vocabulary
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.perplexity import evaluation_from_nll

LINES = ["the cat sat on the mat", "a dog ran to the cat", "", "the mat is on a dog ", " ran  the <eos> café 中文"]
VOCABULARY = build_vocabulary(LINES, "subword", max_size=300)


def saved(tokenizer, folder, **changes):
    """A tokenizer.json, with entries changed."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(tokenizer.to_str()) | changes), encoding="utf-8")
    return path


def word_pieces():
    """A lossy tokenizer: it lower-cases and drops white space."""
    pieces = ["[UNK]", "[SEP]", "the", "cat", "##s", "sat"]
    found = tokenizers.Tokenizer(tokenizers.models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    found.normalizer = tokenizers.normalizers.Lowercase()
    found.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    found.decoder = tokenizers.decoders.WordPiece()
    return found


def test_equal_tokenizers_are_equal_vocabularies(tmp_path):
    """However the file is laid out, and whatever it says of batches, templates and dropout."""
    tokenizer = tokenizers.Tokenizer.from_str(VOCABULARY.tokenizer)
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    tokenizer.post_processor = tokenizers.processors.ByteLevel()
    tokenizer.model.dropout = 0.5
    tokenizer.save(str(tmp_path / "tokenizer.json"), pretty=True)
    found = read_tokenizer(tmp_path / "tokenizer.json")
    assert found.content_hash == VOCABULARY.content_hash
    assert found.encode(LINES).lossy_lines == 0


def test_special_tokens_are_not_recognised_in_a_text(tmp_path):
    tokenizer = tokenizers.Tokenizer.from_str(VOCABULARY.tokenizer)
    tokenizer.add_special_tokens(["<eos>", "[PAD]"])
    found = read_tokenizer(saved(tokenizer, tmp_path))
    assert found.size == VOCABULARY.size + 2 and found.eos == VOCABULARY.eos  # a newline goes before others
    text = found.encode(LINES)
    assert text.lossy_lines == 0 and not {found.index["<eos>"], found.index["[PAD]"]} & set(text.tokens.tolist())


def test_lossy_lines_are_counted(tmp_path):
    found = read_tokenizer(saved(word_pieces(), tmp_path))
    assert (found.unk, found.eos) == ("[UNK]", "[SEP]")
    text = found.encode(["the cat sat", "The cats", "", "the dog dog"])
    assert [found.tokens[i] for i in text.tokens[4:8]] == ["the", "cat", "##s", "[SEP]"]
    assert (text.lossy_lines, text.oov, text.words) == (2, 2, 12)
    shown = evaluation_from_nll(np.ones(len(text)), text, found.describe())
    assert "2 OOV, 2 lines do NOT come back from their tokens, not comparable with an open vocabulary" in str(shown)
    assert shown.summary()["open_vocabulary"] is False
    with pytest.raises(DataError, match="none of the 2 tokens of news is in the vocabulary"):
        require_in_vocabulary(found.encode(["xx yy"]), found, "news")


def test_unigram_tokenizers(tmp_path):
    """As SentencePiece has them: the unknown token is a number, and a space is written as one."""
    pieces = [("<unk>", 0.0), ("</s>", -9.0), ("\u2581", -1.5), ("a", -2.0), ("b", -2.0), ("\u2581ab", -2.5)]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.decoder = tokenizers.decoders.Metaspace()
    found = read_tokenizer(saved(tokenizer, tmp_path))
    assert (found.unk, found.eos) == ("<unk>", "</s>")
    text = found.encode(["ab ba", "ab c"])
    assert text.oov == 1 and text.lossy_lines == 1
    assert found.decode(text.tokens[:5]) == "ab ba\n"


def test_a_line_that_the_tokenizer_refuses_is_named(tmp_path):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"the": 0, "</s>": 1}, unk_token="[UNK]"))
    found = read_tokenizer(saved(tokenizer, tmp_path))
    with pytest.raises(DataError, match=r"cannot encode line 2 \(.*Missing \[UNK\]"):
        found.encode(["the", "cat"])
    with pytest.raises(DataError, match="cannot encode a line"):
        found.encode_line("cat")


def test_files_that_are_not_tokenizers_are_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    whole = json.loads(VOCABULARY.tokenizer)
    model = whole["model"]
    few = {token: i for token, i in model["vocab"].items() if i < 256}
    for content, saying in (
        (VOCABULARY.tokenizer[:-20], "is not a tokenizer.json"),
        ("[]", "is not a tokenizer.json"),
        (json.dumps(whole | {"model": {}}), "cannot be read"),
        (json.dumps(whole | {"model": model | {"vocab": few}}), "cannot be read"),  # merges of what is not there
        (json.dumps(whole | {"model": model | {"vocab": {}, "merges": []}}), "has no tokens"),
        (json.dumps(whole | {"model": model | {"vocab": {"a": 0, "\u010a": 2}, "merges": []}}), "are not 0 to 1"),
        (json.dumps(whole | {"model": model | {"vocab": {"a": 0}, "merges": []}}), "no token that could end a line"),
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=saying) as caught:
            read_tokenizer(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(DataError, match="cannot find the tokenizer file"):
        read_tokenizer(tmp_path / "none.json")
    with pytest.raises(DataError, match="is a directory"):
        read_tokenizer(tmp_path)
    path.write_text(VOCABULARY.tokenizer)
    with pytest.raises(DataError, match="give a tokenizer.json as `tokenizer`"):
        Vocabulary.load(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_skipped(tmp_path, encoding):
    path = tmp_path / "tokenizer.json"
    path.write_text(VOCABULARY.tokenizer, encoding=encoding)
    assert read_tokenizer(path) == VOCABULARY


def test_lone_surrogates_are_refused(tmp_path):
    with pytest.raises(DataError, match="at character 2 is not a character"):
        VOCABULARY.encode_line("a\udcff")
    content = json.loads(VOCABULARY.tokenizer)
    content["added_tokens"] = []
    content["model"]["vocab"]["\ud800"] = len(content["model"]["vocab"])
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="cannot be read"):
        read_tokenizer(tmp_path / "tokenizer.json")

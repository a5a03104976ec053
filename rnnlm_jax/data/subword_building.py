"""Vocabularies of subwords: byte pair encoding learned from a text, or the tokenizer of a `tokenizer.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rnnlm_jax.data.subwords import BYTE_LEVEL_NEWLINE, import_tokenizers, load_tokenizer
from rnnlm_jax.data.vocabulary import Vocabulary
from rnnlm_jax.errors import ArgumentError, DataError, UserError
from rnnlm_jax.system.input_files import read_input

#: Default number of subwords.
DEFAULT_SIZE = 8000
#: Number of subwords before the first merge.
BYTES = 256
#: Tokens that may stand for a newline: itself, in GPT-2's byte alphabet, as a byte of SentencePiece.
_NEWLINES = ("\n", BYTE_LEVEL_NEWLINE, "<0x0A>")
#: End-of-line tokens of tokenizers without a newline token, in order of preference.
_EOS_CANDIDATES = ("</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>", "[EOS]", "[SEP]")
#: Parts of a tokenizer.json that concern batches and templates and do not change the subwords of a line.
_UNUSED = {"truncation": None, "padding": None, "post_processor": None}


def train_byte_pairs(lines: Iterable[str], max_size: int | None = None, min_count: int = 1) -> Vocabulary:
    r"""Learn byte-level byte pair encoding (BPE): 256 bytes, then merges of the most frequent pairs.

    Sennrich et al. 2016, section 3.2, on the bytes of words split as in GPT-2 (Radford et al. 2019, section 2.2), where
    a word includes the space before it. Every text can be encoded, and decoding reproduces it. The end-of-line token
    is the newline byte, which is never merged. The same lines give the same vocabulary.

    Args:
        lines: training text, without newlines.
        max_size: maximum number of subwords, bytes included; default: `DEFAULT_SIZE`.
        min_count: do not merge subword pairs seen fewer times.

    Raises:
        ArgumentError: `max_size` is below 256.
        DataError: the text has no characters, or `tokenizers` is not installed.
    """
    size = DEFAULT_SIZE if max_size is None else max_size
    if size < BYTES:
        raise ArgumentError(f"a vocabulary of {size} has no room for the {BYTES} bytes of subwords: give a larger size")
    tokenizers = import_tokenizers()
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, min_frequency=min_count, show_progress=False, initial_alphabet=sorted(alphabet)
    )
    tokenizer.train_from_iterator(_require_not_empty(lines), trainer)
    return vocabulary_from_tokenizer(json.loads(tokenizer.to_str()), "the tokenizer of the text")


def read_tokenizer(path: str | Path) -> Vocabulary:
    r"""Return the vocabulary of a `tokenizer.json` of Hugging Face's `tokenizers`.

    The ids are those of the file. The end-of-line token is the tokenizer's newline if it has one, else the first of
    `</s>`, `<eos>`, `<|endoftext|>`, `<|end_of_text|>`, `[EOS]`, `[SEP]` in its vocabulary. Templates, truncation,
    padding and dropout are ignored, and special tokens are never recognised in a text.

    Raises:
        DataError: the file cannot be read, is not a tokenizer, its ids have gaps, it has no token to end a line, or
            `tokenizers` is not installed.
    """
    wrong = DataError(f"{path} is not a tokenizer.json of Hugging Face tokenizers: save one with Tokenizer.save(path)")
    text = read_input(path, "tokenizer file")
    try:
        content = json.loads(text)  # bytes in any Unicode encoding, with or without a byte order mark
    except (ValueError, RecursionError):  # not JSON, or not text
        raise wrong from None
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise wrong
    return vocabulary_from_tokenizer(content, str(path))


def vocabulary_from_tokenizer(content: dict[str, Any], name: str) -> Vocabulary:
    """Return the vocabulary of a parsed `tokenizer.json`; `name` is its name in error messages.

    Raises:
        DataError: as `read_tokenizer`.
    """
    model: dict[str, Any] = dict(content["model"])
    if "dropout" in model:
        model["dropout"] = None  # a text must have one encoding
    # A canonical form, so that equal tokenizers give equal vocabularies.
    text = json.dumps(content | _UNUSED | {"model": model}, sort_keys=True, separators=(",", ":"))
    try:
        tokenizer = load_tokenizer(text)
    except UserError as error:
        raise DataError(f"{name}: {error}") from error
    index = tokenizer.get_vocab(with_added_tokens=True)
    if not index:
        raise DataError(f"{name} has no tokens: give a trained tokenizer")
    if sorted(index.values()) != list(range(len(index))):
        raise DataError(f"the ids of {name} are not 0 to {len(index) - 1}, each once: number them so")
    tokens = tuple(sorted(index, key=index.__getitem__))
    unk = _unknown(model)
    unk = unk if unk in index else None
    newline = (token for token in _NEWLINES if token in index and tokenizer.decode([index[token]], False) == "\n")
    eos = next(newline, None) or next((token for token in _EOS_CANDIDATES if token in index and token != unk), None)
    if eos is None:
        raise DataError(
            f"{name} has no token that could end a line: add a newline or one of {', '.join(_EOS_CANDIDATES)} to it"
        )
    vocabulary = Vocabulary("subword", tokens, unk, eos, text)
    vars(vocabulary)["subword_tokenizer"] = tokenizer  # the cached property, so that the text is parsed once
    return vocabulary


def _unknown(model: dict[str, Any]) -> str | None:
    """Return the unknown token of a tokenizer's model."""
    if model.get("unk_id") is not None:  # of a Unigram model, a number
        return model["vocab"][model["unk_id"]][0]
    return model.get("unk_token")


def _require_not_empty(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines.

    Raises:
        DataError: after the last line, if all were empty.
    """
    empty = True
    for line in lines:
        empty = empty and not line
        yield line
    if empty:
        raise DataError("the text has no tokens to build a vocabulary from: give a text that is not empty")

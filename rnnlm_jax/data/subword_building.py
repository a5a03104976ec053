"""Vocabularies of subwords: byte pairs merged by their counts in a text, or whatever a `tokenizer.json` says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rnnlm_jax.data.subwords import BYTE_LEVEL_NEWLINE, import_tokenizers, opened
from rnnlm_jax.data.vocabulary import Vocabulary
from rnnlm_jax.errors import DataError, UserError
from rnnlm_jax.system.input_files import read_input

#: Subwords that are made where nobody says how many.
DEFAULT_SIZE = 8000
#: What is there before the first merge.
BYTES = 256
#: How tokenizers may write a newline: as itself, in GPT-2's alphabet of bytes, as a byte of SentencePiece.
_NEWLINES = ("\n", BYTE_LEVEL_NEWLINE, "<0x0A>")
#: What ends a line where a tokenizer has no newline, in this order.
_EOS_CANDIDATES = ("</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>", "[EOS]", "[SEP]")
#: Parts of a tokenizer.json that are about batches and templates, not about what a line's subwords are.
_UNUSED = {"truncation": None, "padding": None, "post_processor": None}


def train_byte_pairs(lines: Iterable[str], max_size: int | None = None, min_count: int = 1) -> Vocabulary:
    r"""Return the byte-level BPE vocabulary of a text: 256 bytes, then merges of the pairs seen most often.

    Sennrich et al. 2016, section 3.2, on the bytes of words cut as GPT-2 does (Radford et al. 2019, section 2.2), where
    a word takes the space before it. No text is unknown, and every text comes back from its subwords. Lines are ended
    by the newline's own byte, which no merge can hold. The same lines give the same vocabulary.

    Args:
        lines: the training text, without newlines.
        max_size: subwords to stop at, bytes included; `DEFAULT_SIZE` unless given.
        min_count: pairs seen less often are not merged.

    Raises:
        DataError: a size below 256, a text without characters, or `tokenizers` is not installed.
    """
    size = DEFAULT_SIZE if max_size is None else max_size
    if size < BYTES:
        raise DataError(
            f"a vocabulary of {size} has no room for the {BYTES} bytes that subwords are made of: give more"
        )
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
    r"""Return the vocabulary of a `tokenizer.json`, as Hugging Face's `tokenizers` writes it.

    The ids are the file's. A line is ended by the tokenizer's newline if it has one, else by the first of `</s>`,
    `<eos>`, `<|endoftext|>`, `<|end_of_text|>`, `[EOS]`, `[SEP]`; templates, truncation, padding and dropout are left
    out. Special tokens are never read out of a text.

    Raises:
        DataError: there is no such file, it is no tokenizer, its ids have gaps, it cannot end a line, or `tokenizers`
            is not installed.
    """
    wrong = DataError(f"{path} is no tokenizer.json of Hugging Face tokenizers: save one with Tokenizer.save(path)")
    text = read_input(path, "tokenizer file")
    try:
        content = json.loads(text)  # of bytes, in any of Unicode's encodings, after a byte order mark or not
    except (ValueError, RecursionError):  # no JSON, or not even text
        raise wrong from None
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise wrong
    return vocabulary_from_tokenizer(content, str(path))


def vocabulary_from_tokenizer(content: dict[str, Any], name: str) -> Vocabulary:
    """Return the vocabulary of a parsed `tokenizer.json`; errors call it `name`.

    Raises:
        DataError: as `read_tokenizer`.
    """
    model: dict[str, Any] = dict(content["model"])
    if "dropout" in model:
        model["dropout"] = None  # a text must have one encoding
    # Written in one way, whoever wrote it before: equal tokenizers are equal vocabularies.
    text = json.dumps(content | _UNUSED | {"model": model}, sort_keys=True, separators=(",", ":"))
    try:
        tokenizer = opened(text)
    except UserError as error:
        raise DataError(f"{name}: {error}") from error
    index = tokenizer.get_vocab(with_added_tokens=True)
    if not index:
        raise DataError(f"{name} has no tokens: give a tokenizer that was trained")
    if sorted(index.values()) != list(range(len(index))):
        raise DataError(f"the ids of {name} are not 0 to {len(index) - 1}, each once: number them so")
    tokens = tuple(sorted(index, key=index.__getitem__))
    unk = _unknown(model)
    unk = unk if unk in index else None
    newline = (token for token in _NEWLINES if token in index and tokenizer.decode([index[token]], False) == "\n")
    eos = next(newline, None) or next((token for token in _EOS_CANDIDATES if token in index and token != unk), None)
    if eos is None:
        raise DataError(
            f"{name} has no token that could end a line: add a newline or one of {', '.join(_EOS_CANDIDATES)} to its vocabulary"
        )
    return Vocabulary("subword", tokens, unk, eos, text)


def _unknown(model: dict[str, Any]) -> str | None:
    """Return what a tokenizer's model says for what it cannot cut."""
    if model.get("unk_id") is not None:  # Unigram's, a number
        return model["vocab"][model["unk_id"]][0]
    return model.get("unk_token")


def _require_not_empty(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines.

    Raises:
        DataError: at the end, if none had a character.
    """
    empty = True
    for line in lines:
        empty = empty and not line
        yield line
    if empty:
        raise DataError("the text has no tokens to build a vocabulary from: give a text that is not empty")

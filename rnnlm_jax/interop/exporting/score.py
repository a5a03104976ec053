"""Score a text with an exported language model, with jax, NumPy, and the files beside this one.

python score.py FILE [--tokens] [--json]
"""

import argparse
import gzip
import hashlib
import io
import json
import math
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

FOLDER = Path(__file__).resolve().parent
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
#: Types of safetensors that a model here may have.
TYPES = {"F64": "<f8", "F32": "<f4", "I32": "<i4"}


class Refused(Exception):
    """An error that is reported in one line."""


def read_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file: eight bytes of length, a header in JSON, and the data."""
    content = np.memmap(path, np.uint8, "r")
    length = int(content[:8].view("<u8")[0])
    header: dict[str, Any] = json.loads(content[8 : 8 + length].tobytes())
    header.pop("__metadata__", None)
    arrays = {}
    for name, about in header.items():
        begin, end = (8 + length + offset for offset in about["data_offsets"])
        # Copied, because the data need not be aligned.
        arrays[name] = np.frombuffer(content[begin:end].tobytes(), TYPES[about["dtype"]]).reshape(about["shape"])
    return arrays


def read_program(path: Path) -> Any:
    """Return a program of ``jax.export``, ready to be called."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))  # for flatbuffers, in case it is not installed
    from jax import export

    return export.deserialize(bytearray(path.read_bytes()))


def check(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder, after checking the digests of its files."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
        for name, written in manifest["sha256"].items():
            if not name.endswith((".jax", ".safetensors", ".json")):
                continue  # may be edited
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != written:
                raise Refused(f"{folder / name} is damaged: restore it from a copy, or export the model again")
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"{folder / 'manifest.json'} is damaged: export the model again") from error
    return manifest


def lines_of(path: str) -> Iterator[str]:
    """Yield the lines of a UTF-8 text, plain or gzip, without their ends, \\n or \\r\\n."""
    offset = 0
    with open(path, "rb") as packed:
        zipped = packed.peek(len(GZIP)).startswith(GZIP)
        file: io.BufferedIOBase = gzip.GzipFile(fileobj=packed) if zipped else packed
        for raw in file:
            line = raw.removesuffix(b"\n").removesuffix(b"\r")
            if offset == 0:
                line = line.removeprefix(BYTE_ORDER_MARK)
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError:
                raise Refused(f"{path} is not UTF-8 (in the line at byte {offset}): convert it") from None
            offset += len(raw)


def words(line: str) -> list[str]:
    """Return the words between ASCII white space; other spaces, such as U+00A0, are characters of words."""
    return [word.decode() for word in line.encode().split()]


def splitter(vocabulary: dict[str, Any], path: str) -> Callable[[str, int], list[int]]:
    """Return a function from a line and its number to token ids; unknown tokens are -1 if there is an <unk>."""
    level = vocabulary["level"]
    if level == "subword":
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise Refused("this model reads subwords: pip install tokenizers, which splits text into them") from None
        tokenizer = Tokenizer.from_str(vocabulary["tokenizer"])
        tokenizer.encode_special_tokens = True
        return lambda line, number: tokenizer.encode(line, add_special_tokens=False).ids
    if level not in ("word", "char", "byte"):
        raise Refused(f"a vocabulary of level {level!r} is of a later version: use its own score.py")
    index = {token: number for number, token in enumerate(vocabulary["tokens"])}

    def split(line: str, number: int) -> list[int]:
        tokens = words(line) if level == "word" else line.encode().decode("latin-1") if level == "byte" else line
        ids = [index.get(token, -1) for token in tokens]
        if vocabulary["unk"] is None and -1 in ids:
            word = tokens[ids.index(-1)]
            raise Refused(f"{word!r} in line {number} of {path} is not in the vocabulary, which has no unknown token")
        return ids

    return split


def encode(path: str, vocabulary: dict[str, Any]) -> tuple[np.ndarray, int]:
    """Return the token ids of a text, each line with its end, and the number of unknown tokens."""
    split, tokens = splitter(vocabulary, path), vocabulary["tokens"]
    unk, end = (-1 if vocabulary[role] is None else tokens.index(vocabulary[role]) for role in ("unk", "eos"))
    no_token = unk if vocabulary["level"] == "subword" else -1  # a word <unk> in the text is a known word
    ids: list[int] = []
    unknown = content = 0
    for number, line in enumerate(lines_of(path), 1):
        found = split(line, number)
        content += len(found)
        unknown += found.count(no_token)
        ids += found if end < 0 else [*found, end]
    if not content:
        raise Refused(f"{path} is empty: give a text with at least one token")
    if unknown == content:
        raise Refused(f"none of the {content:,} tokens of {path} is in the vocabulary: give a text of its language")
    found = np.array(ids, np.int32)
    return np.where(found < 0, np.int32(unk), found), unknown


def token_nats(folder: Path, manifest: dict[str, Any], tokens: np.ndarray) -> np.ndarray:
    """Return ``-log P`` of every token in nats, of the text as one stream with carried state."""
    if manifest["x64"]:
        jax.config.update("jax_enable_x64", True)
    program = read_program(folder / "score.jax")
    score = jax.jit(program.call, donate_argnums=1)
    params = jax.device_put(read_tensors(folder / "model.safetensors"))
    state = jax.device_put(read_tensors(folder / "state.safetensors"))
    window = min(manifest["window"], 1 << (len(tokens) - 1).bit_length())
    inputs = np.concatenate([np.array([manifest["start_token"]], np.int32), tokens[:-1]])
    padding = (0, -len(tokens) % window)
    parts = []
    for some, goals in zip(*(np.pad(a, padding).reshape(-1, window, 1) for a in (inputs, tokens)), strict=True):
        state, nats = score(params, state, some, goals)
        parts.append(nats)
    return np.concatenate([np.asarray(part, np.float64)[:, 0] for part in parts])[: len(tokens)]


def main() -> None:
    """Print nats and perplexity of a text."""
    parser = argparse.ArgumentParser(description="Nats and perplexity of a text under an exported language model.")
    parser.add_argument("file", metavar="FILE", help="a UTF-8 text, plain or gzip")
    parser.add_argument("--tokens", action="store_true", help="print the nats of each token too")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object, the last line")
    arguments = parser.parse_args()
    manifest = check(FOLDER)
    vocabulary = json.loads((FOLDER / "vocabulary.json").read_bytes())
    tokens, unknown = encode(arguments.file, vocabulary)
    nats = token_nats(FOLDER, manifest, tokens)
    if arguments.tokens:
        for token, value in zip(tokens.tolist(), nats.tolist(), strict=True):
            print(f"{value:12.4f}  {vocabulary['tokens'][token]!r}")
    total = math.fsum(nats)
    mean = total / len(tokens)
    perplexity = math.exp(mean) if mean < 709 else math.inf
    policy = manifest["vocabulary"]["policy"]
    print(f"perplexity {perplexity:.3f}  ({total:.2f} nats over {len(tokens):,} tokens; {unknown:,} OOV; {policy})")
    if arguments.json:
        figures = {"perplexity": perplexity, "nats": total, "tokens": len(tokens), "oov": unknown}
        print(json.dumps(figures | ({"token_nats": nats.tolist()} if arguments.tokens else {})))


def fail(message: str) -> NoReturn:
    """End with one line and exit code 2."""
    print(f"score.py: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):  # characters that the terminal lacks are printed escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        main()
        sys.stdout.flush()
    except Refused as error:
        fail(str(error))
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except (EOFError, zlib.error) as error:
        fail(f"the text is damaged ({error}): compress it again")
    except OSError as error:
        fail(f"{error.filename or ''}: {error.strerror or error}; check the path and its permissions")
    except (ValueError, RuntimeError) as error:  # of jax: programs of other versions or platforms, too little memory
        fail(
            f"jax {jax.__version__} cannot run this ({str(error)[:300]}): see README.md for its versions and platforms"
        )

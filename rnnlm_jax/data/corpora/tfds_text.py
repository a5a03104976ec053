"""Text data sets of TensorFlow Datasets (TFDS) as corpora, without TensorFlow."""

from __future__ import annotations

import os
import socket
import urllib.request
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tensorflow_datasets as tfds

from rnnlm_jax.data.corpora.benchmark_texts import DATA_VARIABLE
from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.data.corpora.text_files import SPLIT_NAMES
from rnnlm_jax.data.corpora.tfds_cache import is_prepared, prepare, read_feature
from rnnlm_jax.data.corpora.tfds_local import LOCAL_BUILDERS, has_local_text
from rnnlm_jax.data.corpora.tfds_records import TextRecords
from rnnlm_jax.errors import DataError
from rnnlm_jax.system.cache_root import cache_root

_TRAIN_END = "99%"  # end of train and start of valid, for data sets without a validation split
_CHARACTER_LEVEL = {"tiny_shakespeare"}


def tfds_corpus(name: str, data_dir: str | Path | None = None) -> Corpus:
    """Return the corpus of a TFDS text data set, e.g. `tiny_shakespeare`, `lm1b` or `some_dataset/config`.

    A data set prepared as array records in `data_dir` (default: `$RNNLM_JAX_DATA`) or in the cache folder is read from
    there; otherwise it is prepared in the cache folder. Examples with newlines become several lines. The split
    `validation` becomes `valid`; without it, `valid` is the last 1 % of train.

    Raises:
        DataError: the data set is unknown, has no text feature or training split, or can be neither found nor prepared.
    """
    root = data_dir or os.environ.get(DATA_VARIABLE)
    folder = None if root is None else Path(root)
    builder = _builder(name, folder)
    if not is_prepared(builder):
        steps = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        if steps and folder is None:
            raise DataError(f"{name} needs a manual directory, given as `data_dir`: {' '.join(steps.split())}")
        if not has_local_text(builder, folder):
            _require_network(builder)
        prepare(builder, manual_dir=folder)
    feature = _text_feature(builder)
    selections = _selections(name, builder.info.splits)
    splits = {split: partial(_lines, builder, selection, feature) for split, selection in selections.items()}
    folder_of_records = str(builder.data_path)
    records = {split: TextRecords(folder_of_records, selection, feature) for split, selection in selections.items()}
    level = "char" if builder.name in _CHARACTER_LEVEL else "word"
    return Corpus(f"tfds:{name}", level, splits, records=records)


def _builder(name: str, folder: Path | None) -> Any:
    """Return the builder of the data set in the folder if it is prepared there, else of that in the cache folder."""
    try:
        make = LOCAL_BUILDERS.get(name) or partial(tfds.builder, name)
        if folder is not None:
            builder = make(data_dir=folder, file_format="array_record")
            if is_prepared(builder):
                return builder
        return make(data_dir=cache_root(), file_format="array_record")
    except tfds.core.DatasetNotFoundError:
        raise DataError(f"TFDS has no data set {name!r}: see the names at tensorflow.org/datasets/catalog") from None
    except ImportError as error:
        raise DataError(f"the TFDS data set {name} needs {error.name}: install it") from error
    except ValueError as error:  # unknown configuration, or files in another format
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"the TFDS data set {name} cannot be used ({reason}): check its name and files") from error


def _require_network(builder: Any) -> None:
    """Check that the hosts of a download can be resolved; without network TFDS would retry for minutes.

    Nothing is checked behind a proxy, where names need not resolve.
    """
    hosts = {urlsplit(url).hostname for url in builder.url_infos or ()}
    if urllib.request.getproxies():
        return
    for host in sorted(filter(None, hosts)):
        try:
            socket.getaddrinfo(host, 443)
        except OSError:
            raise DataError(
                f"the TFDS data set {builder.name} must be downloaded from {host}, which cannot be reached: "
                "prepare it where there is a network and give its TFDS folder as `data_dir`"
            ) from None


def _text_feature(builder: Any) -> str:
    """Return the name of the text feature: `text`, or the only one."""
    features = builder.info.features
    texts = [name for name, feature in features.items() if isinstance(feature, tfds.features.Text)]
    if "text" in texts:
        return "text"
    if len(texts) != 1:
        found = f"{len(texts)} text features ({', '.join(texts)})" if texts else "no text feature"
        raise DataError(f"the TFDS data set {builder.name} has {found}: choose one with a feature `text`")
    return texts[0]


def _selections(name: str, available: Iterable[str]) -> dict[str, str]:
    """Return the TFDS split or slice of each of our splits, train first."""
    found: dict[str, str] = {}
    for split in filter(SPLIT_NAMES.__contains__, available):
        ours = SPLIT_NAMES[split]
        if found.setdefault(ours, split) != split:
            both = f"{found[ours]} and {split}"
            raise DataError(f"the TFDS data set {name} has two {ours} splits, {both}: choose another one")
    if "train" not in found:
        raise DataError(f"the TFDS data set {name} has no train split: choose another one")
    if "valid" not in found:
        found |= {"train": f"train[:{_TRAIN_END}]", "valid": f"train[{_TRAIN_END}:]"}
    return {split: found[split] for split in ("train", "valid", "test") if split in found}


def _lines(builder: Any, selection: str, feature: str) -> Iterator[str]:
    for text in read_feature(builder, selection, feature):
        # a newline at the end of an example ends its last line and does not start another
        yield from text.removesuffix("\n").split("\n")

"""TFDS data sets without TensorFlow: prepare them once as array records in the cache folder, and read them."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlm_jax.errors import DataError, UserError
from rnnlm_jax.system.cache_root import CACHE_VARIABLE, cache_root, require_writable

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_EXAMPLES_PER_READ = 4096  # reading many at once takes a third of the time


def is_prepared(builder: tfds.core.DatasetBuilder) -> bool:
    """Return whether the builder's data set is complete in its folder."""
    return (Path(builder.data_path) / "dataset_info.json").is_file()


def prepare(builder: tfds.core.DatasetBuilder, manual_dir: Path | None = None) -> None:
    """Write the data set of a builder to its folder, unless it is there.

    TFDS writes to a temporary folder and renames it at the end, so an interrupted preparation is not mistaken for a
    complete one; of two processes that prepare at once, the first one's result is used by both.

    Args:
        builder: a builder made with `file_format="array_record"`.
        manual_dir: folder of the text, for data sets that are not downloaded.

    Raises:
        DataError: the text has a wrong checksum or cannot be downloaded, the folder cannot be written, or the data set
            needs TensorFlow.
    """
    import tensorflow_datasets as tfds

    if is_prepared(builder):
        return
    folder = Path(builder.data_path)
    try:
        require_writable(folder.parent)
    except OSError as error:
        raise DataError(
            f"{builder.name} cannot be prepared in {folder} ({error.strerror or error}): set {CACHE_VARIABLE} to a "
            "folder that can be written"
        ) from error
    if folder.exists():  # incomplete, but TFDS would take it for complete
        shutil.rmtree(folder)
    settings = tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
            builder.download_and_prepare(
                download_dir=cache_root() / "downloads", download_config=settings, file_format="array_record"
            )
    except UserError:
        raise
    except Exception as error:  # of TFDS, the network or the disk; kept as the cause
        if is_prepared(builder):
            return  # another process was first
        raise DataError(
            f"{builder.name} cannot be prepared here ({_reason(error)}): prepare it where network and TensorFlow are "
            'available, with file_format="array_record", and give its TFDS folder as `data_dir`'
        ) from error


def read_feature(builder: tfds.core.DatasetBuilder, split: str, feature: str) -> Iterator[str]:
    """Yield a text feature of the examples of a split, in stored order.

    Args:
        builder: builder of a prepared data set.
        split: split in the notation of TFDS, possibly a slice like `train[:99%]`.
        feature: name of the feature.

    Raises:
        DataError: the stored files are damaged or not array records.
    """
    open_source: Any = builder.as_data_source  # a decorator hides its signature from type checkers
    try:
        source = open_source(split)
        count = len(source)
        for start in range(0, count, _EXAMPLES_PER_READ):
            for example in source.__getitems__(range(start, min(start + _EXAMPLES_PER_READ, count))):
                text: Any = example[feature]
                yield text.decode("utf-8") if isinstance(text, bytes) else str(text)
    except (OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise unreadable_error(builder.data_path, error) from error


def unreadable_error(folder: object, error: Exception) -> DataError:
    """Return the error for a prepared data set whose files cannot be read."""
    return DataError(f"the data set in {folder} cannot be read ({_reason(error)}): delete it and start again")


def _reason(error: Exception) -> str:
    """Return the type and message of an error in one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

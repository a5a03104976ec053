"""The examples of a TFDS split at random access, in any process, without TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rnnlm_jax.data.corpora.tfds_cache import unreadable_error


@dataclass(frozen=True)
class TextRecords:
    """Where the text of a split lies; it travels to other processes as that, and each opens the files for itself.

    Attributes:
        folder: of the prepared data set, with its `dataset_info.json`.
        selection: the split as TFDS writes it, a slice like `train[:99%]` too.
        feature: the name of the text feature.
    """

    folder: str
    selection: str
    feature: str

    def __len__(self) -> int:
        """Return the number of examples.

        Raises:
            DataError: the data set cannot be opened.
        """
        return len(self._source)

    def lines(self, numbers: Sequence[int]) -> list[list[str]]:
        """Return the lines of some examples, in that order; a newline at the end of one begins no other line.

        Raises:
            DataError: the stored files are damaged or not array records.
        """
        from tensorflow_datasets.proto import tf_example_pb2

        parse: Any = tf_example_pb2.Example.FromString  # pyright: ignore[reportAttributeAccessIssue]
        try:
            found = []
            for raw in self._source.__getitems__(numbers):  # TFDS's own decoding takes three times as long
                feature = parse(raw).features.feature[self.feature]
                text = feature.bytes_list.value[0].decode("utf-8")
                found.append(text.removesuffix("\n").split("\n"))
            return found
        except Exception as error:  # whatever the reader, protobuf or UTF-8 raise; the cause stays in the traceback
            raise unreadable_error(self.folder, error) from error

    @property
    def identity(self) -> str:
        """What changes when the data set does: its files with their sizes and times, and what is read of them."""
        files = sorted(path for path in Path(self.folder).iterdir() if path.is_file())
        known = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        return json.dumps([known, self.selection, self.feature])

    @cached_property
    def _source(self) -> Any:
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core import decode

        try:
            open_source: Any = tfds.builder_from_directory(self.folder).as_data_source
            return open_source(self.selection, deserialize_method=decode.DeserializeMethod.RAW_BYTES)
        except Exception as error:
            raise unreadable_error(self.folder, error) from error

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields alone: open files stay behind."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

"""Random access to the examples of a TFDS split, in any process, without TensorFlow."""

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
    """The text of a split; each process to which it is pickled opens the files itself.

    Attributes:
        folder: folder of the prepared data set, with its `dataset_info.json`.
        selection: split in the notation of TFDS, possibly a slice like `train[:99%]`.
        feature: name of the text feature.
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
        """Return the lines of the examples with given numbers; a newline at the end starts no line.

        Raises:
            DataError: the stored files are damaged or not array records.
        """
        from tensorflow_datasets.proto import tf_example_pb2

        parse: Any = tf_example_pb2.Example.FromString  # pyright: ignore[reportAttributeAccessIssue]
        try:
            found = []
            for raw in self._source.__getitems__(numbers):  # decoding by TFDS takes three times as long
                feature = parse(raw).features.feature[self.feature]
                text = feature.bytes_list.value[0].decode("utf-8")
                found.append(text.removesuffix("\n").split("\n"))
            return found
        except Exception as error:  # of the reader, protobuf or UTF-8; kept as the cause
            raise unreadable_error(self.folder, error) from error

    @property
    def identity(self) -> str:
        """A key that changes with the data set: its files with sizes and times, the split and the feature."""
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
        """Return the fields only, without open files."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

"""The One Billion Word benchmark from its extracted archive, which TFDS itself lists through TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.registered import skip_registration

from rnnlm_jax.errors import UserError

ARCHIVE = "1-billion-word-language-modeling-benchmark-r13output"
"""The folder that the archive of the benchmark extracts to."""

_TRAIN = "training-monolingual.tokenized.shuffled/news.en-*"
_HELD_OUT = "heldout-monolingual.tokenized.shuffled/news.en.heldout-*"

_Lm1b: Any = tfds.builder_cls("lm1b")

with skip_registration():  # it is TFDS's own `lm1b`, prepared in another way

    class Lm1bExtracted(_Lm1b):
        """TFDS's `lm1b`, reading the files of an extracted archive with `pathlib` and downloading nothing."""

        name = "lm1b"
        pkg_dir_path = _Lm1b.pkg_dir_path

        def __init__(self, *, text_dir: Path | None = None, **settings: Any) -> None:
            """Take the folder that holds the extracted archive, or is it."""
            self._text_dir = text_dir
            super().__init__(**settings)

        def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
            root = self._extracted()
            files = {"train": sorted(root.glob(_TRAIN)), "test": sorted(root.glob(_HELD_OUT))}
            for split, found in files.items():
                if not found:
                    raise UserError(f"{root} has no {split} files of lm1b: extract the whole archive there")
            return {split: self._generate_examples(found) for split, found in files.items()}

        def _extracted(self) -> Path:
            if self._text_dir is None:
                raise UserError(
                    f"lm1b needs its text: extract its archive ({ARCHIVE}) into a folder and name it by data_dir"
                )
            for folder in (self._text_dir, self._text_dir / ARCHIVE, self._text_dir / "lm1b" / ARCHIVE):
                if folder.name == ARCHIVE and folder.is_dir():
                    return folder
            raise UserError(f"lm1b is not in {self._text_dir}: extract its archive there, so that it holds {ARCHIVE}")

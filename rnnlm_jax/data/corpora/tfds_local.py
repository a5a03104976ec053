"""Replacements for TFDS builders that read their files through TensorFlow: the same examples through `pathlib`.

They keep the name, version, features and examples of TFDS, and so prepare the same data set.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.registered import skip_registration

from rnnlm_jax.errors import DataError

LM1B_ARCHIVE = "1-billion-word-language-modeling-benchmark-r13output"
"""Folder in the archive of the One Billion Word benchmark."""

LM1B_FILES = {
    "train": ("training-monolingual.tokenized.shuffled/news.en-*", 99),
    "test": ("heldout-monolingual.tokenized.shuffled/news.en.heldout-*", 50),
}
"""Pattern and number of each split's files, to detect an incompletely extracted archive."""

SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
_SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"

_Lm1b: Any = tfds.builder_cls("lm1b")
_TinyShakespeare: Any = tfds.builder_cls("tiny_shakespeare")


def has_local_text(builder: Any, folder: Path | None) -> bool:
    """Return whether a builder of this module finds its text in a folder and so does not download it."""
    return isinstance(builder, Lm1b | TinyShakespeare) and folder is not None and builder.find(folder) is not None


with skip_registration():  # TFDS's own builders stay registered

    class Lm1b(_Lm1b):
        """The One Billion Word benchmark, read from its extracted archive in the manual directory."""

        name = "lm1b"
        pkg_dir_path = _Lm1b.pkg_dir_path
        MANUAL_DOWNLOAD_INSTRUCTIONS = f"Extract the archive, so that the manual directory holds {LM1B_ARCHIVE}."

        @staticmethod
        def find(folder: Path) -> Path | None:
            """Return the extracted archive in a folder or its subfolder `lm1b`, or the folder itself."""
            candidates = (folder, folder / LM1B_ARCHIVE, folder / "lm1b" / LM1B_ARCHIVE)
            return next((path for path in candidates if path.name == LM1B_ARCHIVE and path.is_dir()), None)

        def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
            root = self.find(Path(dl_manager.manual_dir))
            if root is None:
                raise DataError(f"lm1b is not in {dl_manager.manual_dir}: extract its archive there ({LM1B_ARCHIVE})")
            files = {split: sorted(root.glob(pattern)) for split, (pattern, _) in LM1B_FILES.items()}
            for split, (_, count) in LM1B_FILES.items():
                if len(files[split]) != count:
                    found = f"{len(files[split])} of {count} {split} files"
                    raise DataError(f"{root} has {found} of lm1b: extract the whole archive there")
            return {split: self._generate_examples(found) for split, found in files.items()}

    class TinyShakespeare(_TinyShakespeare):
        """TFDS's `tiny_shakespeare`, from `input.txt` in the manual directory, or downloaded."""

        name = "tiny_shakespeare"
        pkg_dir_path = _TinyShakespeare.pkg_dir_path
        url_infos = _TinyShakespeare.url_infos

        @staticmethod
        def find(folder: Path) -> Path | None:
            """Return the text in the subfolder `tinyshakespeare` of a folder, or in the folder itself."""
            candidates = (folder / "tinyshakespeare" / "input.txt", folder / "input.txt")
            return next((path for path in candidates if path.is_file()), None)

        def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
            manual_dir = dl_manager._manual_dir  # the property of that name fails if it does not exist
            path = None if manual_dir is None else self.find(Path(manual_dir))
            content = Path(path or dl_manager.download(_SHAKESPEARE_URL)).read_bytes()
            if hashlib.sha256(content).hexdigest() != SHAKESPEARE_SHA256:
                raise DataError(
                    f"{path or _SHAKESPEARE_URL} is not tiny_shakespeare (its sha256 differs): get the original"
                )
            text = content.decode("utf-8")
            first = int(len(text) * 0.9)
            second = first + int((len(text) - first) * 0.5)
            parts = {"train": text[:first], "validation": text[first:second], "test": text[second:]}
            return {split: self._generate_examples(split, part) for split, part in parts.items()}


LOCAL_BUILDERS = {"lm1b": Lm1b, "tiny_shakespeare": TinyShakespeare}
"""The replacement builder of each TFDS name."""

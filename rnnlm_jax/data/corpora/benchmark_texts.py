"""File names, locations and checksums of the texts of Penn Treebank and WikiText-2.

The library neither contains nor downloads them. A checksum verifies that your copy is the text on which published
perplexities were measured.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rnnlm_jax.errors import DataError

DATA_VARIABLE = "RNNLM_JAX_DATA"
"""Environment variable with the folder of corpora, used if no `data_dir` is given."""


@dataclass(frozen=True)
class BenchmarkText:
    """The files of one benchmark.

    Attributes:
        name: name of the corpus, and of its folder in the folder of corpora.
        files: file name of each split.
        sha256: sha256 of each split's file, hexadecimal.
    """

    name: str
    files: Mapping[str, str]
    sha256: Mapping[str, str]

    def verified(self, folder: Path) -> dict[str, Path]:
        """Return the file of each split in a folder, after verifying its checksum.

        Raises:
            DataError: a file is missing or has another checksum.
        """
        found = {split: folder / file for split, file in self.files.items()}
        for split, path in found.items():
            try:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError:
                raise DataError(f"cannot find the file {path}: put {self._file_names()} there") from None
            if digest != self.sha256[split]:
                raise DataError(
                    f"{path} is not the {split} text of {self.name} (its sha256 is {digest[:12]}..., not "
                    f"{self.sha256[split][:12]}...): get the original, or name the folder itself as the corpus"
                )
        return found

    def find(self, data_dir: str | Path | None) -> Path:
        """Return the folder with the files: `data_dir` (default: `$RNNLM_JAX_DATA`) or its subfolder `name`.

        Raises:
            DataError: the files are in neither, or no folder is given.
        """
        root = data_dir or os.environ.get(DATA_VARIABLE)
        if not root:
            remedy = f"put {self._file_names()} in a folder and give it as `data_dir` or ${DATA_VARIABLE}"
            raise DataError(f"{self.name} needs its text: {remedy}")
        folders = [Path(root) / self.name, Path(root)]
        for folder in folders:
            if all((folder / file).is_file() for file in self.files.values()):
                return folder
        raise DataError(f"the text of {self.name} is not in {root}: put {self._file_names()} in {folders[0]}")

    def _file_names(self) -> str:
        *first, last = self.files.values()
        return f"{', '.join(first)} and {last}"


PENN_TREEBANK = BenchmarkText(
    "ptb",
    {"train": "ptb.train.txt", "valid": "ptb.valid.txt", "test": "ptb.test.txt"},
    {
        "train": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
        "valid": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
        "test": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
    },
)
WIKITEXT_2 = BenchmarkText(
    "wikitext-2",
    {"train": "train.txt", "valid": "valid.txt", "test": "test.txt"},
    {
        "train": "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
        "valid": "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        "test": "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
    },
)

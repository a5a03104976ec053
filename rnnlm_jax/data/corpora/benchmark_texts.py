"""The texts of Penn Treebank and WikiText-2: how they are called, where they are looked for, what they must be.

Neither text is part of this library or downloaded by it. You bring your copy; its checksum says that it is the one on
which published perplexities were measured.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rnnlm_jax.errors import DataError

DATA_VARIABLE = "RNNLM_JAX_DATA"
"""The environment variable that names the folder of corpora, used where no `data_dir` is given."""


@dataclass(frozen=True)
class BenchmarkText:
    """The files of one benchmark.

    Attributes:
        name: the corpus name, also that of its folder below the folder of corpora.
        files: split -> file name.
        sha256: split -> checksum of the file, hexadecimal.
    """

    name: str
    files: Mapping[str, str]
    sha256: Mapping[str, str]

    def verified(self, folder: Path) -> dict[str, Path]:
        """Return split -> file in a folder, each checked against its checksum.

        Raises:
            DataError: a file is missing or is another text.
        """
        found = {split: folder / file for split, file in self.files.items()}
        for split, path in found.items():
            try:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError:
                raise DataError(f"there is no file {path}: put {self._wanted()} there") from None
            if digest != self.sha256[split]:
                raise DataError(
                    f"{path} is not the {split} text of {self.name} (its sha256 is {digest[:12]}..., not "
                    f"{self.sha256[split][:12]}...): get the original, or give the folder as a path corpus"
                )
        return found

    def find(self, data_dir: str | Path | None) -> Path:
        """Return the folder that holds the files: `data_dir` (default: `$RNNLM_JAX_DATA`) or its subfolder `name`.

        Raises:
            DataError: they are in neither, or no folder is named.
        """
        root = data_dir or os.environ.get(DATA_VARIABLE)
        if not root:
            wanted = f"put {self._wanted()} in a folder and name it by data_dir or ${DATA_VARIABLE}"
            raise DataError(f"{self.name} needs its text: {wanted}")
        folders = [Path(root) / self.name, Path(root)]
        for folder in folders:
            if all((folder / file).is_file() for file in self.files.values()):
                return folder
        raise DataError(f"the text of {self.name} is not in {root}: put {self._wanted()} in {folders[0]}")

    def _wanted(self) -> str:
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

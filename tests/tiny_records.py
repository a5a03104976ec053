"""A small TFDS data set of text: examples of one and of several lines, empty ones, and a long one."""

import tensorflow_datasets as tfds

from tests.training.tiny import LINES

NAME = "tfds:tiny_records"


def examples(split):
    """Return the texts of a split."""
    if split != "train":
        return LINES * 2
    found = []
    for k in range(24):
        found += LINES[k % 3 :]
        found.append("\n".join(LINES[: k % 4]) + "\n" * (k % 2))
    return [*found, " ".join(LINES * 12), *LINES]


class TinyRecords(tfds.core.GeneratorBasedBuilder):
    """Splits train, valid and test, in the order of ``examples``."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in ("train", "valid", "test")}

    def _generate_examples(self, split):
        for k, text in enumerate(examples(split)):
            yield k, {"text": text}


def prepare(folder):
    """Write the data set below a folder, which is then the ``data_dir`` of ``NAME``."""
    TinyRecords(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder

"""TFDS builders of Penn Treebank and WikiText-2, which TFDS does not have: one example a line, in order.

Importing this module registers `penn_treebank` and `wiki_text2` with TFDS; it does not import TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from rnnlm_jax.data.corpora.benchmark_texts import PENN_TREEBANK, WIKITEXT_2, BenchmarkText
from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.data.corpora.text_reading import read_lines
from rnnlm_jax.data.corpora.tfds_cache import is_prepared, prepare, read_feature
from rnnlm_jax.data.corpora.tfds_records import TextRecords
from rnnlm_jax.system.cache_root import cache_root


class LinesBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A benchmark text from the manual directory: `{"text": line}`, splits `train`, `valid` and `test`."""

    TEXT: ClassVar[BenchmarkText]
    HOMEPAGE: ClassVar[str]
    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, file_format: str = "array_record", **settings: Any) -> None:
        """Default to array records, the format that TFDS reads and writes without TensorFlow."""
        super().__init__(file_format=file_format, **settings)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{self.TEXT.name}, one example a line in the order of the text.",
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()}),
            homepage=self.HOMEPAGE,
            disable_shuffling=True,  # models carry state from line to line
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        files = self.TEXT.verified(Path(dl_manager.manual_dir))
        return {split: self._generate_examples(path) for split, path in files.items()}

    def _generate_examples(self, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
        for number, line in enumerate(read_lines(path)):
            yield number, {"text": line}


class PennTreebank(LinesBuilder):
    """Penn Treebank as preprocessed by Mikolov et al. (2010): 10,000 types, numbers as `N`, rare words as `<unk>`."""

    TEXT = PENN_TREEBANK
    HOMEPAGE = "https://catalog.ldc.upenn.edu/LDC99T42"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put ptb.train.txt, ptb.valid.txt and ptb.test.txt into the manual directory."


class WikiText2(LinesBuilder):
    """WikiText-2 at the word level (Merity et al. 2016): 33,278 types, rare words as `<unk>`."""

    TEXT = WIKITEXT_2
    HOMEPAGE = "https://arxiv.org/abs/1609.07843"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put train.txt, valid.txt and test.txt into the manual directory."


def benchmark_corpus(name: str, data_dir: str | Path | None = None) -> Corpus:
    """Return the corpus `ptb` or `wikitext-2`, prepared in the cache folder from your copy of the text on first use.

    Raises:
        DataError: the text cannot be found, or its checksums are wrong.
    """
    builder_class = {"ptb": PennTreebank, "wikitext-2": WikiText2}[name]
    builder = builder_class(data_dir=cache_root())
    if not is_prepared(builder):
        prepare(builder, manual_dir=builder_class.TEXT.find(data_dir))
    splits = {split: partial(read_feature, builder, split, "text") for split in builder_class.TEXT.files}
    records = {split: TextRecords(str(builder.data_path), split, "text") for split in splits}
    return Corpus(name, "word", splits, records=records)

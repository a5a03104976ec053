"""The speed of reading text from disk, beside that of training: ``python -m benchmarks.input_pipeline``.

Texts of ``$RNNLM_JAX_DATA`` are written as array records to a temporary folder, and read as with ``--input-workers``:
records at random access, words to ids, batches of int32 ``[T, B]``. Nothing else runs meanwhile. Then training steps of
the small model of Zaremba et al. 2014 (200 units) are timed in the same process.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorflow_datasets as tfds

from rnnlm_jax.cli.commands.bench import FOLDER, record_name
from rnnlm_jax.data import Batch, Corpus, build_vocabulary, load_corpus, read_lines
from rnnlm_jax.data.corpora.benchmark_texts import DATA_VARIABLE
from rnnlm_jax.data.records import RecordBatches, open_text
from rnnlm_jax.jobs.run_folder import build_model, write_json
from rnnlm_jax.presets import preset
from rnnlm_jax.training.results import environment
from rnnlm_jax.training.training_program import training_program

#: Name -> file in the folder of texts: one of paragraphs, and one of sentences like those of ``tfds:lm1b``.
TEXTS = {"wikitext-2": "wikitext-2/train.txt", "lm1b-sample": "lm1b-sample/news.dev.txt"}
WORKERS = (0, 2)
SENTENCES = 128
VOCABULARY = 10_000  # of the model; the pipeline uses the vocabulary of the text
STEPS = 20  # training steps that are timed together


class TextLines(tfds.core.GeneratorBasedBuilder):
    """A TFDS builder of the text file ``PATH``, with one record per line and one split."""

    VERSION = tfds.core.Version("1.0.0")
    PATH = Path()

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, str]]]:
        for number, line in enumerate(read_lines(self.PATH)):
            yield number, {"text": line}


def prepared(path: Path, folder: Path) -> Corpus:
    """Write a text file as array records to a folder, and return it as a corpus."""
    TextLines.PATH = path
    with contextlib.redirect_stdout(sys.stderr):  # standard output is for the table
        TextLines(data_dir=folder, file_format="array_record").download_and_prepare()
    return load_corpus("tfds:text_lines", data_dir=folder)


def tokens_per_second(batches: RecordBatches, repeats: int, seconds: float) -> tuple[float, float]:
    """Return the median speed of several turns, and the seconds until the first batch."""
    begun = time.perf_counter()
    every = (batch for epoch in range(1_000_000) for batch in batches.epoch(epoch).after(0))
    next(every)
    first = time.perf_counter() - begun
    warming = time.perf_counter()
    while time.perf_counter() - warming < seconds:  # batches prepared before the clock starts
        next(every)
    rates = []
    for _ in range(repeats):
        begun, tokens = time.perf_counter(), 0
        while (taken := time.perf_counter() - begun) < seconds:
            tokens += int(next(every).mask.sum())
        rates.append(tokens / taken)
    batches.close()
    return statistics.median(rates), first


def training_rate(repeats: int) -> float:
    """Return the tokens per second of the small model's training steps, the median of several turns."""
    config = preset("zaremba/small")
    model, shape = build_model(config.model, VOCABULARY), (config.data.bptt, config.data.batch_size)
    inputs = np.random.default_rng(0).integers(0, VOCABULARY, shape).astype(np.int32)
    batch = Batch(inputs, np.roll(inputs, -1, axis=0), np.ones(shape, bool))
    program = training_program(model, config)
    step, state, taken = program.step, program.initial_state(), []
    for _ in range(1 + repeats):  # the first compiles
        begun = time.perf_counter()
        for _ in range(STEPS):
            state, _info = step(state, batch)
        jax.block_until_ready(state)
        taken.append(time.perf_counter() - begun)
    return STEPS * inputs.size / statistics.median(taken[1:])


def measure(texts: Path, repeats: int, seconds: float) -> dict[str, Any]:
    """Return a row for each text, kind of batches, and number of workers."""
    data, rows = preset("zaremba/small").data, []
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["RNNLM_JAX_CACHE"] = str(Path(temporary) / "cache")
        for name, file in TEXTS.items():
            corpus = prepared(texts / file, Path(temporary) / name)
            vocabulary = build_vocabulary(corpus.lines("train"))
            for workers in WORKERS:
                text = open_text(corpus, vocabulary, workers)
                for kind in ("streams", "sentences"):
                    if kind == "streams":
                        batches = text.streams(data.batch_size, data.bptt, first_input=vocabulary.start_id)
                    else:
                        batches = text.sentences(SENTENCES, first_input=vocabulary.start_id)
                    rate, first = tokens_per_second(batches, repeats, seconds)
                    row = {"text": name, "batches": kind, "workers": workers}
                    rows.append(row | {"tokens_per_second": rate, "first_batch_seconds": first})
    rate = training_rate(repeats)
    for row in rows:
        row["times_training"] = row["tokens_per_second"] / rate
    return {"training_tokens_per_second": rate, "rows": rows, "repeats": repeats, "seconds": seconds}


def main() -> None:
    """Measure, print a table, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="turns of each (default: 5)")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="duration of a turn (default: 2)")
    arguments = parser.parse_args()
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        parser.error(f"no texts to read: set ${DATA_VARIABLE} to the folder of {', '.join(TEXTS)}")
    figures = measure(Path(folder), arguments.repeats, arguments.seconds)
    print(f"training, zaremba/small: {figures['training_tokens_per_second']:,.0f} tokens/s\n")
    print("| text | batches | workers | tokens/s | of training | first batch s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in figures["rows"]:
        print(
            f"| {row['text']} | {row['batches']} | {row['workers']} | {row['tokens_per_second']:,.0f} | "
            f"{row['times_training']:.0f} × | {row['first_batch_seconds']:.1f} |"
        )
    write_json(FOLDER / f"input-pipeline-{record_name()}", {"environment": environment(), **figures})


if __name__ == "__main__":
    main()

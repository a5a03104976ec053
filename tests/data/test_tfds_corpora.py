"""TFDS corpora without TensorFlow: the text is stored line for line, damage is an error or repaired."""

import hashlib
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnnlm_jax.data import load_corpus
from rnnlm_jax.errors import DataError

tfds = pytest.importorskip("tensorflow_datasets")

from rnnlm_jax.data.corpora import tfds_builders, tfds_local, tfds_text  # noqa: E402
from rnnlm_jax.data.corpora.benchmark_texts import BenchmarkText  # noqa: E402
from rnnlm_jax.data.corpora.tfds_local import LM1B_ARCHIVE  # noqa: E402
from rnnlm_jax.data.corpora.tfds_text import tfds_corpus  # noqa: E402

LINES = {
    "train": [" a leading space ", "", "ünïcode \u2028 \x0c stays", *(f"line {k}" for k in range(5000)), ""],
    "valid": ["", "v"],
    "test": ["t"],
}
FILES = {"train": "ptb.train.txt", "valid": "ptb.valid.txt", "test": "ptb.test.txt"}


@pytest.fixture
def small_ptb(tmp_path, monkeypatch, cache) -> Path:
    """A small text in the place of Penn Treebank, with its own checksums."""
    folder = tmp_path / "data" / "ptb"
    folder.mkdir(parents=True)
    for split, lines in LINES.items():
        (folder / FILES[split]).write_bytes("".join(line + "\n" for line in lines).encode())
    sha256 = {split: hashlib.sha256((folder / name).read_bytes()).hexdigest() for split, name in FILES.items()}
    monkeypatch.setattr(tfds_builders.PennTreebank, "TEXT", BenchmarkText("ptb", FILES, sha256))
    monkeypatch.delenv("RNNLM_JAX_DATA", raising=False)
    return folder


def read(corpus):
    return {split: list(corpus.lines(split)) for split in corpus.splits}


def test_lines_keep_their_order_and_are_prepared_once(small_ptb, monkeypatch, cache):
    assert read(load_corpus("ptb", data_dir=small_ptb.parent)) == LINES
    for name in FILES.values():
        (small_ptb / name).unlink()
    assert read(load_corpus("ptb")) == LINES  # from the cache alone
    assert read(load_corpus("ptb", data_dir="/nowhere")) == LINES


def test_text_is_found_in_the_folder_itself_or_through_the_variable(small_ptb, monkeypatch):
    monkeypatch.setenv("RNNLM_JAX_DATA", str(small_ptb))
    assert read(load_corpus("ptb"))["test"] == LINES["test"]


def test_missing_text_says_what_to_put_where(small_ptb, tmp_path):
    with pytest.raises(DataError, match=r"^ptb needs its text: put ptb.train.txt, .* RNNLM_JAX_DATA$|`data_dir` or \$"):
        load_corpus("ptb")
    with pytest.raises(DataError, match="the text of ptb is not in .*: put ptb.train.txt, ptb.valid.txt and"):
        load_corpus("ptb", data_dir=tmp_path / "data" / "elsewhere")


def test_a_text_with_a_wrong_checksum_is_refused_and_not_cached(small_ptb, cache):
    path = small_ptb / FILES["valid"]
    path.write_text("v\n")
    with pytest.raises(DataError, match=r"is not the valid text of ptb \(its sha256") as caught:
        load_corpus("ptb", data_dir=small_ptb)
    assert "\n" not in str(caught.value)
    path.write_text("\nv\n")
    assert read(load_corpus("ptb", data_dir=small_ptb)) == LINES


def test_an_interrupted_preparation_is_made_again(small_ptb, cache, monkeypatch):
    def interrupted(path):
        yield 0, {"text": "half"}
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tfds_builders.PennTreebank, "_generate_examples", lambda self, path: interrupted(path))
        with pytest.raises(KeyboardInterrupt):
            load_corpus("ptb", data_dir=small_ptb)
    # a folder that was begun and has no description, as after a power cut
    begun = cache / "penn_treebank" / "1.0.0"
    assert not begun.exists()
    begun.mkdir(parents=True)
    (begun / "penn_treebank-train.array_record-00000-of-00001").write_bytes(b"")
    assert read(load_corpus("ptb", data_dir=small_ptb)) == LINES


def test_a_damaged_cache_is_named(small_ptb, cache):
    load_corpus("ptb", data_dir=small_ptb)
    (stored,) = (cache / "penn_treebank" / "1.0.0").glob("*train*")
    stored.write_bytes(stored.read_bytes()[:1000])
    with pytest.raises(DataError, match="cannot be read .*: delete it") as caught:
        list(load_corpus("ptb").lines("train"))
    assert "\n" not in str(caught.value)


SENTENCES = [f"sentence {k} é ." for k in range(400)]


def make_lm1b(folder):
    """An archive with the files of the real one and a few sentences in them."""
    train = folder / LM1B_ARCHIVE / "training-monolingual.tokenized.shuffled"
    held_out = folder / LM1B_ARCHIVE / "heldout-monolingual.tokenized.shuffled"
    train.mkdir(parents=True)
    held_out.mkdir()
    for shard in range(1, 100):
        part = "".join(f"{sentence}\n" for sentence in SENTENCES[shard - 1 :: 99])
        (train / f"news.en-{shard:05d}-of-00100").write_text(part, encoding="utf-8")
    for shard in range(50):
        (held_out / f"news.en.heldout-{shard:05d}-of-00050").write_text(f"held out {shard}\n")
    (held_out / "news.en-00000-of-00100").write_text("in no split\n")


def test_lm1b_is_read_from_its_archive(tmp_path, cache):
    make_lm1b(tmp_path)
    corpus = load_corpus("tfds:lm1b", data_dir=tmp_path)
    text = read(corpus)
    assert sorted(text["train"] + text["valid"]) == sorted(SENTENCES)  # TFDS shuffles its sentences
    assert (len(text["train"]), len(text["valid"])) == (396, 4)
    assert sorted(text["test"]) == sorted(f"held out {shard}" for shard in range(50))
    assert corpus.level == "word"


def test_an_incomplete_archive_of_lm1b_is_refused(tmp_path, cache):
    make_lm1b(tmp_path)
    next((tmp_path / LM1B_ARCHIVE).glob("training*/*")).unlink()
    with pytest.raises(DataError, match="98 of 99 train files of lm1b"):
        tfds_corpus("lm1b", tmp_path)


def test_lm1b_needs_its_archive(tmp_path, cache, monkeypatch):
    with pytest.raises(DataError, match="lm1b is not in .*: extract"):
        tfds_corpus("lm1b", tmp_path)
    monkeypatch.delenv("RNNLM_JAX_DATA", raising=False)
    with pytest.raises(DataError, match="lm1b needs a manual directory"):
        tfds_corpus("lm1b")


def test_tiny_shakespeare_from_a_local_text(tmp_path, cache, monkeypatch):
    lines = [f"Citizen {k}:\n\nSpeak.\n" for k in range(100)]
    text = "".join(lines)
    (tmp_path / "input.txt").write_text(text)
    with pytest.raises(DataError, match="is not tiny_shakespeare"):
        tfds_corpus("tiny_shakespeare", tmp_path)
    monkeypatch.setattr(tfds_local, "SHAKESPEARE_SHA256", hashlib.sha256(text.encode()).hexdigest())
    corpus = load_corpus("tfds:tiny_shakespeare", data_dir=tmp_path)
    assert corpus.level == "char"
    found = read(corpus)
    cuts = (int(0.9 * len(text)), int(0.9 * len(text)) + int((len(text) - int(0.9 * len(text))) * 0.5))
    parts = {"train": text[: cuts[0]], "valid": text[cuts[0] : cuts[1]], "test": text[cuts[1] :]}
    assert found == {split: part.removesuffix("\n").split("\n") for split, part in parts.items()}


class TwoTexts(tfds.core.GeneratorBasedBuilder):
    """A data set with another feature name, several lines an example, and no test split."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"body": tfds.features.Text(), "score": tfds.features.Scalar(np.int32)})
        return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(8), "validation": self._generate_examples(2)}

    def _generate_examples(self, count):
        for k in range(count):
            yield k, {"body": f"{count} {k}\n\nend\n", "score": k}


def test_a_data_set_with_one_text_feature_is_a_corpus(cache):
    found = read(tfds_corpus("two_texts"))
    assert found == {
        split: [line for k in range(count) for line in (f"{count} {k}", "", "end")]
        for split, count in (("train", 8), ("valid", 2))
    }


def test_two_splits_of_one_kind_are_refused():
    assert tfds_text._selections("x", ["test", "dev", "train"]) == {"train": "train", "valid": "dev", "test": "test"}
    with pytest.raises(DataError, match="x has two valid splits, dev and validation"):
        tfds_text._selections("x", ["train", "dev", "validation"])


def test_a_prepared_folder_is_read_without_the_cache(tmp_path, cache):
    TwoTexts(data_dir=tmp_path / "mine", file_format="array_record").download_and_prepare()
    assert len(list(tfds_corpus("two_texts", tmp_path / "mine").lines("valid"))) == 6
    assert not cache.exists()


def test_unavailable_data_sets_are_errors_of_one_line(cache, monkeypatch, tmp_path):
    def unknown_host(*address):
        raise socket.gaierror("unknown host")

    monkeypatch.setattr(socket, "getaddrinfo", unknown_host)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    for name, message in (
        ("no_such_thing", "TFDS has no data set 'no_such_thing'"),
        ("tiny_shakespeare", "must be downloaded from raw.githubusercontent.com, which cannot be reached"),
        ("imdb_reviews", "must be downloaded from"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            load_corpus(f"tfds:{name}", data_dir=tmp_path)
        assert "\n" not in str(caught.value)


def test_tensorflow_is_never_imported(tmp_path):
    make_lm1b(tmp_path)
    program = (
        "import sys\n"
        "import rnnlm_jax.data as data\n"
        "assert 'tensorflow_datasets' not in sys.modules, 'TFDS takes a second to import'\n"
        f"corpus = data.load_corpus('tfds:lm1b', data_dir={str(tmp_path)!r})\n"
        "assert sum(1 for split in corpus.splits for line in corpus.lines(split)) == 450\n"
        "import rnnlm_jax.data.corpora.tfds_builders\n"
        "assert 'tensorflow_datasets' in sys.modules and 'tensorflow' not in sys.modules\n"
    )
    environment = {"RNNLM_JAX_CACHE": str(tmp_path / "cache"), "PATH": "", "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)

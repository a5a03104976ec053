"""Records of studies contain no path of the machine that made them."""

import dataclasses
import json

from experiments.record import without_folders
from rnnlm_jax.config import Config, replace


def test_a_recorded_configuration_keeps_the_last_part_of_each_path():
    config = replace(
        Config(),
        data={"corpus": "/home/someone/texts/my.txt", "data_dir": "/home/someone", "vocabulary": "/tmp/words.json"},
        model={"cell_options": (("forget_bias", 0),)},
    )
    read = json.loads(json.dumps(dataclasses.asdict(config) | {"digest": "abc", "identity": {"run": "x"}}))
    recorded = without_folders(read)
    changed = {"corpus": "my.txt", "data_dir": None, "vocabulary": "words.json"}
    assert recorded == read | {"data": read["data"] | changed}
    assert "/" not in json.dumps(recorded["data"])


def test_a_corpus_keeps_its_name():
    assert without_folders({"data": {"corpus": "tfds:lm1b"}}) == {"data": {"corpus": "tfds:lm1b"}}

"""Write the files of a run folder, each completely or not at all."""

from pathlib import Path
from typing import Any

from rnnlm_jax.config import Config, to_sealed_json
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.jobs.run_folder.paths import RunFolder
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.system import json_text
from rnnlm_jax.system.atomic_write import atomic_write


def write_new_run(
    folder: RunFolder, config: Config, identity: RunIdentity, *, vocabulary: Vocabulary, words: WordCounts | None = None
) -> None:
    """Write the first files of a run: the configuration last, so that a folder with a configuration is complete.

    Args:
        folder: the run folder, created if missing.
        config: its configuration.
        identity: its identity.
        vocabulary: its vocabulary.
        words: the vocabulary's words with their counts, if they are known.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    vocabulary.save(folder.vocabulary)
    if words is not None:
        write_text(folder.counts, words.to_json())
    write_config(folder, config, identity)


def write_config(folder: RunFolder, config: Config, identity: RunIdentity) -> None:
    """Write the configuration of a run."""
    write_text(folder.config, to_sealed_json(config, identity.entry()))


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, completely or not at all."""
    write_text(path, json_text.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file, completely or not at all.

    Raises:
        ArgumentError: if ``path`` is a folder or a device.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")

"""Write the results of runs into a study's ``results.json``, and print them as a table.

python -m experiments.record experiments/zaremba small=runs/zaremba-small

Paths of this machine are left out of the record: of a configuration's files and folders, only the last part is kept.
"""

import json
import sys
from pathlib import Path
from typing import Any

from rnnlm_jax.config import Config, options
from rnnlm_jax.errors import CheckpointError, UserError
from rnnlm_jax.jobs.run_folder import RunFolder, write_json

#: Entries of a run's results that are recorded.
KEPT = ("test_perplexity", "valid_perplexity", "steps", "seconds", "parameters", "test", "valid", "baselines")


def record(study: Path, runs: dict[str, Path]) -> dict[str, dict]:
    """Add runs to the ``results.json`` of a study, and return all its runs.

    Raises:
        CheckpointError: if a run has not finished.
    """
    file = study / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for name, path in runs.items():
        folder = RunFolder(path)
        if not folder.results.exists():
            raise CheckpointError(f"{path} has no results yet: let the run finish")
        found = json.loads(folder.results.read_text())
        epochs = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
        results[name] = {key: found[key] for key in KEPT} | {
            "corpus_facts": found["corpus_facts"],
            "environment": found["environment"],
            "config": without_folders(json.loads(folder.config.read_text())),
            "epochs": [
                {key: line[key] for key in ("epoch", "learning_rate", "train_perplexity", "valid_perplexity")}
                for line in epochs
                if line["kind"] == "validation"
            ],
        }
    write_json(file, results)
    return results


def without_folders(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration, read from JSON, with the last part only of each path, and without ``data_dir``."""
    paths = {(group, spec.name) for group, spec, _ in options(Config()) if spec.metadata["path"]}

    def shortened(group: str, name: str, value: Any) -> Any:
        if (group, name) not in paths or not isinstance(value, str):
            return value
        return None if name == "data_dir" else without_folder(value)

    return {
        group: {name: shortened(group, name, value) for name, value in part.items()} if isinstance(part, dict) else part
        for group, part in config.items()
    }


def without_folder(path: str) -> str:
    """Return the last part of a path; names of corpora, which have no slash, stay as they are."""
    return path.rpartition("/")[2]


def main(arguments: list[str]) -> int:
    """Record the runs given as ``name=folder``, and print the study's table."""
    try:
        study, *pairs = arguments
        runs = {name: Path(path) for name, path in (pair.split("=", 1) for pair in pairs)}
    except ValueError:
        print("usage: python -m experiments.record STUDY NAME=RUN …", file=sys.stderr)
        return 2
    try:
        results = record(Path(study), runs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{'run':<16} {'valid ppl':>10} {'test ppl':>10} {'parameters':>12} {'minutes':>8}  device")
    for name, found in results.items():
        print(
            f"{name:<16} {found['valid_perplexity']:10.3f} {found['test_perplexity']:10.3f} "
            f"{found['parameters']:12,d} {found['seconds'] / 60:8.1f}  {found['environment']['device']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The files of a run folder."""

from dataclasses import dataclass
from pathlib import Path

from rnnlm_jax.errors import CheckpointError


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run's files."""

    path: Path

    def __post_init__(self) -> None:
        """Check that the path is UTF-8, which the library that writes checkpoints needs.

        Raises:
            CheckpointError: if it is not.
        """
        try:
            str(self.path.absolute()).encode()
        except UnicodeEncodeError:
            raise CheckpointError(
                f"the path of the run {self.path} is not UTF-8, as checkpoints need: give another"
            ) from None

    @property
    def config(self) -> Path:
        """Configuration and identity, JSON with a digest."""
        return self.path / "config.json"

    @property
    def vocabulary(self) -> Path:
        """The vocabulary."""
        return self.path / "vocabulary.json"

    @property
    def counts(self) -> Path:
        """Counts of the vocabulary's words in the training text."""
        return self.path / "counts.json"

    @property
    def metrics(self) -> Path:
        """Metrics of steps and epochs, one JSON object on each line."""
        return self.path / "metrics.jsonl"

    @property
    def results(self) -> Path:
        """The final figures, JSON."""
        return self.path / "results.json"

    @property
    def imported(self) -> Path:
        """The origin of imported parameters, JSON; only in runs that were not trained here."""
        return self.path / "imported.json"

    @property
    def initialized(self) -> Path:
        """The origin of the parameters that training started from, JSON; only in runs with ``init_from``."""
        return self.path / "initialized.json"

    @property
    def watchdog(self) -> Path:
        """Reports of the watchdog, one JSON object on each line; only if it has reported something."""
        return self.path / "watchdog.jsonl"

    @property
    def learning_curve(self) -> Path:
        """Figure of losses against steps."""
        return self.path / "learning_curve.png"

    @property
    def spectrum_history(self) -> Path:
        """Figure of recurrent Jacobians through training; only of runs with ``log_spectrum``."""
        return self.path / "spectrum_history.png"

    def checkpoints(self, which: str) -> Path:
        """Return the folder of one kind of checkpoint.

        Args:
            which: "last": to resume from; "best": best validation loss; "validating": epochs that are trained but
                whose validation was interrupted.
        """
        return self.path / "checkpoints" / which

    def exists(self) -> bool:
        """Return whether the folder contains a run."""
        return self.config.exists()

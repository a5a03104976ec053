"""Words binned into classes by frequency, for class-factorised output layers."""

import math
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class WordClasses:
    """A partition of the vocabulary: words are ranked by falling count, and a class is a run of ranks."""

    rank: np.ndarray
    """int32 [V], the rank of each word id."""
    class_of: np.ndarray
    """int32 [V], the class of each rank, ascending."""
    starts: np.ndarray
    """int32 [C], the first rank of each class."""
    sizes: np.ndarray
    """int32 [C], the number of words in each class, none of them 0."""

    @property
    def count(self) -> int:
        """Number of classes, C."""
        return len(self.sizes)

    @property
    def vocab_size(self) -> int:
        """Number of words, V."""
        return len(self.rank)

    @property
    def width(self) -> int:
        """Size of the largest class."""
        return int(self.sizes.max())

    @property
    def sorted_already(self) -> bool:
        """Whether ids are ranks."""
        return bool((self.rank == np.arange(len(self.rank))).all())


def bin_by_frequency(counts: np.ndarray, classes: int | None = None) -> WordClasses:
    """Return classes of about equal sums of √count, so that frequent words are in small classes.

    Words are taken by falling count; class c = 0, 1 … ends with the first word after which ``Σ √n`` of all words so far
    exceeds ``(c + 1)/C`` of the total, so no class is empty. A word that was never seen counts as if seen once.
    Frequency binning is that of Mikolov et al. 2011 (ICASSP, section 4), the square root that of his toolkit.

    Args:
        counts: count of each word id in the training text.
        classes: C; None: ⌈√V⌉. The result has fewer where single words fill more than a class.

    Raises:
        ArgumentError: if the vocabulary is empty, or C is not between 1 and V.
    """
    counts = np.asarray(counts)
    if counts.size == 0:
        raise ArgumentError("a class-factorised output layer needs training counts, and `words` is empty")
    wanted = math.ceil(math.sqrt(counts.size)) if classes is None else classes
    if isinstance(wanted, bool) or not isinstance(wanted, int | np.integer) or not 1 <= wanted <= counts.size:
        raise ArgumentError(f"`classes` must be a whole number from 1 to the {counts.size} words, not {wanted!r}")
    order = np.argsort(-counts, kind="stable")
    share = np.sqrt(np.maximum(counts[order], 1).astype(np.float64))
    filled = np.cumsum(share) / share.sum()
    class_of, current = np.empty(counts.size, np.int32), 0
    for r, level in enumerate(filled.tolist()):
        class_of[r] = current
        if level > (current + 1) / wanted and current < wanted - 1:
            current += 1
    rank = np.empty(counts.size, np.int32)
    rank[order] = np.arange(counts.size, dtype=np.int32)
    sizes = np.bincount(class_of).astype(np.int32)
    starts = (np.cumsum(sizes) - sizes).astype(np.int32)
    return WordClasses(rank, class_of, starts, sizes)

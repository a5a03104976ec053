"""Texts too large for memory: read record by record as batches want them, by grain, in processes of its own.

Batches are a function of (seed, epoch, number), the same as of the text in memory, and each is had by itself: so a
run's position is an epoch and a number, whatever the number of processes, and no state of an iterator is kept.
"""

from rnnlm_jax.data.records.record_batches import RecordBatches
from rnnlm_jax.data.records.record_text import RecordText, open_text

__all__ = ["RecordBatches", "RecordText", "open_text"]

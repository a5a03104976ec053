"""Batches of texts too large for memory, read record by record by grain in worker processes.

A batch is a function of (seed, epoch, number), equal to that of the same text in memory. So the position of a training
run is an epoch and a number, for any number of processes, and no iterator state is saved.
"""

from rnnlm_jax.data.records.record_batches import RecordBatches
from rnnlm_jax.data.records.record_text import RecordText, open_text

__all__ = ["RecordBatches", "RecordText", "open_text"]

"""Models of sequences of numbers or symbols, trained on a task or on arrays of one's own; several seeds at once.

task = tasks.adding()
model = model_for(task, cells.lstm(64))
trained = train_sequence_model(model, task, TaskBatches(task, 32, length=100), SequenceTraining(steps=2000, seeds=5))
"""

from rnnlm_jax.sequence_model.batches import ArrayBatches, Batches, GeneratedBatches, StreamBatches, TaskBatches
from rnnlm_jax.sequence_model.model import SequenceModel, SequenceParams, model_for, sequence_model
from rnnlm_jax.sequence_model.run_task import TaskResult, TaskRun, run_task
from rnnlm_jax.sequence_model.scoring import Scores, score_data, score_task
from rnnlm_jax.sequence_model.sequence_data import SequenceData, sequence_data
from rnnlm_jax.sequence_model.settings import SequenceTraining
from rnnlm_jax.sequence_model.train import Trained, train_sequence_model

__all__ = [
    "ArrayBatches",
    "Batches",
    "GeneratedBatches",
    "Scores",
    "SequenceData",
    "SequenceModel",
    "SequenceParams",
    "SequenceTraining",
    "StreamBatches",
    "TaskBatches",
    "TaskResult",
    "TaskRun",
    "Trained",
    "model_for",
    "run_task",
    "score_data",
    "score_task",
    "sequence_data",
    "sequence_model",
    "train_sequence_model",
]

"""What a run of sequence models trains, as JSON: a resumed run must be of the same description."""

import dataclasses
import json
from typing import Any

import jax

from rnnlm_jax.jobs.checkpoints.array_digests import digests, named_leaves
from rnnlm_jax.sequence_model.batches import Batches
from rnnlm_jax.sequence_model.model import SequenceModel
from rnnlm_jax.sequence_model.settings import SequenceTraining
from rnnlm_jax.tasks import Objective
from rnnlm_jax.training.make_optimizer import schedule_spans_job


def describe_training(
    model: SequenceModel,
    objective: Objective,
    batches: Batches,
    training: SequenceTraining,
    *,
    given_optimizer: bool,
    given_init: bool,
) -> dict[str, Any]:
    """Return all that fixes the numbers of a training, but for functions that a program passed to it."""
    options = json.loads(json.dumps(dataclasses.asdict(training)))
    if not schedule_spans_job(training.optimizer_config()):
        del options["steps"]  # a run may be prolonged
    if given_optimizer:
        options["optimizer"] = "given"
    return {
        "cell": repr(model.cell.spec),
        "parameters": {name: str(leaf.shape) for name, leaf in _shapes(model).items()},
        "init": "given" if given_init else model.init_scale,
        "objective": getattr(objective, "name", None),
        "batches": batches.describe(),
        "data": digests(named_leaves(batches.arrays)),
        **options,
    }


def _shapes(model: SequenceModel) -> dict[str, jax.ShapeDtypeStruct]:
    return named_leaves(jax.eval_shape(model.init, jax.random.key(0)))

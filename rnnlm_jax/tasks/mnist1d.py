"""MNIST-1D (Greydanus & Kobak 2024, "Scaling Down Deep Learning with MNIST-1D"): ten classes of 40 numbers.

The data set is made by its authors' package, `mnist1d`, which is imported on first use.
"""

import functools
import math
import random
from types import ModuleType

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.errors import DataError
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import class_answers
from rnnlm_jax.tasks.drawing import at_all_steps, draw_rows
from rnnlm_jax.tasks.objective import Sequences
from rnnlm_jax.tasks.task import SampleFn, Task, check_sample_sizes

#: The numbers of an example.
LENGTH = 40


@cached_factory
def mnist1d() -> Task:
    """Return the classification of MNIST-1D: a number at each of 40 steps, and the digit asked at the last one.

    4,000 examples of training are drawn with replacement; tests go through the other 1,000 in random order. Published
    accuracies: logistic regression 32 %, a multilayer perceptron 68 %, a GRU 91 %, a convolutional network 94 %, people
    96 %. Here 90 % solve the task.

    Raises:
        DataError: if the package mnist1d is not installed.
    """
    answers = class_answers("nats")
    train, train_labels, test, test_labels = load()
    return Task(
        name="mnist1d",
        source="Greydanus & Kobak 2024",
        input_size=1,
        output_size=10,
        sample=_from_set(train, train_labels, in_order=False),
        test_sample=_from_set(test, test_labels, in_order=True),
        test_size=len(test_labels),
        loss=answers.loss,
        correct=answers.correct,
        takes_classes=True,
        chance_loss=lambda length: math.log(10),
        chance_accuracy=0.1,
        solved_accuracy=0.9,
        default_length=LENGTH,
        shortest_length=LENGTH,
        longest_length=LENGTH,
    )


def import_mnist1d() -> ModuleType:
    """Return the module `mnist1d.data`.

    Raises:
        DataError: if it is not installed.
    """
    try:
        import mnist1d.data
    except ImportError:
        raise DataError(
            "MNIST-1D needs the package mnist1d, which is not installed: pip install 'rnnlm_jax[tasks]'"
        ) from None
    return mnist1d.data


@functools.cache
def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return examples ``[N, 40]`` and labels ``[N]``, of training and of tests, made with the package's own settings.

    The package seeds the global generators of Python and NumPy; their states are put back.
    """
    package = import_mnist1d()
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        made = package.make_dataset(package.get_dataset_args())
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
    examples = (np.asarray(made[name], np.float32) for name in ("x", "x_test"))
    labels = (np.asarray(made[name], np.int32) for name in ("y", "y_test"))
    (train, test), (train_labels, test_labels) = examples, labels
    return train, train_labels, test, test_labels


def _from_set(examples: Float[np.ndarray, "N T"], labels: Int[np.ndarray, " N"], *, in_order: bool) -> SampleFn:
    """Return a generator that draws from examples: with replacement, or all in turn, in random order."""

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        check_sample_sizes(batch_size, length, shortest=LENGTH, longest=LENGTH)
        rows = draw_rows(key, batch_size, len(labels), in_order=in_order)
        inputs: Array = jnp.asarray(examples)[rows].T[:, :, None]
        mask = jnp.zeros((LENGTH, batch_size), bool).at[-1].set(True)
        return Sequences(inputs, at_all_steps(jnp.asarray(labels)[rows], LENGTH), mask)

    return sample

"""Every task, with each loss and with small alphabets, and answers for it: right ones, and ones that read nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import tasks

#: Name, options, and a short length.
CASES = [
    ("embedded-reber", {}, 40),
    ("embedded-reber", {"loss": "logistic"}, 40),
    ("embedded-reber", {"strings": 64}, 40),
    ("noise-free-lag", {"symbols": 12}, 12),
    ("noise-free-lag", {"symbols": 12, "loss": "logistic"}, 7),
    ("no-regularities", {"symbols": 5}, 12),
    ("no-regularities", {"symbols": 5, "loss": "logistic"}, 12),
    ("very-long-lag", {"symbols": 4, "longest_suffix": 20}, 10),
    ("very-long-lag", {"symbols": 4, "longest_suffix": 20, "loss": "logistic"}, 10),
    ("two-sequence", {}, 20),
    ("two-sequence", {"experiment": "3b", "loss": "logistic"}, 20),
    ("two-sequence", {"experiment": "3c", "informative": 1, "shortest": 12}, 20),
    ("two-sequence", {"experiment": "3c", "loss": "logistic"}, 20),
    ("adding", {}, 200),
    ("adding", {"loss": "logistic", "shortest": 150}, 200),
    ("multiplication", {}, 200),
    ("multiplication", {"loss": "logistic"}, 200),
    ("temporal-order", {}, 21),
    ("temporal-order", {"loss": "logistic", "shortest": 12}, 21),
    ("temporal-order-3", {}, 21),
    ("temporal-order-3", {"loss": "logistic"}, 21),
    ("pascanu-temporal-order", {}, 21),
    ("pascanu-temporal-order", {"shortest": 10}, 21),
    ("pascanu-temporal-order-3", {"shortest": 13}, 21),
    ("pascanu-addition", {}, 21),
    ("pascanu-multiplication", {"shortest": 11}, 21),
    ("random-permutation", {"symbols": 6, "shortest": 3}, 12),
    ("noiseless-memorization", {}, 8),
    ("noiseless-memorization", {"values": 5, "positions": 2}, 8),
    ("copy-memory", {}, 9),
    ("adding-problem", {}, 21),
    ("temporal-xor", {}, 60),
    ("temporal-xor", {"loss": "logistic"}, 60),
    ("elman-letters", {}, 100),
    ("elman-letters", {"loss": "logistic"}, 100),
    ("word-boundaries", {}, 100),
    ("word-boundaries", {"loss": "logistic"}, 100),
    ("elman-sentences", {}, 120),
    ("elman-sentences", {"loss": "logistic"}, 120),
    ("flip-flop", {}, 12),
    ("flip-flop", {"channels": 2, "pulses": 0.5}, 12),
    ("parity", {}, 25),
    ("modular-arithmetic", {}, 25),
    ("cycle-navigation", {}, 25),
    ("mnist1d", {}, 40),
]

#: Enough sequences to measure a loss or an accuracy; those of sentences are long, and many numbers a step.
BATCH_SIZE = 8000


def batch_size(name):
    """The number of sequences that ``drawn`` draws of a task."""
    return 2000 if name == "elman-sentences" else BATCH_SIZE


def label(case):
    """The name of a case in the output of pytest."""
    name, options, _ = case
    return "-".join([name, *(f"{key}={value}" for key, value in options.items())])


def logit(probabilities):
    """The outputs whose logistic values are these probabilities, kept away from 0 and 1."""
    probabilities = np.clip(np.asarray(probabilities, np.float64), 1e-9, 1 - 1e-9)
    return np.log(probabilities / (1 - probabilities))


def is_logistic(name, options):
    """Whether outputs are read through the logistic function."""
    return options.get("loss") == "logistic" or name in {
        *("two-sequence", "temporal-xor", "elman-letters", "word-boundaries")
    }


def classes(sequences):
    """The class that is asked ``[T, B]``, where targets have more beside it."""
    targets = np.asarray(sequences.targets)
    return targets if targets.ndim == 2 else targets[..., 0]


def right_outputs(name, options, task, sequences):
    """Outputs ``[T, B, K]`` that answer every question."""
    targets = np.asarray(sequences.targets)
    if name == "embedded-reber":
        legal = targets[..., 1:]
        return logit(legal / legal.sum(axis=-1, keepdims=True))
    if name == "two-sequence":
        return logit(targets[..., 1:])
    if targets.dtype.kind == "i":
        return 25.0 * (2 * np.eye(task.output_size)[classes(sequences)] - 1)
    return logit(targets) if is_logistic(task.name, options) else targets


def groups(sequences):
    """The asked steps in groups whose answers have one distribution: a step that many ask, and all others."""
    mask = np.asarray(sequences.mask)
    many = mask.sum(axis=1) >= 300
    alone = [np.arange(len(mask)) == step for step in np.flatnonzero(many)]
    return [group for group in [*alone, ~many] if mask[group].any()]


def best_constant(options, task, answers):
    """The outputs ``[K]`` of least loss for answers ``[N]`` or ``[N, K]``, by counting."""
    if answers.dtype.kind == "i":
        shares = np.bincount(answers, minlength=task.output_size) / len(answers)
        return logit(shares) if is_logistic(task.name, options) else np.log(np.maximum(shares, 1e-12))
    mean = answers.mean(axis=0)
    return logit(mean) if is_logistic(task.name, options) else mean


def blind_outputs(options, task, sequences):
    """Outputs of least loss among those that depend on the step only."""
    outputs = np.zeros((*sequences.mask.shape, task.output_size))
    answers = classes(sequences) if sequences.targets.dtype.kind == "i" else np.asarray(sequences.targets)
    if task.name == "two-sequence":
        answers = answers[..., :1]
    for group in groups(sequences):
        asked = np.asarray(sequences.mask) & group[:, None]
        outputs[group] = best_constant(options, task, answers[asked])
    return outputs


def best_blind_accuracy(name, options, task, sequences):
    """The greatest accuracy of outputs that depend on the step only."""
    targets, mask = np.asarray(sequences.targets), np.asarray(sequences.mask)
    if targets.dtype.kind == "f":
        answers = np.random.default_rng(0).permutation(targets[mask])[:20_000]
        grid = np.linspace(answers.min(), answers.max(), 200)[:, None]
        guesses = grid if task.output_size == 1 else np.unique(answers, axis=0)
        outputs = logit(guesses) if is_logistic(name, options) else guesses
        outputs = np.broadcast_to(outputs[:, None], (len(outputs), len(answers), task.output_size))
        right = task.correct(
            jnp.asarray(outputs, jnp.float32), jnp.broadcast_to(jnp.asarray(answers), (len(outputs), *answers.shape))
        )
        return float(right.mean(axis=1).max())
    if name == "embedded-reber":  # right on one of the most frequent strings
        strings = np.where(mask, classes(sequences), -1).T
        _, first, counts = np.unique(strings, axis=0, return_index=True, return_counts=True)
        outputs = np.broadcast_to(20.0 * targets[:, first[counts.argmax()], None, 1:], sequences.inputs.shape)
    else:
        outputs = np.zeros((*mask.shape, task.output_size))
        for group in groups(sequences):
            answers = classes(sequences)[mask & group[:, None]]
            outputs[group] = 25 * (2 * np.eye(task.output_size)[np.bincount(answers).argmax()] - 1)
    return float(task.accuracy(jnp.asarray(outputs, jnp.float32), sequences))


@functools.cache
def drawn(index):
    """The task of a case and sequences of it."""
    name, options, length = CASES[index]
    task = tasks.make(name, **options)
    return task, jax.jit(lambda key: task.sample(key, batch_size(name), length))(jax.random.key(11))

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
    """Steps in groups whose answers have one distribution: each step that many ask alone, and all others."""
    asked = np.asarray(sequences.mask).sum(axis=1)
    alone = [[step] for step in np.flatnonzero(asked >= 300)]
    rest = np.flatnonzero((asked > 0) & (asked < 300))
    return [*alone, rest] if rest.size else alone


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
    mask = np.asarray(sequences.mask)
    for steps in groups(sequences):
        outputs[steps] = best_constant(options, task, answers[steps][mask[steps]])
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
        for steps in groups(sequences):
            answers = classes(sequences)[steps][mask[steps]]
            outputs[steps] = 25 * (2 * np.eye(task.output_size)[np.bincount(answers).argmax()] - 1)
    return judge(task, outputs, sequences)[1]


@functools.partial(jax.jit, static_argnums=0)
def _judge(task, outputs, sequences):
    return task.mean_loss(outputs, sequences), task.accuracy(outputs, sequences)


def judge(task, outputs, sequences):
    """The loss and the accuracy of outputs."""
    loss, accuracy = _judge(task, jnp.asarray(outputs, jnp.float32), sequences)
    return float(loss), float(accuracy)


@functools.cache
def drawn(index):
    """The task of a case and sequences of it."""
    name, options, length = CASES[index]
    task = tasks.make(name, **options)
    return task, jax.jit(lambda key: task.sample(key, batch_size(name), length))(jax.random.key(11))

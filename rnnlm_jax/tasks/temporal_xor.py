"""Temporal exclusive-or: in a stream of bits, every third is the XOR of the two before (Elman 1990, "Exclusive-Or")."""

import jax.numpy as jnp

from rnnlm_jax.array_types import Key
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import bit_answers
from rnnlm_jax.tasks.drawing import draw_symbols
from rnnlm_jax.tasks.objective import Sequences
from rnnlm_jax.tasks.task import Task, check_sample_sizes

#: From this length on, a bit that can be known is asked.
SHORTEST = 2


@cached_factory
def temporal_xor(loss: str = "nats") -> Task:
    """Return the task of the next bit of a stream: two random bits, their XOR, and so on.

    Bits are fed and asked as numbers 0 and 1; the next one is asked at every step, ``length`` of them. The paper's
    stream has 3,000 bits; sequences are parts of such streams, from their start. An answer is right if σ(o) is on the
    right side of ½. One in three can be known, so that in long streams at best two thirds of the answers are right;
    65 % solve the task.

    Args:
        loss: of one logistic output: "nats", or "logistic", half the squared error, as published.

    Raises:
        ArgumentError: for another loss.
    """
    answers = bit_answers(loss)

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        check_sample_sizes(batch_size, length, shortest=SHORTEST)
        pairs = draw_symbols(key, (length // 3 + 1, 2, batch_size), 0, 2)
        triples = jnp.concatenate([pairs, pairs[:, :1] ^ pairs[:, 1:]], axis=1)
        stream = triples.reshape(-1, batch_size)[: length + 1, :, None].astype(jnp.float32)
        return Sequences(stream[:-1], stream[1:], jnp.ones((length, batch_size), bool))

    return Task(
        name="temporal-xor",
        source="Elman 1990",
        input_size=1,
        output_size=1,
        sample=sample,
        loss=answers.loss,
        correct=answers.correct,
        chance_loss=lambda length: answers.blind_loss([0.5]),
        chance_accuracy=0.5,
        solved_accuracy=0.65,
        default_length=100,
        shortest_length=SHORTEST,
    )

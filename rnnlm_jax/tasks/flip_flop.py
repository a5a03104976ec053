"""The flip-flop of Sussillo & Barak (2013), "Opening the Black Box": keep the signs of the last pulses."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Key
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import check_count, number_answers
from rnnlm_jax.tasks.objective import Sequences
from rnnlm_jax.tasks.task import Task, check_sample_sizes


@cached_factory
def flip_flop(channels: int = 3, pulses: float = 0.2) -> Task:
    """Return the 3-bit flip-flop: three channels of pulses, and for each the sign of its last one.

    At every step each channel has a pulse with some probability, of 1 or -1, each with probability ½, and is 0
    otherwise; at the first step all channels have one. The signs are asked at every step, that of a pulse at once. An
    answer is right if all outputs are within 0.5 of the signs; the loss is the squared error, summed over channels. The
    paper gives no figures of pulses, lengths or errors: these are ours, and 99 % of the answers solve the task.

    Args:
        channels: the number of bits.
        pulses: the probability of a pulse.

    Raises:
        ArgumentError: for fewer than one channel, or a probability that is not above 0 and at most 1.
    """
    check_count("channels", channels, least=1)
    if isinstance(pulses, bool) or not isinstance(pulses, int | float) or not 0 < pulses <= 1:
        raise ArgumentError(f"`pulses` must be a probability above 0, not {pulses!r}")
    answers = number_answers("squared", tolerance=0.5)

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        check_sample_sizes(batch_size, length)
        k_pulses, k_signs = jax.random.split(key)
        shape = (length, batch_size, channels)
        has_pulse = jax.random.bernoulli(k_pulses, jnp.float32(pulses), shape).at[0].set(True)
        signs = jax.random.rademacher(k_signs, shape, jnp.float32)
        steps = jnp.arange(length, dtype=jnp.int32)[:, None, None]
        last_pulse = jax.lax.cummax(jnp.where(has_pulse, steps, 0), axis=0)
        kept = jnp.take_along_axis(signs, last_pulse, axis=0)
        return Sequences(jnp.where(has_pulse, signs, 0.0), kept, jnp.ones((length, batch_size), bool))

    return Task(
        name="flip-flop",
        source="Sussillo & Barak 2013",
        input_size=channels,
        output_size=channels,
        sample=sample,
        loss=answers.loss,
        correct=answers.correct,
        chance_loss=lambda length: float(channels),
        chance_accuracy=0.5**channels,
        solved_accuracy=0.99,
        default_length=100,
    )

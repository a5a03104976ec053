"""Factories return one object for equal arguments as long as it is used, and hold nothing afterwards."""

import dataclasses
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, outputs, tasks
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.registry.cached_factory import cached_factory, describe_product
from rnnlm_jax.tasks import Objective


def test_a_layer_and_its_vocabulary_are_freed_when_nothing_uses_them():
    words = WordCounts([f"w{k}" for k in range(20)], np.arange(1, 21))
    layer = outputs.make("hierarchical", words)
    assert outputs.make("hierarchical", words) is layer
    freed = weakref.ref(words)
    del words, layer
    gc.collect()
    assert freed() is None


def test_jit_keeps_a_cell_and_traces_once_for_equal_arguments():
    traces = []

    def add_size(cell, x):
        traces.append(cell)
        return x + cell.spec.hidden_size

    run = jax.jit(add_size, static_argnums=0)
    for _ in range(3):
        run(cells.lstm(77), jnp.ones(3))
        gc.collect()
    assert len(traces) == 1


@cached_factory
def doubled(task: Objective, times: int = 1) -> Objective:
    """Return a copy of a task, made by a factory that takes another factory's product."""
    del times
    return dataclasses.replace(task)


def test_the_description_of_a_product_is_the_same_in_every_process():
    own = doubled(tasks.adding(), times=2)
    assert describe_product(own) == "doubled(adding('squared', 0), 2)"
    assert describe_product(dataclasses.replace(own)) == "a Task without a factory"

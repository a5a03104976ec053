"""Memory of torch alone in a process: ``python -m rnnlm_jax.benchmarking.torch_alone GROUP …`` prints bytes."""

import json
import sys
from collections.abc import Sequence

import jax

from rnnlm_jax import cells
from rnnlm_jax.benchmarking import layers, lm_cases, memory, peers, steps
from rnnlm_jax.benchmarking.measure.subject import Subject
from rnnlm_jax.benchmarking.weights import model_params, plain

#: Calls whose peak is taken: the second allocates what an optimiser or a carried state adds.
CALLS = 3


def layer(cell: str, job: str, shape: str, dtype: str) -> int | None:
    """Peak bytes of a layer's pass."""
    module, size = peers.load("torch").layers, layers.Shape(*map(int, shape.split("x")))
    params, xs = layers.arrays(cells.make(cell, size.hidden), size)
    before = _begin()
    return _peak(module.layer(cell, params._asdict(), xs, dtype).subject(job), before)


def step(name: str, dtype: str) -> int | None:
    """Peak bytes of a training step."""
    module, case = peers.load("torch").models, next(case for case in lm_cases.STEPS if case.name == name)
    assert module is not None
    weights = plain(model_params(case.model(dtype)))
    before = _begin()
    return _peak(module.training_step(weights, case.tokens(), steps.LEARNING_RATE, steps.CLIP_NORM, dtype), before)


def _on_gpu() -> bool:
    import torch  # pyright: ignore[reportMissingImports]

    return jax.default_backend() == "gpu" and torch.cuda.is_available()


def _begin() -> int | None:
    """What is resident before anything is made; None where it cannot be told."""
    if _on_gpu():
        return 0
    return memory.resident("VmRSS") if memory.reset_peak() else None


def _peak(subject: Subject, before: int | None) -> int | None:
    for _ in range(CALLS):
        subject.call()
    if before is None:
        return None
    if _on_gpu():
        import torch  # pyright: ignore[reportMissingImports]

        return torch.cuda.max_memory_allocated()
    return memory.resident("VmHWM") - before


def main(words: Sequence[str]) -> int:
    """Run one subject, print its peak."""
    group, *rest = words
    print(json.dumps((step if group == "steps" else layer)(*rest)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

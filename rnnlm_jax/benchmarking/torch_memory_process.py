"""The process that measures torch's memory: ``python -m rnnlm_jax.benchmarking.torch_memory_process GROUP …``.

It prints the peak of one layer or training step, in bytes.
"""

import json
import sys
from collections.abc import Sequence

import jax

from rnnlm_jax import cells
from rnnlm_jax.benchmarking import layers, lm_cases, peers, torch_memory, training_steps
from rnnlm_jax.benchmarking.measure.candidate import Candidate
from rnnlm_jax.benchmarking.random_weights import model_params, weights_by_name

#: Number of calls whose peak is taken: the second allocates what an optimiser or a kept state adds.
CALLS = 3


def layer(cell: str, job: str, shape: str, dtype: str) -> int | None:
    """Return the peak memory of a layer's pass in bytes."""
    module, size = peers.load("torch").layers, layers.Shape(*map(int, shape.split("x")))
    params, xs = layers.random_inputs(cells.make(cell, size.hidden), size)
    before = _memory_now()
    return _peak_above(before, module.layer(cell, params._asdict(), xs, dtype=dtype).candidate(job))


def step(name: str, dtype: str) -> int | None:
    """Return the peak memory of a training step in bytes."""
    module, case = peers.load("torch").models, next(case for case in lm_cases.STEPS if case.name == name)
    assert module is not None
    weights = weights_by_name(model_params(case.model(dtype)))
    before = _memory_now()
    rate, clip_norm = training_steps.LEARNING_RATE, training_steps.CLIP_NORM
    return _peak_above(
        before, module.training_step(weights, case.tokens(), rate=rate, clip_norm=clip_norm, dtype=dtype)
    )


def _on_gpu() -> bool:
    import torch  # pyright: ignore[reportMissingImports]

    return jax.default_backend() == "gpu" and torch.cuda.is_available()


def _memory_now() -> int | None:
    """Return the resident memory before anything is made; None where the system does not report it."""
    if _on_gpu():
        return 0
    return torch_memory.resident("VmRSS") if torch_memory.reset_peak() else None


def _peak_above(before: int | None, candidate: Candidate) -> int | None:
    for _ in range(CALLS):
        candidate.call()
    if before is None:
        return None
    if _on_gpu():
        import torch  # pyright: ignore[reportMissingImports]

        return torch.cuda.max_memory_allocated()
    return torch_memory.resident("VmHWM") - before


def main(words: Sequence[str]) -> int:
    """Run one candidate, and print its peak memory."""
    group, *rest = words
    print(json.dumps((step if group == "steps" else layer)(*rest)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

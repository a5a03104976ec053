"""A layer as a JAX function, of this library or a peer: its forward pass and its gradient, as candidates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.benchmarking.measure.candidate import Candidate, Numbers
from rnnlm_jax.benchmarking.measure.compiled_program import compile_program

#: The jobs of a layer.
FORWARD, BACKWARD = "forward", "forward+backward"


@dataclass(frozen=True)
class JaxLayer:
    """A layer, ``apply(params, inputs) -> outputs``, in a library's own layout."""

    name: str
    apply: Callable[[Tree, Array], Array]
    params: Tree
    inputs: Array
    named: Callable[[Tree], Mapping[str, Any]]
    """Converts gradients of the parameters to this library's names and layout."""
    batch_first: bool = False
    """Whether inputs and outputs are ``[B, T, ·]``."""

    def candidate(self, job: str) -> Candidate:
        """Return the compiled forward pass, or gradient of ``Σ h²`` with respect to parameters and inputs."""
        function = self.apply if job == FORWARD else jax.grad(self._loss, argnums=(0, 1))
        program = compile_program(function, self.params, self.inputs)
        return Candidate(
            name=self.name,
            call=lambda: program.call(self.params, self.inputs),
            numbers=self._outputs if job == FORWARD else self._gradients,
            compile_seconds=program.compile_seconds,
            memory_bytes=program.memory_bytes,
        )

    def _loss(self, params: Tree, inputs: Array) -> Array:
        return jnp.square(self.apply(params, inputs).astype(jnp.float32)).sum()

    def _outputs(self, outputs: Array) -> Numbers:
        return {"the output": self._time_first(outputs)}

    def _gradients(self, result: tuple[Tree, Array]) -> Numbers:
        params, inputs = result
        named = {f"the gradient of {name}": np.asarray(value) for name, value in self.named(params).items()}
        return named | {"the gradient of the inputs": self._time_first(inputs)}

    def _time_first(self, array: Array) -> np.ndarray:
        return np.swapaxes(np.asarray(array), 0, 1) if self.batch_first else np.asarray(array)

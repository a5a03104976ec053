"""The executor that runs any cell in parallel over time by Newton's method, and says how well it converged."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.export import is_symbolic_dim

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.arrays.linear_recurrence import linear_recurrence
from rnnlm_jax.arrays.mesh_axes import vary_over, varying_axes
from rnnlm_jax.cells.cell import Cell, check_choice, check_number, check_size, state_size
from rnnlm_jax.cells.state_blocks import state_blocks
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.controlled_step import ControlledStep
from rnnlm_jax.unroll.parallel_states import LARGEST_BLOCK, Certificate
from rnnlm_jax.unroll.run_parallel import ParallelExecutor, why_symbolic
from rnnlm_jax.unroll.scan import scan_states

#: Iterations after which the sequential scan takes over, unless given.
MOST_ITERATIONS = 100
#: The numbers of a chunk's matrices, unless a chunk is given: T·B·n·m of them are held at once.
LARGEST_CHUNK = 2**22
#: A Newton step is not trusted beyond this multiple of the largest number that a step of the cell returns.
TRUSTED_RANGE = 4.0


@dataclass(frozen=True)
class Newton(ParallelExecutor):
    """The executor ``newton`` with options: ``unroll(…, executor=Newton(max_iterations=20))``.

    It solves ``s_t = f_t(s_{t-1})`` for all t of a chunk at once (Lim et al. 2024). From ``s_t = f_t(s_0)``, each
    iteration linearises every step at the guess,

        Δ_t = J_t Δ_{t-1} + (f_t(s_{t-1}) - s_t),    s_t ← s_t + Δ_t,    J_t = ∂f_t/∂s_{t-1},

    and solves this linear recurrence by an associative scan. After k iterations at least the first k steps are exact,
    and steps whose residual is within the tolerance from the first on are kept as they are. A step whose number leaves
    the range of f is replaced by ``f_t(s_{t-1})``. A chunk that has not converged is run by the sequential scan, inside
    the same program. On a CPU it is much slower than ``scan``.
    """

    tolerance: float | None = None
    """The largest residual ``max_t |s_t - f_t(s_{t-1})|``, relative to the sequence's largest number; None: 16 ε."""
    max_iterations: int | None = None
    """The most iterations of a chunk; None: 100. Never more than the steps of the chunk."""
    damping: float = 0.0
    """k in [0, 1): iterations use ``(1 - k) J_t``, which is slower near the solution and safer far from it."""
    chunk: int | None = None
    """The steps that are solved at once; None: as many as keep their matrices below 2²² numbers, from 16 to 1024."""
    jacobian: str = "auto"
    """Which part of ``J_t`` iterations use: "blocks", all that may differ from zero; "diagonal" (Gonzalez et al. 2024,
    quasi-DEER), cheaper and slower to converge; "auto": blocks of up to 64 numbers, else the diagonal."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ArgumentError: if one is out of range.
        """
        if self.tolerance is not None:
            check_number("tolerance", self.tolerance)
            if self.tolerance <= 0:
                raise ArgumentError(f"`tolerance` must be above 0, not {self.tolerance}: leave it out for 16 ε")
        for name in ("max_iterations", "chunk"):
            if getattr(self, name) is not None:
                check_size(name, getattr(self, name))
        check_number("damping", self.damping)
        if not 0 <= self.damping < 1:
            raise ArgumentError(f"`damping` must be at least 0 and below 1, not {self.damping}: 0 is Newton's method")
        check_choice("jacobian", self.jacobian, ("auto", "blocks", "diagonal"))

    def why_not(
        self, cell: Cell, params: Tree, xs: Float[Array, "T B D"], control: Control, platform: str
    ) -> str | None:
        """Return why it cannot run something, as a ``WhyNotFn``; it runs every cell."""
        del cell, params, control, platform
        return why_symbolic(xs)

    def steps_of_chunk(self, cell: Cell, xs: Float[Array, "T B D"]) -> int:
        """Return the option ``chunk``, or as many steps as keep the matrices of iterations small."""
        if self.chunk is not None:
            return self.chunk
        batch = 1 if is_symbolic_dim(xs.shape[1]) else xs.shape[1]
        numbers = batch * state_size(cell) * self._block(cell)
        return min(max(LARGEST_CHUNK // max(numbers, 1), 16), 1024)

    def states(
        self, cell: Cell, params: Tree, zs: Float[Array, "T B GH"], control: Control, state: Tree
    ) -> tuple[Tree, Certificate]:
        """Return the states after every step and how they were found, as a ``Solver``."""
        problem = _Problem(ControlledStep(cell, control), params, zs, state)
        found = self._iterate(problem)
        converged = found.converged(self._tolerance(found.states.dtype))

        def fall_back() -> Array:
            sequential = problem.steps.blocks.join(scan_states(cell, params, zs, control, state)[1])
            return jnp.where(converged[None, :, None, None], found.states, sequential)

        states = jax.lax.cond(jnp.all(converged), lambda: found.states, fall_back)
        certificate = Certificate(found.residual, found.iterations, converged)
        return problem.steps.blocks.split(states), certificate

    def _iterate(self, problem: "_Problem") -> "_Guess":
        most = min(self.max_iterations or MOST_ITERATIONS, problem.zs.shape[0])
        tolerance = self._tolerance(problem.first.dtype)

        def unfinished(guess: _Guess) -> Array:
            return (guess.rounds < most) & ~jnp.all(guess.converged(tolerance))

        def improve(guess: _Guess) -> _Guess:
            # Relative to the numbers up to each step: those of later steps, still far off, change from one iteration
            # to the next, and an accepted step must stay accepted.
            within = guess.errors <= tolerance * guess.scale_so_far
            accepted = jax.lax.cummin(within.astype(jnp.int32), axis=0) > 0  # from the first step on
            open_steps = ~accepted[..., None, None]
            towards = jnp.where(open_steps, guess.after - guess.states, jnp.zeros((), guess.states.dtype))
            states = guess.states + self._newton_step(problem, guess.states, towards)
            trusted = jnp.abs(states) <= TRUSTED_RANGE * jnp.abs(guess.after).max(axis=(0, 2, 3), keepdims=True)
            states = jnp.where(open_steps, jnp.where(trusted, states, guess.after), guess.states)
            moved = ~jnp.all(accepted, axis=0)
            return problem.guess(states, guess.rounds + 1, guess.iterations + moved.astype(jnp.int32))

        first = problem.first_guess()
        return jax.lax.while_loop(unfinished, improve, first)

    def _newton_step(self, problem: "_Problem", states: Array, towards: Array) -> Array:
        """Return Δ for the residuals ``towards``."""
        kept = 1 - self.damping
        if self._block(problem.steps.cell) == 1:
            d = kept * problem.steps.diagonals(problem.params, problem.befores(states), problem.zs)
            moves = linear_recurrence(d[..., None, None], towards[..., None], jnp.zeros_like(towards[0][..., None]))
            return moves[..., 0]
        j = kept * problem.steps.jacobians(problem.params, problem.befores(states), problem.zs)
        return linear_recurrence(j, towards, jnp.zeros_like(towards[0]))

    def _block(self, cell: Cell) -> int:
        """Return m of the matrices that iterations use."""
        size = state_blocks(cell).size
        whole = size <= LARGEST_BLOCK if self.jacobian == "auto" else self.jacobian == "blocks"
        return size if whole else 1

    def _tolerance(self, dtype: Any) -> float:
        return 16 * float(jnp.finfo(dtype).eps) if self.tolerance is None else self.tolerance


class _Guess(NamedTuple):
    """States ``[T, B, N, m]``, what the steps make of them, and how far the two are apart."""

    states: Float[Array, "T B N m"]
    after: Float[Array, "T B N m"]
    """``f_t(s_{t-1})``."""
    rounds: Int[Array, ""]
    """Iterations so far."""
    iterations: Int[Array, " B"]

    @property
    def errors(self) -> Float[Array, "T B"]:
        """The largest error of each step; NaN where it is not a number."""
        return jnp.abs(self.after - self.states).max(axis=(2, 3), initial=0)

    @property
    def scale(self) -> Float[Array, " B"]:
        """The largest number of each sequence."""
        return jnp.abs(self.states).max(axis=(0, 2, 3), initial=0)

    @property
    def scale_so_far(self) -> Float[Array, "T B"]:
        """The largest number of each sequence up to each step."""
        return jax.lax.cummax(jnp.abs(self.states).max(axis=(2, 3), initial=0), axis=0)

    @property
    def residual(self) -> Float[Array, " B"]:
        """The largest error relative to the scale."""
        largest = self.errors.max(axis=0)
        return jnp.where(largest == 0, largest, largest / self.scale)

    def converged(self, tolerance: float) -> Bool[Array, " B"]:
        """Return which sequences are solved; NaN is not."""
        return jnp.all(self.errors <= tolerance * self.scale[None], axis=0)


class _Problem(NamedTuple):
    """One chunk of time."""

    steps: ControlledStep
    params: Tree
    zs: Float[Array, "T B GH"]
    state: Tree

    @property
    def first(self) -> Float[Array, "B N m"]:
        """``s_0``."""
        return self.steps.blocks.join(self.state)

    def befores(self, states: Array) -> Tree:
        """Return the state before each step."""
        return self.steps.blocks.split(jnp.concatenate([self.first[None], states[:-1]]))

    def guess(self, states: Array, rounds: Array, iterations: Array) -> _Guess:
        after = self.steps.after(self.params, self.befores(states), self.zs)
        return _Guess(states, self.steps.blocks.join(after), rounds, iterations)

    def first_guess(self) -> _Guess:
        """Return ``s_t = f_t(s_0)`` for every t."""
        everywhere = jax.tree.map(lambda a: jnp.broadcast_to(a, (self.zs.shape[0], *a.shape)), self.state)
        states = self.steps.blocks.join(self.steps.after(self.params, everywhere, self.zs))
        rounds, iterations = jnp.zeros((), jnp.int32), jnp.zeros(self.zs.shape[1:2], jnp.int32)
        axes = varying_axes(states)
        return self.guess(states, vary_over(rounds, axes), vary_over(iterations, axes))

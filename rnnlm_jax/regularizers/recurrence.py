"""Regularisation of the recurrence: gradients that neither vanish nor explode on their way back in time."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.cells.cell import Cell, state_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.regularizers.regularizer import Reads, Regularizer, Window, regularizer_factory
from rnnlm_jax.unroll.observed_unroll import single_cells

#: Folded into the key of a step for the frames of flossing; dropout and output layers fold other numbers into it.
FRAMES = 2**32 - 9


@regularizer_factory
def omega(weight: float, squared_norms: bool = False) -> Regularizer:
    """Ω: each step preserves the norm of the gradient (Pascanu, Mikolov & Bengio 2013, section 3.3, eqs. 9 and 10).

        λ Σ_{layers} Σ_{t,b} w_tb (‖J_tᵀ δ_t‖ / ‖δ_t‖ - 1)²,    δ_t = ∂E/∂s_t,    J_t = ∂s_t/∂s_{t-1}

    E is the loss with the terms that read no cotangents, and δ is taken from its own backward pass, through upper
    layers and later steps. For a stack, ``J_t`` is the Jacobian of each layer's own recurrence, for given inputs of the
    layer, and the layers' terms are added. The gradient is the immediate one of the paper: only the recurrent matrices
    have one (see ``jacobians.pascanu_omega``). The paper sums over steps, as a loss per sequence does; a loss per token
    takes the mean, as the authors' code does.

    Args:
        weight: λ.
        squared_norms: whether to use the ratio of squared norms, as the authors' code does.

    Raises:
        ArgumentError: if λ is not positive, or ``squared_norms`` is not a bool.
    """

    def term(window: Window) -> Float[Array, ""]:
        from rnnlm_jax.jacobians.pascanu_regularizer import omega_of_steps  # only where it is used: slow to import

        total = jnp.zeros((), window.weights.dtype)
        for cell, params, states, deltas in window.layers:
            terms = omega_of_steps(
                cell, params, states.before, zs=states.zs, deltas=deltas, squared_norms=squared_norms
            )
            total += (terms.astype(total.dtype) * window.weights).sum()
        return total

    return Regularizer("omega", weight, term, Reads.COTANGENTS, check=lambda cell: _check_steps("omega", cell))


@regularizer_factory
def flossing(weight: float, exponents: int = 1, every: int = 1) -> Regularizer:
    """Gradient flossing: the largest Lyapunov exponents of a window are drawn towards zero (Engelken 2023).

        λ Σ_{layers} Σ_{t,b} w_tb Σ_{k ≤ K} λ_k(b)²,    λ_k(b) = 1/T_b Σ_t ln|r_kk(t)|

    The exponents of sequence b are those of its ``T_b`` steps that count, in nats per step, from a random frame that is
    drawn anew at every step of training and is the same for all sequences (see ``jacobians.gradient_flossing``). For a
    stack they are those of each layer's own recurrence, for the inputs that the layer has; together these are the
    exponents of the whole stack. The gradient is complete, through states and inputs of layers too.

    Args:
        weight: λ.
        exponents: K; a direction that Jacobians map to zero has an exponent of -inf and makes the loss infinite.
        every: add the term at steps 0, n, 2n … only; at others it is 0 and costs little.

    Raises:
        ArgumentError: if λ is not positive, or a number is not a positive whole number.
    """

    def of_window(window: Window) -> Float[Array, ""]:
        from rnnlm_jax.jacobians.gradient_flossing import flossing_of_sequences  # only where used: slow to import
        from rnnlm_jax.jacobians.tangent_frames import random_frame

        weights, mask = window.weights, window.weights > 0
        assert window.key is not None
        key = jax.random.fold_in(window.key, FRAMES)
        total = jnp.zeros((), weights.dtype)
        for number, (cell, params, states, _) in enumerate(window.layers):
            frame = random_frame(jax.random.fold_in(key, number), state_size(cell), exponents, cell.spec.param_dtype)
            squares = flossing_of_sequences(cell, params, states.before, zs=states.zs, mask=mask, frame=frame)
            total += (squares.astype(total.dtype) * weights.sum(axis=0)).sum()
        return total

    def term(window: Window) -> Float[Array, ""]:
        if every == 1:
            return of_window(window)
        assert window.step is not None
        zero = jnp.zeros((), window.weights.dtype)
        return jax.lax.cond(window.step % every == 0, lambda: of_window(window), lambda: zero)

    def check(cell: Cell) -> None:
        _check_steps("flossing", cell)
        for each in single_cells(cell):
            if exponents > state_size(each):
                raise ArgumentError(
                    f"`regularize` flossing_exponents must be at most the {state_size(each)} numbers of a layer's "
                    f"state, not {exponents}"
                )
            if jnp.finfo(each.spec.param_dtype).bits < 32:
                raise ArgumentError(f"`regularize` flossing needs a state in float32, not {each.spec.param_dtype}")

    return Regularizer("flossing", weight, term, Reads.STATES, needs_key=True, needs_step=every > 1, check=check)


def _check_steps(name: str, cell: Cell) -> None:
    """Check that a cell has states over time, one step after the other.

    Raises:
        ArgumentError: if it has none.
    """
    if not all(map(state_size, single_cells(cell))):
        raise ArgumentError(f"`regularize` {name} regularises a recurrence, and cell {cell.spec.kind!r} has no state")

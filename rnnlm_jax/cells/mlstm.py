"""The mLSTM of xLSTM: a matrix memory with exponential gates that depend on the input only."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import sigmoid
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import initializers, linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant
from rnnlm_jax.cells.exponential_gates import log_forget_gate, stabilise
from rnnlm_jax.cells.matrix_state import by_head, outer, side_by_side, size_of_heads, split_parts, times, token_flops

#: Largest exponent of ``e^{-m}``, beyond which outputs are zero to float32's rounding.
LARGEST_EXPONENT = 80.0


@serialized
class MLSTMParams(NamedTuple):
    """The input map and its bias; ``K = heads · d_k``, ``H = heads · d_v``."""

    w_x: Float[Array, "D F"]
    """Blocks q ``[D, K]``, k ``[D, K]``, v ``[D, H]``, o ``[D, H]``, i ``[D, heads]`` and f ``[D, heads]``."""
    b: Float[Array, " F"]


@serialized
class MLSTMState(NamedTuple):
    """Memory C, normaliser n and stabiliser m of each head; C and n are divided by ``e^m``."""

    memory: Float[Array, "*B heads d_v d_k"]
    normalizer: Float[Array, "*B heads d_k"]
    stabilizer: Float[Array, "*B heads"]


@cell_factory
def mlstm(
    hidden_size: int,
    heads: int = 1,
    *,
    key_size: int | None = None,
    forget: str = "sigmoid",
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[MLSTMParams, MLSTMState]:
    """Return the mLSTM (xLSTM: Beck et al. 2024, eqs. 19-27).

    With ``q, k, v, o`` and the scalars ``i, f`` of each head linear in ``x_t``, k divided by ``√d_k``,

        C_t = f̂ C_{t-1} + e^i v kᵀ,    n_t = f̂ n_{t-1} + e^i k,    f̂ = σ(f) or e^f,
        h_t = σ(o) ⊙ C_t q / max(|n_t · q|, 1),

    computed with C and n divided by ``e^{m_t}``, ``m_t = max(i, ln f̂ + m_{t-1})``, so that ``e^{-m_t}`` stands in place
    of 1, and no exponential overflows. Without m the recurrence would be linear. The step Jacobian is of the state as
    it is stored, m included: it is singular wherever the input gate sets m.

    The paper's block also convolves and projects the inputs, normalises h_t by head, and adds skip connections: these
    are left out. Initial values are of the authors' code: maps to q, k, v and o normal of variance ``2 / (5 D)``, those
    to i and f zero, biases of i normal of deviation 0.1, and of f from 3 to 6 over the heads.

    Args:
        hidden_size: H, the width of the output.
        heads: number of heads; divides H.
        key_size: d_k of each head; as wide as its values, ``H / heads``, unless given.
        forget: "sigmoid" or "exp", the activation of the forget gate.
        dtype: dtype of the matrix products with the input; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: if ``heads`` does not divide H, a size is not positive, or the forget gate is unknown.
    """
    value_size = size_of_heads(hidden_size, heads)
    key_size = value_size if key_size is None else check_size("key_size", key_size)
    log_forget = log_forget_gate(forget)
    keys = heads * key_size
    sizes = (keys, keys, hidden_size, hidden_size, heads, heads)  # of q, k, v, o, i, f

    def init(key: Key, input_size: int) -> MLSTMParams:
        check_size("input_size", input_size)
        map_key, bias_key = jax.random.split(key)
        vectors = sum(sizes[:4])
        drawn = initializers.small(map_key, (input_size, vectors), param_dtype)
        b_i = 0.1 * jax.random.normal(bias_key, (heads,), param_dtype)
        b_f = jnp.linspace(3.0, 6.0, heads, dtype=param_dtype)
        return MLSTMParams(
            w_x=jnp.concatenate([drawn, jnp.zeros((input_size, 2 * heads), param_dtype)], axis=1),
            b=jnp.concatenate([jnp.zeros((vectors,), param_dtype), b_i, b_f]),
        )

    def initial_state(batch_shape: tuple[int, ...]) -> MLSTMState:
        batch = check_batch_shape(batch_shape)
        shapes = ((heads, value_size, key_size), (heads, key_size), (heads,))
        return MLSTMState(*(jnp.zeros((*batch, *shape), param_dtype) for shape in shapes))

    def whole_step(params: MLSTMParams, state: MLSTMState, z: Array) -> MLSTMState:
        del params
        _, k, v, _, i, f = split_parts(z, sizes, param_dtype)
        k = by_head(k, heads) * key_size**-0.5
        input_gate, forget_gate, stabilizer = stabilise(i, log_forget(f) + state.stabilizer)
        stored = input_gate[..., None] * k
        return MLSTMState(
            forget_gate[..., None, None] * state.memory + outer(by_head(v, heads), stored),
            forget_gate[..., None] * state.normalizer + stored,
            stabilizer,
        )

    def gated_readout(params: MLSTMParams, state: MLSTMState, z: Array) -> Array:
        del params
        q, _, _, o, _, _ = split_parts(z, sizes, param_dtype)
        q = by_head(q, heads)
        one = jnp.exp(jnp.minimum(-state.stabilizer, jnp.full((), LARGEST_EXPONENT, param_dtype)))
        least = jnp.full((), jnp.finfo(param_dtype).tiny, param_dtype)  # where e^{-m} underflows, no 0 / 0
        stored = jnp.abs((state.normalizer * q).sum(axis=-1))
        divisor = jnp.maximum(jnp.maximum(stored, one), least)
        return sigmoid(o) * side_by_side(times(state.memory, q) / divisor[..., None])

    def log_slopes(params: MLSTMParams, before: MLSTMState, after: MLSTMState, z: Array, r: Array) -> Array:
        """Return 0 for each head whose forget gate, then 1, sets m, and -inf for others, which forget m_{t-1}."""
        del params, after, r
        *_, i, f = split_parts(z, sizes, param_dtype)
        return jnp.where(i >= log_forget(f) + before.stabilizer, -jnp.inf, jnp.zeros((), param_dtype))

    variant = (("heads", heads), ("key_size", key_size), ("forget", forget))
    return Cell(
        spec=CellSpec("mlstm", hidden_size, hidden_size, dtype, param_dtype, variant),
        init=init,
        initial_state=initial_state,
        input_projection=linear_maps.input_projection(dtype),
        whole_step=whole_step,
        gated_readout=gated_readout,
    ).with_facts(
        CellFacts(
            jacobian=JacobianStructure.DENSE if heads == 1 else JacobianStructure.BLOCK,
            blocks=None if heads == 1 else heads,
            log_determinant=LogDeterminant(log_slopes),
            token_flops=lambda params: token_flops(params, 2, hidden_size * key_size) + 4.0 * keys,
            recurrent_matrices=(),
        )
    )

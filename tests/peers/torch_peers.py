"""What tests beside cells in torch share: the same loss in both libraries, and its gradients in our own shapes.

A peer's parameters are made from ours by torch operations, so that its gradients come back in the shape of ours.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.unroll.programs import assert_close, random_like, run_with_gradients

torch = pytest.importorskip("torch")  # skips the file that imports this one

#: All different, so that no axis can pass for another.
T, B, D, H = 6, 3, 4, 5


def as_leaf(array):
    return torch.tensor(np.asarray(array)).requires_grad_()


def as_numpy(tree):
    return jax.tree.map(lambda a: a.detach().numpy(), tree)


def random_problem(cell, input_size=D):
    """Return random parameters, state and inputs, and the weights of a loss of everything that comes out."""
    rng = np.random.default_rng(0)
    dtype = cell.spec.param_dtype
    params = random_like(jax.eval_shape(lambda: cell.init(jax.random.key(0), input_size)), rng)
    state = random_like(jax.eval_shape(lambda: cell.initial_state((B,))), rng)
    xs = jnp.asarray(rng.standard_normal((T, B, input_size)), dtype)
    weights = (random_like(state, rng, 1.0), jnp.asarray(rng.standard_normal((T, B, cell.spec.output_size)), dtype))
    return params, state, xs, weights


def from_zero_state(cell, problem):
    """Return a problem whose first state is the cell's initial one."""
    params, _, xs, weights = problem
    return params, cell.initial_state((B,)), xs, weights


def check(cell, peer, problem, tolerance=1e-10, *, reads_state=True):
    """Check final states, outputs and the gradients of a sum of both by parameters, first state and inputs.

    Args:
        cell: our cell.
        peer: function of our parameters, state and inputs ``[T, B, D]`` as torch tensors; returns the final state, of
            our type, or None where the peer does not return it, and the outputs ``[T, B, P]``.
        problem: from ``random_problem``.
        tolerance: largest difference, relative to the largest number of an array.
        reads_state: whether the peer can start from a state, so that the gradient by it is compared.
    """
    params, state, xs, weights = problem
    leaves = jax.tree.map(as_leaf, (params, state, xs))
    their_final, their_hs = peer(*leaves)
    if their_final is None:
        weights = (jax.tree.map(jnp.zeros_like, weights[0]), weights[1])
    (final, hs), gradients = run_with_gradients(cell, params, state, xs, weights)

    assert_close(hs, as_numpy(their_hs), tolerance)
    loss = (torch.tensor(np.asarray(weights[1])) * their_hs).sum()
    if their_final is not None:
        assert_close(final, as_numpy(their_final), tolerance)
        for w, a in zip(weights[0], their_final, strict=True):
            loss = loss + (torch.tensor(np.asarray(w)) * a).sum()
    flat, structure = jax.tree.flatten(leaves)
    theirs = as_numpy(jax.tree.unflatten(structure, torch.autograd.grad(loss, flat, materialize_grads=True)))
    assert_close((gradients[0], gradients[2]), (theirs[0], theirs[2]), tolerance)
    if reads_state:
        assert_close(gradients[1], theirs[1], tolerance)


def scan(module, weights, state, xs):
    """Run a torch cell ``(x, state) -> state`` over time, with these tensors as its parameters."""
    hs = []
    for x in xs:
        state = torch.func.functional_call(module, weights, (x, state))
        hs.append(state[0] if isinstance(state, tuple) else state)
    return state, torch.stack(hs)

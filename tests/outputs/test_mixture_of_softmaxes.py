"""The mixture of softmaxes against its definition in NumPy: probabilities, gradients, memory, rank."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.outputs import make
from rnnlm_jax.outputs.mixture_of_softmaxes import MixtureParams, mixture_of_softmaxes

K, H, D, V = 3, 5, 4, 9
RNG = np.random.default_rng(0)
HS, TARGETS = RNG.normal(size=(4, 2, H)), RNG.integers(0, V, (4, 2)).astype(np.int32)
WEIGHTS = RNG.normal(size=(4, 2)) * (np.arange(8).reshape(4, 2) % 3 != 1)
PARAMS = MixtureParams(
    *(RNG.normal(size=shape) for shape in ((H, K * D), (K * D,), (H, K), (D, V), (V,)))
)  # fmt: skip


def layer_of(tied, dtype="float64"):
    return mixture_of_softmaxes(K, None if tied else D, tied, dtype, dtype)


def params_of(tied):
    return PARAMS._replace(w=PARAMS.w.T.copy()) if tied else PARAMS


def softmax(a):
    powers = np.exp(a - a.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def probabilities(params, hs):
    """Equations 2 and 3 of the paper, one component after the other."""
    total = np.zeros((*hs.shape[:-1], V))
    priors = softmax(hs @ params.prior_w)
    for k in range(K):
        columns = slice(k * D, (k + 1) * D)
        component = np.tanh(hs @ params.latent_w[:, columns] + params.latent_b[columns])
        total += priors[..., k, None] * softmax(component @ params.w + params.b)
    return total


@pytest.mark.parametrize("tied", [False, True])
def test_values_are_those_of_the_definition(tied):
    layer, p = layer_of(tied), probabilities(PARAMS, HS)
    nats = -np.log(np.take_along_axis(p, TARGETS[..., None], -1)[..., 0])
    np.testing.assert_allclose(np.exp(layer.log_probs(params_of(tied), HS)), p, rtol=1e-12)
    np.testing.assert_allclose(layer.nats(params_of(tied), HS, TARGETS), nats, rtol=1e-12)
    np.testing.assert_allclose(layer.total_nats(params_of(tied), HS, TARGETS, WEIGHTS), (WEIGHTS * nats).sum(), 1e-12)


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_are_those_of_central_differences(tied):
    """Of a total that is multiplied by 3, since a cotangent of 1 takes another path."""

    def total(operands):
        params, hs = operands
        return 3 * layer_of(tied).total_nats(params, hs, TARGETS, WEIGHTS)

    operands = jax.tree.map(jnp.asarray, (params_of(tied), HS))
    gradient = jax.jit(jax.grad(total))(operands)
    moved = jax.jit(jax.vmap(total))
    leaves, structure = jax.tree.flatten(operands)
    step, rng = 1e-5, np.random.default_rng(1)
    for number, slope in enumerate(jax.tree.leaves(gradient)):
        direction = rng.normal(size=slope.shape)
        pair = [jnp.stack([leaf, leaf]) for leaf in leaves]
        pair[number] = jnp.stack([leaves[number] + s * step * direction for s in (1, -1)])
        above, below = moved(jax.tree.unflatten(structure, pair))
        np.testing.assert_allclose((above - below) / (2 * step), (slope * direction).sum(), rtol=1e-7, atol=1e-8)


def test_one_component_is_a_softmax_over_its_latents():
    single = MixtureParams(PARAMS.latent_w[:, :D], PARAMS.latent_b[:D], PARAMS.prior_w[:, :1], PARAMS.w, PARAMS.b)
    found = mixture_of_softmaxes(1, D, dtype="float64", param_dtype="float64").log_probs(single, HS)
    logits = np.tanh(HS @ single.latent_w + single.latent_b) @ single.w + single.b
    np.testing.assert_allclose(np.exp(found), softmax(logits), rtol=1e-12)


def test_log_probabilities_have_a_higher_rank_than_a_softmax_can():
    """Those of a softmax over D units have a rank of at most D + 2 over any texts (section 2.1), a mixture's do not."""
    hs = 2 * np.random.default_rng(2).normal(size=(40, H))
    log_probs = layer_of(False).log_probs(PARAMS._replace(latent_w=2 * PARAMS.latent_w, w=2 * PARAMS.w), hs)
    assert np.linalg.matrix_rank(log_probs, tol=1e-6) == V > D + 2


@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_extreme_logits_give_finite_nats_and_gradients(scale):
    narrow = jax.tree.map(lambda a: np.asarray(a, np.float32), PARAMS)._replace(b=np.float32(scale) * np.eye(V)[0])
    narrow = narrow._replace(b=narrow.b.astype(np.float32))
    layer, hs = layer_of(False, "float32"), HS.astype(np.float32)
    targets, ones = np.zeros_like(TARGETS), np.ones(TARGETS.shape, np.float32)
    np.testing.assert_allclose(layer.nats(narrow, hs, targets), 0, atol=3e-7)
    np.testing.assert_allclose(layer.nats(narrow, hs, targets + 1), scale, rtol=1e-2)
    gradient = jax.grad(layer.total_nats)(narrow, hs, targets + 1, ones)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_rows_of_weight_zero_and_targets_that_are_not_words():
    layer = layer_of(False)
    strange = np.where(WEIGHTS == 0, 99, TARGETS)
    found = jax.value_and_grad(layer.total_nats)(PARAMS, HS, strange, WEIGHTS)
    wanted = jax.value_and_grad(layer.total_nats)(PARAMS, HS, TARGETS, WEIGHTS)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
    assert np.isnan(layer.nats(PARAMS, HS, strange)[WEIGHTS == 0]).all()
    np.testing.assert_array_equal(layer.nats(PARAMS, HS, TARGETS - V), layer.nats(PARAMS, HS, TARGETS))


def test_memory_does_not_grow_with_components_times_rows_times_words():
    """Compiled, the loss with all gradients needs less than one array of N K V numbers, and little more for twice N."""
    rows, words, width, components = 600, 4000, 8, 20

    def bytes_for(count):
        layer = mixture_of_softmaxes(components, width)
        params = jax.eval_shape(lambda: layer.init(jax.random.key(0), width, words))
        shapes = ((count, width), np.float32), ((count,), np.int32), ((count,), np.float32)
        given = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
        program = jax.jit(jax.value_and_grad(layer.total_nats, (0, 1))).lower(params, *given).compile()
        return program.memory_analysis().temp_size_in_bytes

    one, two = bytes_for(rows), bytes_for(2 * rows)
    assert two < components * rows * words * 4 / 3
    assert two - one < 100 * components * rows * width


def test_initial_components_have_the_scale_of_their_own_map():
    params = mixture_of_softmaxes(8, 6).init(jax.random.key(0), 10, 20)
    assert params.latent_w.shape == (10, 48) and params.prior_w.shape == (10, 8)
    bound = (6 / (10 + 6)) ** 0.5
    assert 0.9 * bound < np.abs(params.latent_w).max() <= bound
    tied = mixture_of_softmaxes(8, tied=True).init_tied(jax.random.key(0), 10, 6, 20)
    assert tied.w is None and tied.latent_w.shape == (10, 48)


@pytest.mark.parametrize("options", [{"components": 0}, {"components": 2.5}, {"latent_size": -1}, {"components": True}])
def test_impossible_options_are_refused(options):
    with pytest.raises(UserError, match=f"`{next(iter(options))}` must be a positive whole number"):
        make("mixture-of-softmaxes", **options)

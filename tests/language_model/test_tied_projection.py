"""Tied embeddings behind a projection: what it starts from, where dropout is applied, and who refuses it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.interop import torch_language_model
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.jobs.sharding.parameter_sharding import shard_parameters
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient, training_loss
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs.mixture_of_softmaxes import mixture_of_softmaxes
from rnnlm_jax.outputs.softmax import ProjectedSoftmaxParams, SoftmaxParams, softmax
from tests.training.tiny import random_params

V, D, H, T, B, RATE = 7, 3, 6, 4, 2, 0.5
CELL = cells.elman(H, param_dtype=jnp.float64)
BATCH = Batch(*np.random.default_rng(0).integers(0, V, (2, T, B)), np.ones((T, B), bool))
KEY = jax.random.key(3)


def test_the_projection_starts_orthonormal_and_takes_no_place_where_widths_are_equal():
    params = language_model(CELL, V, D, tie_embeddings=True).init(KEY).output
    assert isinstance(params, ProjectedSoftmaxParams) and params.w is None
    np.testing.assert_allclose(params.projection.T @ params.projection, np.eye(D), atol=1e-12)
    assert isinstance(language_model(CELL, V, tie_embeddings=True).init(KEY).output, SoftmaxParams)
    uniform = language_model(CELL, V, D, tie_embeddings=True, init_scale=0.1).init(KEY).output.projection
    assert np.abs(uniform).max() <= 0.1 and len(np.unique(uniform)) == H * D


def test_the_matrix_of_words_is_the_embedding_in_every_function():
    model = language_model(CELL, V, D, tie_embeddings=True)
    params, state = random_params(model), model.initial_state((B,))
    nats = jax.jit(model.token_nll)(params, state, BATCH.inputs, BATCH.targets)[1]
    log_probs = jax.jit(model.log_probs)(params, state, BATCH.inputs[0])[1]
    np.testing.assert_allclose(-log_probs[np.arange(B), BATCH.targets[0]], nats[0], rtol=1e-12)
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, rtol=1e-12)
    found = shard_parameters(model, 2)
    assert (found.output.projection.manner, found.output.b.manner) == (None, "whole")  # 7 words do not divide by 2


def dropped(values, fold):
    """Return values under the locked mask that ``fold`` draws, by the definition of dropout."""
    keep = jax.random.bernoulli(jax.random.fold_in(KEY, fold), jnp.float32(1 - RATE), (1, *values.shape[1:]))
    return np.where(keep, np.asarray(values) / (1 - RATE), 0)


@pytest.mark.parametrize("kind", ["softmax", "mixture"])
def test_dropout_before_and_after_the_projection(kind):
    """Output dropout falls on hidden states, latent dropout on what meets the embedding."""
    output = softmax(True, "float64", "float64") if kind == "softmax" else mixture_of_softmaxes(
        2, tied=True, dtype="float64", param_dtype="float64"
    )  # fmt: skip
    options = {"tie_embeddings": True, "output": output}
    model = language_model(CELL, V, D, dropout=Dropout(output=RATE, latent=RATE, locked=True), **options)
    assert model.draws and Dropout(latent=0.1).is_active
    params, state = random_params(model), model.initial_state((B,))
    (loss, _), gradient = jax.jit(loss_and_gradient, static_argnums=0)(model, params, state, BATCH, KEY)

    hs = jax.jit(language_model(CELL, V, D, **options).hidden)(params, state, BATCH.inputs, None)[1]
    own = model.output_params(params)
    latents = output.latents(own, jnp.asarray(dropped(hs, 2**32 - 1)))
    assert latents.values.shape == ((T, B, D) if kind == "softmax" else (T, B, 2, D))
    latents = latents._replace(values=jnp.asarray(dropped(latents.values, 2**32 - 8)))
    np.testing.assert_allclose(loss, output.nats(own, latents, jnp.asarray(BATCH.targets)).sum(), rtol=1e-12)
    at_target = np.take_along_axis(output.log_probs(own, latents), BATCH.targets[..., None], 2)
    np.testing.assert_allclose(loss, -at_target.sum(), rtol=1e-12)

    again = jax.jit(jax.grad(training_loss, 1, has_aux=True), static_argnums=0)(model, params, state, BATCH, KEY)[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), again, gradient)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs tied embeddings of another width.*output 'softmax' has no latents"),
        ({"tie_embeddings": True}, "needs tied embeddings of another width.*has no projection"),
    ],
)
def test_latent_dropout_needs_latents(options, said):
    with pytest.raises(UserError, match="`dropout_latent` " + said):
        language_model(CELL, V, dropout=Dropout(latent=0.5), **options)


def test_torch_has_no_such_model():
    config = ModelConfig("lstm", hidden_size=H, embedding_size=D, tie_embeddings=True)
    params = random_params(build_model(config, V))
    with pytest.raises(UserError, match="no projection between hidden states and tied embeddings"):
        torch_language_model.dump(config, params)

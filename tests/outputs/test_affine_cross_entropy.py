"""The output layer's loss with all its gradients, chunk by chunk, against NumPy: as a kernel, and as what it means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.outputs import affine_cross_entropy as subject
from rnnlm_jax.outputs.affine_cross_entropy import affine_gradients, affine_nats, chunk_rows
from tests.outputs.reference import problem, solution


@pytest.fixture(params=["operation", "meaning"])
def run(request, monkeypatch):
    """Once as it runs on this machine, once as pure JAX."""
    if request.param == "meaning":
        for name in ("_nats", "_gradients"):
            meaning = jax.jit(getattr(subject, name).reference, static_argnames=("by_word", "rows"))
            monkeypatch.setattr(subject, name, meaning)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("by_word", [False, True])
@pytest.mark.parametrize("rows", [3, 100, None])
def test_nats_and_gradients_are_those_of_the_definition(rows, by_word):
    """Chunks that do not divide the rows, one chunk that is longer than they are, and the length chosen by sizes."""
    given = problem(by_word=by_word)
    nats, *gradients = solution(given, by_word)
    found = affine_gradients(*given, by_word=by_word, rows=rows)
    np.testing.assert_allclose(affine_nats(*given, by_word=by_word, rows=rows), nats, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(found.nats, nats, rtol=1e-13, atol=1e-13)
    for ours, wanted in zip(found[1:], gradients, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-13)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("by_word", [False, True])
def test_what_has_no_weight_may_be_anything_finite(by_word):
    """It adds nothing, not even the rounding of a number that overflows beside it."""
    given = problem(by_word=by_word)
    h = np.where(given.weights[:, None] == 0, 1e200, given.h)
    targets = np.where(given.weights == 0, -1000, given.targets)
    found = affine_gradients(*given._replace(h=h, targets=targets), by_word=by_word)
    for ours, wanted in zip(found, solution(given, by_word), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-13, atol=1e-13)
    none = affine_gradients(*given._replace(weights=np.zeros(7)), by_word=by_word)
    assert not any(np.any(leaf) for leaf in none)


@pytest.mark.usefixtures("run")
def test_targets_that_are_no_column_have_no_loss():
    """As in NumPy the last column is -1; beyond both ends there is nothing, and nothing is read or written there."""
    given = problem()._replace(weights=np.ones(7))
    outside = given._replace(targets=np.array([9, -1, -10, 2**31 - 1, -(2**31), 0, 8], np.int32))
    found = affine_gradients(*outside)
    wanted, *_ = solution(outside._replace(targets=np.array([0, 8, 0, 0, 0, 0, 8])))
    nothing = np.array([True, False, True, True, True, False, False])
    np.testing.assert_allclose(found.nats, np.where(nothing, np.nan, wanted), rtol=1e-13)
    # A row's slopes sum to the part of its probability that the target leaves: one, where there is none.
    np.testing.assert_allclose(found.db.sum(), nothing.sum(), rtol=1e-13)


@pytest.mark.usefixtures("run")
def test_numbers_that_are_not_finite():
    """A word that cannot come has no slope; a NaN among the parameters reaches every loss."""
    given = problem()._replace(weights=np.ones(7))
    given = given._replace(b=np.where(np.arange(9) == 4, -np.inf, given.b), targets=np.where(given.targets == 4, 5, 3))
    found = affine_gradients(*given)
    for ours, wanted in zip(found, solution(given._replace(b=np.where(np.isinf(given.b), -1e6, given.b))), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-13, atol=1e-13)
    assert found.db[4] == 0
    assert np.isnan(affine_gradients(*given._replace(b=np.where(np.arange(9) == 8, np.nan, given.b))).nats).all()
    impossible = affine_gradients(*given._replace(targets=np.full(7, 4)))
    assert np.isposinf(impossible.nats).all() and np.isfinite(impossible.dw).all()


@pytest.mark.usefixtures("run")
def test_large_logits_keep_the_digits_of_float32():
    """Logits about 10,000, whose spacing is a thousandth: the differences are exact, and so must the loss be."""
    rng = np.random.default_rng(0)
    logits = (10_000 + rng.integers(-4096, 4096, (6, 50)) / 1024).astype(np.float32)
    given = problem(6, 6, 50, dtype="float32")._replace(h=np.eye(6, dtype="float32"), w=logits, b=np.zeros(50, "f"))
    given = given._replace(weights=np.ones(6, "f"))
    found = affine_gradients(*given)
    nats, _, dw, db = solution(given)
    assert found.nats.dtype == found.dw.dtype == np.float32
    np.testing.assert_allclose(found.nats, nats, rtol=5e-7)
    np.testing.assert_allclose(found.dw, dw, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(found.db, db, rtol=0, atol=2e-6)


@pytest.mark.parametrize("pure", [False, True], ids=["operation", "meaning"])
def test_memory_does_not_grow_with_rows(pure):
    """Ten times as many rows: what is added is of the size of the hidden states, not of the logits."""
    hidden, vocabulary = 3, 200

    def temporary(count):
        given = problem(count, hidden, vocabulary)
        run = subject._gradients.reference if pure else subject._gradients
        # A sum, so that no gradient is a result, and all memory is counted.
        total = jax.jit(lambda *given: [a.sum() for a in run(*given, by_word=False, rows=np.int64(20))[:4]])
        return total.lower(*given).compile().memory_analysis().temp_size_in_bytes

    fewer, more = temporary(40), temporary(400)
    assert 20 * vocabulary * 8 <= fewer
    assert more - fewer < 360 * 8 * 8 * (hidden + 3) < 360 * vocabulary * 8 / 4


def test_second_derivatives_and_batches_are_those_of_the_plain_formula():
    """The operation's derivative, and ``vmap``, are those of its meaning."""
    given = problem()

    def plain(h):
        logits = h @ given.w + given.b[None]
        slopes = jax.nn.softmax(logits) - jax.nn.one_hot(given.targets, 9)
        return jnp.sin((slopes * given.weights[:, None]) @ given.w.T).sum()

    def ours(h):
        return jnp.sin(affine_gradients(h, *given[1:], rows=3).dh).sum()

    stack = jnp.stack([given.h, -given.h])
    wanted, found = (jax.jit(jax.vmap(jax.value_and_grad(f)))(stack) for f in (plain, ours))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("count", "hidden", "vocabulary", "rows"),
    [
        (400, 200, 10_000, 400),
        (1000, 650, 10_000, 500),
        (400, 512, 100_000, 400),
        (4096, 128, 50, 1024),
        (7, 1, 10**9, 1),
    ],
)
def test_chunks_are_of_some_megabytes_and_even(count, hidden, vocabulary, rows):
    assert chunk_rows(count, hidden, vocabulary, itemsize=4) == rows


def test_nothing_at_all():
    given = problem(0)
    found = jax.jit(affine_gradients)(*given)
    assert found.nats.shape == (0,) and not found.dw.any()

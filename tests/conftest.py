"""Set-up of the whole suite: 64-bit types throughout, and strict promotion where the library promises it."""

import gc

import hypothesis
import jax
import pytest

# Tracing makes many small objects that live long; Python's collector need not look at all of them every time.
gc.freeze()
gc.set_threshold(50_000, 20, 20)

# The library never leans on default dtypes, so tests may turn on the wide ones: what says float32 must stay float32,
# and numerical identities can be held to float64.
jax.config.update("jax_enable_x64", True)

# Examples are drawn alike on every machine, and none is wrong for being slow: machines may be busy, and jit compiles.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")

#: Directories whose tests run under strict promotion: an implicit change of dtype is an error there.
STRICT = ("cells", "unroll", "peers")


@pytest.fixture(autouse=True)
def promotion(request):
    """Strict promotion for the directories in ``STRICT``."""
    if request.path.parent.name not in STRICT:
        yield
        return
    with jax.numpy_dtype_promotion("strict"):
        yield

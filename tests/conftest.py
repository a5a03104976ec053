"""Set-up of the whole suite: 64-bit types throughout, and strict promotion."""

import gc

import hypothesis
import jax
import pytest

from tests import shape_checking

shape_checking.install()  # before the library is imported

# Tracing makes many small objects that live long; Python's collector need not look at all of them every time.
gc.freeze()
gc.set_threshold(50_000, 20, 20)

# The library never leans on default dtypes, so tests may turn on the wide ones: what says float32 must stay float32,
# and numerical identities can be held to float64.
jax.config.update("jax_enable_x64", True)

# Examples are drawn alike on every machine, and none is wrong for being slow: machines may be busy, and jit compiles.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")

#: Directories and files whose tests may promote: arrays of another rank ("rank") or dtype ("dtype") implicitly.
MAY_PROMOTE = {
    "jacobians": ("rank", "dtype"),
    "horizons": ("rank", "dtype"),
    "test_coming_from.py": ("dtype",),  # readers' programs, ``nats / tokens``
    "test_documentation.py": ("rank", "dtype"),  # spectra too, as in jacobians
    "test_log_jacobian.py": ("rank", "dtype"),
    "test_log_spectrum.py": ("rank", "dtype"),
    "test_schedules.py": ("rank", "dtype"),  # optax's schedules promote; a rule that has one may
    "test_sampled_step.py": ("dtype",),
    "test_step_by_row.py": ("dtype",),
    "interop": ("dtype",),  # beside Flax, which promotes lengths
}


#: jax keeps the programs of at most 8,192 functions; those of functions beyond are compiled, but not counted.
TESTS_BETWEEN_CLEARED_CACHES = 1000
_tests_since_cleared = 0


@pytest.fixture(autouse=True, scope="module")
def room_for_programs():
    """Forget the programs of earlier modules from time to time: a worker of the suite would come to jax's limit."""
    global _tests_since_cleared
    if _tests_since_cleared > TESTS_BETWEEN_CLEARED_CACHES:
        jax.clear_caches()
        _tests_since_cleared = 0


@pytest.fixture(autouse=True)
def promotion(request):
    """Make an implicit change of dtype or rank an error, as users may, but in those of ``MAY_PROMOTE``."""
    allowed = MAY_PROMOTE.get(request.path.name, MAY_PROMOTE.get(request.path.parent.name, ()))
    rank, dtype = "allow" if "rank" in allowed else "raise", "standard" if "dtype" in allowed else "strict"
    global _tests_since_cleared
    _tests_since_cleared += 1
    with jax.numpy_rank_promotion(rank), jax.numpy_dtype_promotion(dtype):
        yield

"""The modules that the package lists, as editors see them."""

import importlib

import rnnlm_jax


def test_the_package_lists_its_modules():
    modules = set(dir(rnnlm_jax)) - set(rnnlm_jax.__all__)
    public = {name for name in modules if not name.startswith("_")}
    assert {"data", "jacobians", "language_model", "training"} <= public
    for name in public:
        assert importlib.import_module(f"rnnlm_jax.{name}") is getattr(rnnlm_jax, name)

"""``rnnlm-jax build-kernels``."""

import argparse

from rnnlm_jax.errors import UserError
from rnnlm_jax.kernels import unavailable
from rnnlm_jax.kernels.build import BuildError, build
from rnnlm_jax.kernels.library import SWITCH
from rnnlm_jax.kernels.operation import DATA_TYPES
from rnnlm_jax.system.cache_root import CACHE_VARIABLE, NoCacheError, user_cache_root


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none: all kernels of all dtypes are compiled."""


def main(arguments: argparse.Namespace) -> int:
    """Compile what is not yet in the cache, load it, and print where each dtype's library lies."""
    del arguments
    try:
        root = user_cache_root()
    except NoCacheError as error:
        raise UserError(
            f"kernels cannot be kept: {error}: set {CACHE_VARIABLE} to a folder that can be written"
        ) from None
    for dtype, data_type in DATA_TYPES.items():
        try:
            library = build(data_type)
        except BuildError as error:
            raise UserError(f"no {dtype} kernels: {error}: install a C++ compiler, or name one in CXX") from error
        if not library.is_relative_to(root):
            raise UserError(f"kernels cannot be kept in {root}: set {CACHE_VARIABLE} to a folder that can be written")
        if (reason := unavailable(data_type)) is not None:
            raise UserError(f"the {dtype} kernels cannot be used: {reason}: unset {SWITCH}, or try another compiler")
        print(f"{dtype}: {library}")
    return 0

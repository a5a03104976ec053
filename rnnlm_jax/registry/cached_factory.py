"""Factories that return one object for equal arguments; it pickles as the call that made it."""

import functools
import inspect
import threading
import weakref
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.errors import ArgumentError

Arguments = ParamSpec("Arguments")
Product = TypeVar("Product", bound="FactoryMade")

#: The attribute of a product that holds the factory and the arguments of its call.
_CALL = "_factory_call"


class FactoryMade:
    """Base class of the products of cached factories.

    A product pickles and copies as the call of its factory: ``pickle.loads(pickle.dumps(product))`` is ``product``
    itself, and in another process the result of the same call there. A product that was made without a factory, or
    changed by ``dataclasses.replace``, pickles by its fields.
    """

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Return the factory's call, or the fields."""
        call = self.__dict__.get(_CALL)
        return super().__reduce_ex__(protocol) if call is None else (_call, call)


def made_by(product: FactoryMade) -> Callable[..., Any] | None:
    """Return the cached factory that made a product; None if it was made without one."""
    call = product.__dict__.get(_CALL)
    return None if call is None else call[0]


def describe_product(product: FactoryMade) -> str:
    """Return the call that made a product, such as ``parity()``; the type of one that was made without a factory."""
    call = product.__dict__.get(_CALL)
    if call is None:
        return f"a {type(product).__name__} without a factory"
    factory, args, kwargs = call
    given = [*map(_describe, args), *(f"{name}={_describe(value)}" for name, value in kwargs.items())]
    return f"{factory.__name__}({', '.join(given)})"


def _describe(value: Any) -> str:
    """Return a product as the call that made it, and anything else as Python does."""
    return describe_product(value) if isinstance(value, FactoryMade) else repr(value)


def copy_without_factory(product: Product) -> Product:
    """Return a shallow copy that does not come from a factory."""
    copied = object.__new__(type(product))
    copied.__dict__.update({name: value for name, value in product.__dict__.items() if name != _CALL})
    return copied


def _call(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return factory(*args, **kwargs)


def cached_factory(
    build: Callable[Arguments, Product], check: Callable[[inspect.BoundArguments], None] | None = None
) -> Callable[Arguments, Product]:
    """Make a factory return the same object for the same arguments, however they are spelt.

    ``dtype`` and ``param_dtype`` may have any form that NumPy takes; a ``dtype`` of None is ``param_dtype``.

    Args:
        build: makes the product.
        check: checks the bound arguments, defaults included, and may replace them.

    Raises:
        ArgumentError: on a call of the factory, if arguments are missing, unknown or not hashable, or a dtype is not a
            floating-point type.
    """
    signature = inspect.signature(build)
    name = build.__name__.strip("_")

    # Weak, so that a product and its arguments, such as the words of a vocabulary, last only as long as it is used. A
    # product that jit has seen as a static argument is kept by jit.
    products: weakref.WeakValueDictionary[Any, Product] = weakref.WeakValueDictionary()
    lock = threading.RLock()  # a factory may call itself

    def made(*args: Any, **kwargs: Any) -> Product:
        key = args, tuple(kwargs.items())
        with lock:
            product = products.get(key)
            if product is None:
                product = build(*args, **kwargs)
                object.__setattr__(product, _CALL, (factory, args, kwargs))  # products are frozen
                products[key] = product
            return product

    @functools.wraps(build)
    def factory(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Product:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"{name}: {error}; its arguments are ({', '.join(signature.parameters)})") from None
        bound.apply_defaults()
        for key in ("param_dtype", "dtype"):
            if key in bound.arguments:
                if bound.arguments[key] is None:
                    bound.arguments[key] = bound.arguments.get("param_dtype")
                bound.arguments[key] = check_float_dtype(key, bound.arguments[key])
        if check is not None:
            check(bound)
        for key, value in bound.arguments.items():
            try:
                hash(value)
            except TypeError:
                raise ArgumentError(f"{name}: `{key}` cannot be a {type(value).__name__}: {value!r:.60}") from None
        return made(*bound.args, **bound.kwargs)

    return factory


def check_float_dtype(name: str, value: Any) -> np.dtype:
    """Return ``value`` as a dtype of real floating-point numbers.

    Raises:
        ArgumentError: if it is not one.
    """
    try:
        dtype = jnp.dtype(value)
    except TypeError:
        raise ArgumentError(f"`{name}` must be a floating-point type such as float32, not {value!r:.60}") from None
    if value is None or not jnp.issubdtype(dtype, jnp.floating):
        raise ArgumentError(f"`{name}` must be a floating-point type such as float32, not {dtype}")
    return dtype

"""One registry for everything that is chosen by name: cells, input layers and output layers."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from rnnlm_jax.errors import ArgumentError, UserError
from rnnlm_jax.registry.cached_factory import FactoryMade, cached_factory, copy_without_factory
from rnnlm_jax.registry.user_source import call, is_reference, load, recorded, shown

Product = TypeVar("Product", bound=FactoryMade)
Made = TypeVar("Made", bound=FactoryMade, covariant=True)


@dataclasses.dataclass(frozen=True)
class Entry(Generic[Made]):
    """A factory and the paper that its product is from."""

    factory: Callable[..., Made]
    paper: str

    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Return the parameters of the factory by name, without those that a ``functools.partial`` fixes."""
        fixed = self.factory.keywords if isinstance(self.factory, functools.partial) else {}
        parameters = inspect.signature(self.factory).parameters
        return {name: parameter for name, parameter in parameters.items() if name not in fixed}

    def takes(self, name: str) -> bool:
        """Return whether the factory has a parameter of that name."""
        return name in self.parameters()

    def requires(self, name: str) -> bool:
        """Return whether the factory has a parameter of that name without a default."""
        return self.takes(name) and self.parameters()[name].default is inspect.Parameter.empty


class Registry(Mapping[str, Entry[Product]]):
    """Factories by name, and by reference to a user's function.

    Args:
        noun: what is registered, for messages: ``"cell"``.
        product_type: the class of the products.
        entries: the factories by name.
        supplied: parameters of factories that ``make`` supplies itself; all others are options.
        accepts_functions: whether ``make`` also takes ``FILE.py:function`` and ``module:function``.
        check_user_product: ``(reference, product, *positional, dtype=, param_dtype=)``, a function of a module, which
            raises a ``UserError`` if what a user's function returned is unfit; None: its class alone is checked.
    """

    def __init__(
        self,
        noun: str,
        product_type: type[Product],
        entries: Mapping[str, Entry[Product]],
        *,
        supplied: tuple[str, ...],
        accepts_functions: bool = False,
        check_user_product: Callable[..., None] | None = None,
    ):
        self.noun = noun
        self.product_type = product_type
        self.entries = dict(entries)
        self.supplied = supplied
        self.accepts_functions = accepts_functions
        self.check_user_product = check_user_product

    def __getitem__(self, name: str) -> Entry[Product]:
        """Return the entry of a registered name."""
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the registered names."""
        return iter(self.entries)

    def __len__(self) -> int:
        """Return the number of registered names."""
        return len(self.entries)

    def names(self) -> tuple[str, ...]:
        """Return every registered name."""
        return tuple(self.entries)

    def find(self, name: str) -> Entry[Product]:
        """Return the entry of a registered name, or one for a reference to a user's function.

        Raises:
            ArgumentError: if the name is not registered.
            UserError: if the user's function cannot be loaded.
        """
        if self.accepts_functions and is_reference(name):
            return Entry(load(name), "a user's function")
        if name not in self.entries:
            functions = ", or give FILE.py:function" if self.accepts_functions else ""
            raise ArgumentError(f"unknown {self.noun} {name!r}: choose one of {', '.join(self.entries)}{functions}")
        return self.entries[name]

    def options(self, name: str) -> tuple[str, ...]:
        """Return the names of the options of a registered name.

        Raises:
            ArgumentError: if the name is not registered.
        """
        return self._options(self.find(name))

    def _options(self, entry: Entry[Product]) -> tuple[str, ...]:
        parameters = entry.parameters().items()
        return tuple(name for name, p in parameters if name not in self.supplied and p.kind is not p.VAR_KEYWORD)

    def make(self, name: str, options: Mapping[str, Any], *positional: Any, **supplied: Any) -> Product:
        """Return the product of a factory.

        Args:
            name: a registered name, or a reference to a user's function.
            options: options of the factory, by name.
            *positional: the leading arguments of every factory.
            **supplied: further arguments, ``dtype`` and ``param_dtype`` among them; those that the factory does not
                have are left out.

        Raises:
            ArgumentError: for an unknown name or option, or options that the factory cannot use.
            UserError: of the factory; or a user's function cannot be loaded, fails, or returns something else.
        """
        entry = self.find(name)
        parameters = entry.parameters()
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            known = self._options(entry)
            for option in options:
                if option not in known:
                    listed = ", ".join(known) or "none"
                    raise ArgumentError(f"{self.noun} {shown(name)!r} has no option {option!r}: it has {listed}")
        if name not in self.entries:
            types = {key: supplied.pop(key) for key in ("dtype", "param_dtype")}
            arguments = {key: value for key, value in supplied.items() if key in parameters} | dict(options)
            checks = (self.product_type, self.check_user_product)
            return _user_product(recorded(name), *checks, positional, tuple(sorted(arguments.items())), **types)
        arguments = {key: value for key, value in supplied.items() if key in parameters} | dict(options)
        try:
            return entry.factory(*positional, **arguments)
        except UserError:
            raise
        except (TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ArgumentError(f"{self.noun} {name!r} cannot be made with these options: {reason}") from error


@cached_factory
def _user_product(
    reference: str,
    product_type: type[Product],
    check: Callable[..., None] | None,
    positional: tuple[Any, ...],
    options: tuple[tuple[str, Any], ...],
    dtype: Any,
    param_dtype: Any,
) -> Product:
    """Return what ``function(*positional, dtype=…, param_dtype=…, **options)`` returns, checked.

    Args:
        reference: the user's function, with the digest of its source.
        product_type: the class that it must return.
        check: of the product, as ``Registry`` has it.
        positional: leading arguments.
        options: further arguments, by name.
        dtype: dtype of matrix products; None is ``param_dtype``.
        param_dtype: dtype of parameters.

    Raises:
        ArgumentError: if the function returns something else.
        UserError: if the function cannot be loaded or fails, or as ``check`` raises.
    """
    product = call(reference, *positional, dtype=dtype, param_dtype=param_dtype, **dict(options))
    if not isinstance(product, product_type):
        public = ".".join([*product_type.__module__.split(".")[:2], product_type.__name__])
        raise ArgumentError(f"{shown(reference)} must return a {public}, not {type(product).__name__}")
    if check is not None:
        check(shown(reference), product, *positional, dtype=dtype, param_dtype=param_dtype)
    return copy_without_factory(product)  # the function may return an object that others share

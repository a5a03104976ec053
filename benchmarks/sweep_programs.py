"""Random programs of the library, which ``benchmarks.compiler_sweep`` compiles in two ways and compares."""

import dataclasses
import math
import random
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, jacobians, unroll
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.data.batching import Batch
from rnnlm_jax.language_model.loss_gradient import training_loss
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs import output_registry as output_zoo
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.unroll import EXECUTORS
from rnnlm_jax.unroll.control import Control

Function = Callable[..., Any]

VOCABULARY = 23
OUTPUT_OPTIONS: dict[str, dict[str, Any]] = {
    "softmax": {},
    "mixture-of-softmaxes": {"components": 3},
    "class": {},
    "hierarchical": {},
    "adaptive": {"cutoffs": (5, 11)},
    "importance": {"num_samples": 6},
    "nce": {"num_samples": 6},
    "blackout": {"num_samples": 6},
}


@dataclasses.dataclass(frozen=True)
class Program:
    """A function with its arguments, and the same function by the plain scan."""

    family: str
    what: str
    """Description of everything that was drawn."""
    function: Function
    plain: Function
    """The same mathematics by the ``scan`` executor."""
    arguments: tuple[Any, ...]


def draw_program(rng: random.Random) -> Program:
    """Draw one program: a cell over time, a loss of a language model, or a function of ``jacobians``."""
    family = rng.choices(["unroll", "loss", "jacobians"], [6, 1, 1])[0]
    return {"unroll": draw_unroll, "loss": draw_loss, "jacobians": draw_jacobians}[family](rng)


def draw_cell(rng: random.Random, dtype: str) -> tuple[str, Cell]:
    """Draw a cell of the zoo, or a stack or a bidirectional pair of such cells, with its description."""
    hidden = rng.choice([1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 10])

    def one(hidden: int) -> tuple[str, Cell]:
        name = rng.choice(list(cells.names()))
        options: dict[str, Any] = {"param_dtype": dtype}
        if name == "lstm-projected":
            options["projection_size"] = rng.choice([1, 2, 5])
        return name, cells.make(name, hidden, **options)

    made = rng.choices(["cell", "stack", "bidirectional"], [8, 1, 1])[0]
    name, cell = one(hidden)
    if made == "stack":
        other, above = one(hidden)
        return f"{name} below {other} of {hidden}", cells.stack(cell, above)
    if made == "bidirectional":
        return f"{name} of {hidden} both ways", cells.bidirectional(cell, cell)
    return f"{name} of {hidden}", cell


def draw_unroll(rng: random.Random) -> Program:
    """Draw a transformed ``unroll`` with a loss that depends on every output and the final state."""
    dtype = rng.choice(["float32", "float64", "float64"])
    name, cell = draw_cell(rng, dtype)
    steps, size = rng.choice([1, 2, 3, 5, 8, 8, 11]), rng.choice([1, 2, 3, 4, 5])
    batch = tuple(rng.choice([1, 2, 3, 4, 4, 5]) for _ in range(rng.choices([0, 1, 2, 3], [1, 4, 3, 2])[0]))
    executor = rng.choice([*EXECUTORS, None])
    transformation = rng.choice(list(TRANSFORMATIONS))
    options = draw_options(rng, steps, batch)
    params, state, xs = random_arguments(rng, cell, batch, steps, size)
    if executor is not None and not runs(executor, cell, params, xs):
        executor = "structured"
    weights = random_like(rng, jax.eval_shape(lambda: unroll(cell, params, state, xs)))

    def loss_by(executor: str | None) -> Function:
        def loss(params: Any, state: Any, xs: Any) -> Any:
            found = unroll(cell, params, state, xs, executor=executor, **options)
            products = jax.tree.map(lambda weight, part: jnp.sum(weight * part), weights, found)
            return jnp.sum(jnp.stack(jax.tree.leaves(products)))

        return loss

    transform, arguments = TRANSFORMATIONS[transformation](rng, (params, state, xs))
    what = (
        f"{transformation} of unroll({name}, {dtype}), T {steps}, B {batch}, D {size}, executor {executor}, "
        f"{', '.join(name for name in options) or 'plain'}"
    )
    return Program("unroll", what, transform(loss_by(executor)), transform(loss_by("scan")), arguments)


def draw_options(rng: random.Random, steps: int, batch: tuple[int, ...]) -> dict[str, Any]:
    """Draw options of ``unroll``."""
    generator = np.random.default_rng(rng.getrandbits(32))
    options: dict[str, Any] = {}
    if rng.random() < 0.2:
        options["lengths"] = generator.integers(0, steps + 1, batch).astype(np.int32)
    if rng.random() < 0.2:
        options["mask"] = generator.random((steps, *batch)) < 0.7
    if rng.random() < 0.2:
        options["resets"] = generator.random((steps, *batch)) < 0.3
    if rng.random() < 0.2:
        options["reverse"] = True
    if rng.random() < 0.1:
        options["scan_unroll"] = rng.choice([2, 3])
    if rng.random() < 0.1:
        options["remat_chunk"] = "sqrt"
    return options


def runs(executor: str, cell: Cell, params: Any, xs: Any) -> bool:
    """Return whether an executor runs a cell, and all cells of a stack or a pair."""
    inner = cell.layers if isinstance(cell, cells.Stack) else (cell,)
    if isinstance(cell, cells.Bidirectional):
        inner, params = (cell.forward, cell.backward), (params.forward, params.backward)
    elif not isinstance(cell, cells.Stack):
        params = (params,)
    xs = xs.reshape(xs.shape[0], math.prod(xs.shape[1:-1]), xs.shape[-1])
    control, platform, why_not = Control(None, None), jax.default_backend(), EXECUTORS[executor].why_not
    found = [why_not(each, part, xs, control, platform) for each, part in zip(inner, params, strict=True)]
    return not any(found)


def random_arguments(rng: random.Random, cell: Cell, batch: tuple[int, ...], steps: int, size: int) -> tuple[Any, ...]:
    """Draw parameters, state and inputs, every entry random."""
    params = random_like(rng, jax.eval_shape(lambda: cell.init(jax.random.key(0), size)), 0.5)
    state = admissible(random_like(rng, jax.eval_shape(lambda: cell.initial_state(batch)), 0.5))
    xs = random_like(rng, jax.ShapeDtypeStruct((steps, *batch, size), cell.spec.param_dtype))
    return params, state, xs


def random_like(rng: random.Random, tree: Any, scale: float = 1.0, copies: tuple[int, ...] = ()) -> Any:
    """Draw normal values in the shapes and types of a tree, with leading axes ``copies``."""
    generator = np.random.default_rng(rng.getrandbits(32))
    return jax.tree.map(lambda a: jnp.asarray(scale * generator.standard_normal((*copies, *a.shape)), a.dtype), tree)


def admissible(state: Any) -> Any:
    """Return a state in which what cells divide by is at least 1."""

    def of_leaf(path: Any, leaf: Any) -> Any:
        return 1 + jnp.abs(leaf) if jax.tree_util.keystr(path).endswith(".normalizer") else leaf

    return jax.tree.map_with_path(of_leaf, state)


Transformed = tuple[Callable[[Function], Function], tuple[Any, ...]]


def value(rng: random.Random, arguments: tuple[Any, ...]) -> Transformed:
    """Leave the loss as it is."""
    return lambda loss: loss, arguments


def gradient(rng: random.Random, arguments: tuple[Any, ...]) -> Transformed:
    """Take the gradient with respect to parameters, state and inputs."""
    return lambda loss: jax.grad(loss, argnums=(0, 1, 2)), arguments


def ensemble_gradient(rng: random.Random, arguments: tuple[Any, ...]) -> Transformed:
    """Take the gradients of several sets of parameters, by ``vmap``."""
    copies = rng.choice([2, 3, 4])
    params = random_like(rng, arguments[0], 0.5, (copies,))
    return lambda loss: jax.vmap(jax.grad(loss, argnums=(0, 1, 2)), (0, None, None)), (params, *arguments[1:])


def gradient_by_example(rng: random.Random, arguments: tuple[Any, ...]) -> Transformed:
    """Take the gradients of several sequences, by ``vmap``."""
    copies = rng.choice([2, 3, 4])
    state, xs = random_like(rng, arguments[1:], 0.5, (copies,))
    state = admissible(state)
    return lambda loss: jax.vmap(jax.grad(loss, argnums=(0, 1, 2)), (None, 0, 0)), (arguments[0], state, xs)


def tangent(rng: random.Random, arguments: tuple[Any, ...]) -> Transformed:
    """Take the directional derivative, in forward mode."""
    direction = random_like(rng, arguments)
    return lambda loss: lambda *arguments: jax.jvp(loss, arguments, direction), arguments


def hessian_product(rng: random.Random, arguments: tuple[Any, ...]) -> Transformed:
    """Multiply the Hessian with a vector, forward over reverse."""
    direction = random_like(rng, arguments)

    def transform(loss: Function) -> Function:
        return lambda *arguments: jax.jvp(jax.grad(loss, argnums=(0, 1, 2)), arguments, direction)[1]

    return transform, arguments


def hessian_products(rng: random.Random, arguments: tuple[Any, ...]) -> Transformed:
    """Multiply the Hessian with several vectors, by ``vmap``."""
    directions = random_like(rng, arguments, 1.0, (rng.choice([2, 3]),))

    def transform(loss: Function) -> Function:
        def one(direction: Any, *arguments: Any) -> Any:
            return jax.jvp(jax.grad(loss, argnums=(0, 1, 2)), arguments, direction)[1]

        return lambda *arguments: jax.vmap(lambda direction: one(direction, *arguments))(directions)

    return transform, arguments


TRANSFORMATIONS: dict[str, Callable[[random.Random, tuple[Any, ...]], Transformed]] = {
    "value": value,
    "gradient": gradient,
    "ensemble gradient": ensemble_gradient,
    "gradient by example": gradient_by_example,
    "tangent": tangent,
    "Hessian product": hessian_product,
    "Hessian products": hessian_products,
}


def draw_loss(rng: random.Random) -> Program:
    """Draw the loss of a language model with any output layer, and its gradient."""
    dtype = rng.choice(["float32", "float64"])
    name, cell = draw_cell(rng, dtype)
    while isinstance(cell, cells.Bidirectional):  # it reads the tokens that it would predict
        name, cell = draw_cell(rng, dtype)
    output_name = rng.choice(list(OUTPUT_OPTIONS))
    options = dict(OUTPUT_OPTIONS[output_name])
    if output_name == "adaptive":
        options["div_value"] = 2 if cell.spec.output_size >= 4 else 1  # the rarest cluster keeps at least one unit
    words = WordCounts([f"w{k}" for k in range(VOCABULARY)], [100 // (k + 1) + 1 for k in range(VOCABULARY)])
    output = output_zoo.make(output_name, words, dtype=dtype, param_dtype=dtype, **options)
    size = rng.choice([2, 3, 5])
    steps, batch = rng.choice([1, 3, 5, 8]), rng.choice([1, 2, 4, 5])
    generator = np.random.default_rng(rng.getrandbits(32))
    inputs, targets = generator.integers(0, VOCABULARY, (2, steps, batch)).astype(np.int32)
    data = Batch(inputs, targets, generator.random((steps, batch)) < 0.9)
    mapped = rng.random() < 0.3

    def gradient_by(executor: str | None) -> Function:
        model = language_model(cell, VOCABULARY, size, output=output, executor=executor)

        def loss(params: Any) -> Any:
            return training_loss(model, params, model.initial_state((batch,)), data, jax.random.key(1))[0]

        return jax.vmap(jax.value_and_grad(loss)) if mapped else jax.value_and_grad(loss)

    model = language_model(cell, VOCABULARY, size, output=output)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0)))
    params = random_like(rng, shapes, 0.5, (2,) if mapped else ())
    executor = rng.choice(["scan", "structured", None])
    what = (
        f"{'ensemble ' * mapped}loss of {output_name} over {name}, {dtype}, T {steps}, B {batch}, executor {executor}"
    )
    return Program("loss", what, gradient_by(executor), gradient_by("scan"), (params,))


def draw_jacobians(rng: random.Random) -> Program:
    """Draw a function of ``rnnlm_jax.jacobians``."""
    dtype = rng.choice(["float32", "float64"])
    name, cell = draw_cell(rng, dtype)
    while isinstance(cell, cells.Bidirectional):  # it cannot be stepped
        name, cell = draw_cell(rng, dtype)
    steps, size = rng.choice([2, 3, 5, 8]), rng.choice([1, 3, 5])
    measure = rng.choice(list(MEASURES))
    batch = () if measure == "log determinants of spectra" else rng.choice([(), (4,)])
    arguments = random_arguments(rng, cell, batch, steps, size)
    function = MEASURES[measure](cell)
    return Program("jacobians", f"{measure} of {name}, {dtype}, T {steps}, B {batch}", function, function, arguments)


def _mapped_step_jacobians(cell: Cell) -> Function:
    return lambda params, state, xs: jax.vmap(
        lambda scale: jacobians.products(cell, jax.tree.map(lambda a: a * scale, params), state, xs).matrix
    )(jnp.asarray([0.5, 1.0], xs.dtype))


MEASURES: dict[str, Callable[[Cell], Function]] = {
    "products": lambda cell: lambda params, state, xs: jacobians.products(cell, params, state, xs),
    "products of an ensemble": _mapped_step_jacobians,
    "products to the end": lambda cell: lambda params, state, xs: jacobians.products_to_end(cell, params, state, xs),
    "gradients by lag": lambda cell: (
        lambda params, state, xs: jacobians.gradient_by_lag(
            cell, params, state, xs, loss_of_output=lambda h: jnp.sum(jnp.square(h), axis=-1)
        )
    ),
    "gradient of Pascanu's Ω": lambda cell: jax.grad(
        lambda params, state, xs: jacobians.pascanu_omega(
            cell, params, state, xs, loss_of_outputs=lambda hs: jnp.sum(jnp.square(hs))
        )
    ),
    "log determinants of spectra": lambda cell: (
        lambda params, state, xs: jacobians.spectrum(cell, params, state, xs).log_abs_det
    ),
}

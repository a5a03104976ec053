"""The architecture, held: which module may import which. Read the table; everything else enforces it."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rnnlm_jax"

#: Module or package -> what it may import of this library, and what of others. The longest name that fits rules, so a
#: module may have a row of its own inside its package. Imports within one row are free, but for cycles.
GROUND = {"array_types", "errors", "version", "system", "arrays", "registry", "compilation"}
RECURRENCE = GROUND | {"cells", "unroll"}
MODEL = RECURRENCE | {"inputs", "outputs", "data", "config", "language_model"}
JAX = {"jax", "numpy"}
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    # name: (may import here, may import elsewhere)
    "": ({"cells", "compilation", "errors", "unroll", "version"}, set()),  # rnnlm_jax/__init__.py
    "__main__": ({"cli"}, set()),
    # the ground floor
    "version": (set(), set()),
    "errors": (set(), set()),
    "array_types": (set(), {"jaxtyping"}),
    "config": ({"errors"}, set()),
    "system": ({"errors"}, {"jax", "tqdm", "filelock", "platformdirs"}),
    "arrays": ({"array_types", "errors"}, JAX),
    "registry": ({"errors", "system"}, JAX),
    "compilation": (set(), JAX | {"jaxlib"}),
    # kernels know arrays only
    "kernels": ({"array_types", "arrays", "errors", "system"}, JAX | {"jaxlib"}),
    # recurrence: cells know nothing of time, executors nothing of language, jacobians nothing of training
    "cells": ({"array_types", "arrays", "errors", "kernels", "registry"}, JAX),
    "unroll": ({"array_types", "arrays", "cells", "compilation", "errors", "kernels"}, JAX),
    "jacobians": (
        {"array_types", "arrays", "cells", "compilation", "errors", "unroll"},
        JAX | {"mpmath", "optax", "scipy"},
    ),
    # terms of any loss of a cell's outputs, for language models and other tasks
    "regularizers": ({"array_types", "arrays", "cells", "errors", "jacobians", "registry", "unroll"}, JAX),
    # tasks know arrays, not models
    "tasks": ({"array_types", "arrays", "cells", "errors", "registry"}, JAX | {"mnist1d"}),
    # language: layers know no cells, data and n-grams no jax model
    "inputs": ({"array_types", "arrays", "errors", "kernels", "registry"}, JAX),
    "outputs": ({"array_types", "arrays", "compilation", "errors", "kernels", "registry"}, JAX | {"scipy"}),
    "data": ({"errors", "system"}, {"numpy", "tensorflow_datasets", "tokenizers"}),
    "data.records": ({"data", "errors", "system"}, {"numpy", "grain", "absl"}),  # grain is imported here alone
    "ngrams": ({"array_types", "data", "errors", "system"}, JAX),
    "presets": ({"config", "errors"}, set()),
    "language_model": ((MODEL - {"language_model"}) | {"regularizers"}, JAX),
    # models of sequences that are not language, and their training on tasks or arrays
    "sequence_model": (
        RECURRENCE | {"config", "jobs", "jobs.checkpoints", "jobs.run_folder", "regularizers", "tasks", "training"},
        JAX | {"optax"},
    ),
    # what a job needs around training
    "jobs": ({"config", "errors"}, {"jax", "numpy"}),
    "jobs.sharding": (MODEL | {"regularizers"}, JAX),
    "jobs.checkpoints": (GROUND | {"jobs", "jobs.sharding"}, JAX | {"orbax"}),
    "jobs.run_folder": (MODEL | {"jobs", "jobs.checkpoints", "jobs.sharding"}, JAX),
    "jobs.ahead_of_time": (MODEL | {"jobs", "jobs.run_folder", "jobs.sharding", "training"}, JAX),
    # what is done with a model
    "evaluation": (MODEL | {"jobs.sharding"}, JAX),
    "evaluation.comparison": (MODEL | {"evaluation", "jobs", "jobs.run_folder", "ngrams", "training"}, JAX),
    "evaluation.rescoring": (MODEL | {"evaluation", "evaluation.comparison", "ngrams"}, JAX),
    "evaluation.minimal_pairs": (MODEL | {"evaluation", "evaluation.comparison", "evaluation.rescoring"}, JAX),
    "evaluation.horizons": (MODEL | {"evaluation", "jacobians", "jobs.run_folder"}, JAX),
    "training": (
        MODEL
        | {"data.records", "evaluation", "jacobians", "jobs", "jobs.checkpoints", "jobs.run_folder", "jobs.sharding"}
        | {"interop.exporting", "ngrams", "plotting", "regularizers"},
        JAX | {"optax", "orbax", "tqdm", "tensorboardX"},
    ),
    "plotting": (
        {"errors", "system"},
        {"numpy", "matplotlib"},
    ),  # reads result files; matplotlib is imported here alone
    # the benchmark: measure knows no models, and each peer's files alone import its library
    "benchmarking.measure": (GROUND, JAX),
    "benchmarking.peers": (
        GROUND | {"benchmarking.measure"},
        JAX | {"torch", "flax", "optax", "haiku", "equinox", "keras"},
    ),
    "benchmarking": (
        MODEL | {"benchmarking.measure", "benchmarking.peers", "evaluation", "jobs.run_folder", "presets", "training"},
        JAX | {"torch", "tqdm", "optax"},
    ),
    # other frameworks: nothing outside imports these but the command line, and training the reader of run files
    "interop": (MODEL | {"interop.parameter_trees"}, JAX | {"flax"}),
    "interop.parameter_trees": ({"array_types", "cells", "errors"}, JAX),
    "interop.weights": ({"array_types", "cells", "errors", "interop.parameter_trees", "system"}, JAX | {"safetensors"}),
    "interop.torch_language_model": (MODEL | {"interop.parameter_trees", "interop.weights"}, JAX),
    # the script goes along with an exported model as it is, and knows nothing of this package
    "interop.exporting.score": (set(), JAX | {"tokenizers"}),
    "interop.exporting": (
        MODEL
        | {"evaluation", "interop.exporting.score", "interop.torch_language_model", "interop.weights", "jobs"}
        | {"jobs.checkpoints", "jobs.run_folder", "kernels"},
        JAX | {"safetensors"},
    ),
    "cli": (
        MODEL
        | {"benchmarking", "benchmarking.measure", "benchmarking.peers", "data.records", "evaluation", "ngrams"}
        | {"evaluation.comparison", "evaluation.horizons", "evaluation.minimal_pairs", "evaluation.rescoring"}
        | {"interop.exporting", "jacobians", "kernels"}
        | {"jobs", "jobs.ahead_of_time", "jobs.checkpoints", "jobs.run_folder", "jobs.sharding", "plotting", "presets"}
        | {"sequence_model", "tasks", "training"},
        JAX,
    ),
}

#: Slow to import, and not needed by most: nobody who imports these modules gets them before asking.
LAZY = {"tensorflow_datasets", "grain", "matplotlib", "tensorboardX", "tokenizers", "mnist1d"}
QUICK_MODULES = (
    "rnnlm_jax",
    "rnnlm_jax.tasks",
    "rnnlm_jax.data",
    "rnnlm_jax.language_model.model",
    "rnnlm_jax.cli.main",
)

MODULES = {
    ".".join(("rnnlm_jax", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def within(name):
    """A module's name without the package's: "" for the package itself."""
    return name.removeprefix("rnnlm_jax").removeprefix(".")


def row_of(name):
    """The longest row of the table that a module belongs to, or None; only the package itself has the row ""."""
    parts = within(name).split(".")
    rows = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((row for row in rows if row in ALLOWED), None)


def imports(source, module="rnnlm_jax", modules=MODULES, in_functions=True, for_types=True):
    """The modules that a source imports, those of this library by their full names.

    ``in_functions``, ``for_types``: also what is imported inside functions, and under ``if TYPE_CHECKING``.
    """
    found, todo = set(), [ast.parse(source)]
    while todo:
        node = todo.pop()
        if not in_functions and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if not for_types and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute here"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(name if name in modules else node.module for name in names)
        todo.extend(ast.iter_child_nodes(node))
    return found


def violations(module, source, modules=MODULES):
    """Each import of a module that its row does not allow, as a sentence."""
    row = row_of(module)
    if row is None:
        return [f"{module} is in no row of ALLOWED in tests/test_imports.py: add one that says what it may import"]
    ours, others = ALLOWED[row]
    wrong = []
    for name in sorted(imports(source, module, modules)):
        if name.split(".")[0] == "rnnlm_jax":
            target = row_of(name)
            if target is None:
                wrong.append(f"{name} (imported by {module}) is in no row of ALLOWED in tests/test_imports.py: add one")
            elif target != row and target not in ours:
                wrong.append(f"{module} imports {name}: row {row!r} allows {', '.join(sorted(ours)) or 'nothing'}")
        elif name.split(".")[0] not in sys.stdlib_module_names | others:
            wrong.append(f"{module} imports {name}: row {row!r} allows {', '.join(sorted(others)) or 'nothing'}")
    return wrong


def cycle(graph):
    """A list of nodes that import each other in a circle, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node) :] + [node]
        if node in done:
            return None
        path.append(node)
        found = next((c for target in sorted(graph.get(node, ())) if (c := visit(target))), None)
        path.pop()
        done.add(node)
        return found

    return next((c for node in sorted(graph) if (c := visit(node))), None)


@pytest.mark.parametrize("module", MODULES)
def test_layers(module):
    wrong = violations(module, MODULES[module].read_text())
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_in_a_circle():
    """Within a row, that is: between rows, ``test_layers`` sees imports inside functions as well."""
    sources = {name: path.read_text() for name, path in MODULES.items()}
    loaded = {name: imports(source, name, in_functions=False, for_types=False) for name, source in sources.items()}
    assert cycle({name: targets & MODULES.keys() for name, targets in loaded.items()}) is None


def test_the_table_has_no_circle():
    assert cycle({row: ours for row, (ours, _) in ALLOWED.items()}) is None


def test_rows_name_rows():
    assert {name for ours, _ in ALLOWED.values() for name in ours} <= ALLOWED.keys()


@pytest.mark.parametrize("module", [name for name in QUICK_MODULES if name in MODULES])
def test_slow_libraries_are_imported_only_when_needed(module):
    seen, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name in seen or name not in MODULES:
            continue
        seen.add(name)
        todo.append(name.rpartition(".")[0])  # importing a module imports its package
        loaded = imports(MODULES[name].read_text(), name, in_functions=False, for_types=False)
        slow = sorted(target for target in loaded if target.split(".")[0] in LAZY)
        assert not slow, f"importing {module} imports {name}, which imports {', '.join(slow)}"
        todo.extend(loaded)


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("rnnlm_jax.cells.lstm", "from rnnlm_jax.unroll import unroll", "imports rnnlm_jax.unroll"),
        ("rnnlm_jax.cells.lstm", "from rnnlm_jax import unroll", "imports rnnlm_jax.unroll"),
        ("rnnlm_jax.cells.lstm", "import flax.linen as nn", "imports flax.linen"),
        ("rnnlm_jax.outputs.softmax", "def f():\n    import rnnlm_jax.cells.gru", "imports rnnlm_jax.cells.gru"),
        ("rnnlm_jax.data.batching", "import jax", "imports jax"),
        ("rnnlm_jax.data.batching", "from rnnlm_jax.array_types import Array", "imports rnnlm_jax.array_types"),
        ("rnnlm_jax.jacobians.step", "from rnnlm_jax.training.step import TrainState", "imports rnnlm_jax.training"),
        ("rnnlm_jax.evaluation.perplexity", "from matplotlib import pyplot", "imports matplotlib"),
        ("rnnlm_jax.evaluation.perplexity", "from rnnlm_jax.cli import main", "imports rnnlm_jax.cli"),
        ("rnnlm_jax.jobs.checkpoints", "from rnnlm_jax.training.loop import Trainer", "imports rnnlm_jax.training"),
        ("rnnlm_jax.brand_new", "", "add one"),
        ("rnnlm_jax.cli.main", "from rnnlm_jax.brand_new import thing", "add one"),
    ],
)
def test_the_test_can_fail(module, source, complaint):
    (sentence,) = violations(module, source)
    assert complaint in sentence


def test_circles_are_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}}) is None

"""The architecture, held: which module may import which. Read the table; everything else enforces it."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rnnlm_jax"

#: Module or package -> what it may import of this library, and what of others. The longest name that fits rules, so a
#: module may have a row of its own inside its package. Imports within one row are free, but for cycles.
BASE = {"array_arguments", "array_types", "broadcasting", "cached_factory", "compilation", "errors", "version"}
BASE |= {"activations", "mesh_axes", "own_source", "past", "serialized_types", "sparse_rows", "words"}
MODEL = BASE | {"cells", "unroll", "dropout", "inputs", "outputs", "data", "ngrams", "config", "language_model"}
JAX = {"jax", "numpy"}
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    # name: (may import here, may import elsewhere)
    "": (BASE | {"cells", "unroll"}, set()),  # rnnlm_jax/__init__.py
    "__main__": ({"cli"}, set()),
    "version": (set(), set()),
    "errors": (set(), set()),
    "array_types": (set(), {"jaxtyping"}),
    "compilation": (set(), JAX | {"jaxlib"}),
    "array_arguments": ({"array_types", "errors"}, JAX),
    "broadcasting": ({"array_types"}, {"jax"}),
    "cached_factory": ({"errors"}, JAX),
    "mesh_axes": ({"array_types"}, {"jax"}),
    "serialized_types": (set(), {"jax"}),
    "activations": ({"array_types"}, {"jax"}),
    "progress": (set(), {"tqdm"}),
    # what is kept on disk between starts
    "cache_root": ({"errors"}, set()),
    "single_build": (set(), set()),
    "machine_memory": ({"errors"}, {"jax"}),
    # kernels know arrays only
    "native": (
        {"array_types", "broadcasting", "cache_root", "errors", "mesh_axes", "progress", "single_build", "activations"},
        JAX | {"jaxlib"},
    ),
    # recurrence: cells know nothing of time, executors nothing of language
    "cells": (
        {
            "array_types",
            "broadcasting",
            "cached_factory",
            "errors",
            "mesh_axes",
            "native",
            "own_source",
            "serialized_types",
        }
        | {"activations"},
        JAX,
    ),
    "unroll": ({"array_arguments", "array_types", "compilation", "errors", "cells", "mesh_axes", "native"}, JAX),
    # no training, no flax
    "jacobians": ({"array_arguments", "array_types", "compilation", "errors", "cells", "unroll"}, JAX | {"mpmath"}),
    # language: outputs know no cells, data know nothing but themselves
    "dropout": ({"array_types", "errors"}, JAX),
    "inputs": (
        {"array_arguments", "array_types", "broadcasting", "cached_factory", "errors", "native", "serialized_types"}
        | {"activations"},
        JAX,
    ),
    "words": ({"errors"}, {"numpy"}),
    "sparse_rows": ({"array_types"}, JAX),
    "past": ({"array_types"}, JAX),
    "outputs": (
        {"array_arguments", "array_types", "broadcasting", "cached_factory", "compilation", "errors", "native"}
        | {"own_source", "serialized_types", "words", "sparse_rows"},
        JAX | {"scipy"},
    ),
    "data": ({"errors", "cache_root", "input_files", "whole_file"}, {"numpy", "tensorflow_datasets", "tokenizers"}),
    "data.records": (
        {"errors", "data", "cache_root", "single_build"},
        {"numpy", "grain", "absl"},
    ),  # text on disk; grain is here alone
    "ngrams": ({"array_types", "errors", "data", "input_files", "whole_file"}, JAX),
    "json_text": (set(), set()),
    "whole_file": ({"errors"}, set()),
    "own_source": ({"errors", "input_files"}, set()),
    "input_files": ({"errors"}, set()),
    "finite": ({"array_types", "errors"}, JAX),
    "config": ({"errors"}, set()),
    "run_identity": ({"config", "errors"}, set()),
    "presets": ({"config", "errors"}, set()),  # configurations only
    "language_model": (BASE | {"cells", "unroll", "dropout", "inputs", "outputs", "data", "config"}, JAX),
    "loss_gradient": (MODEL, JAX),
    # the processes of a job: sockets and threads, no arrays
    "partners": ({"errors"}, set()),
    # one program over many devices, whoever asks for it
    "sharding.gather": ({"array_types", "compilation"}, JAX),
    "sharding.distributed": ({"errors", "partners", "stopping"}, JAX),
    "sharding": (MODEL | {"loss_gradient"}, JAX),
    # what a step takes and what devices can do: shapes and tables only
    "flops": (MODEL, JAX),
    "accelerators": (set(), {"jax"}),
    # what is done with a model
    "evaluation": (MODEL | {"sharding"}, JAX),
    "sentence_scores": (MODEL | {"evaluation"}, JAX),
    "generation": (MODEL, JAX),
    # any model by its nats alone
    "comparison": (MODEL | {"evaluation", "finite", "loss_gradient", "run_identity", "runs", "training"}, JAX),
    "rescoring": (MODEL | {"evaluation", "comparison"}, JAX),
    "aot": (MODEL | {"accelerators", "machine_memory", "flops", "runs", "sharding", "training"}, JAX),
    "analysis": (MODEL | {"evaluation", "finite", "sentence_scores", "jacobians", "runs", "whole_file"}, JAX),
    "plotting": ({"errors", "whole_file"}, {"numpy", "matplotlib"}),  # reads result files; the only one with matplotlib
    "checkpoints": (BASE | {"run_identity", "sharding.distributed", "sharding.gather"}, JAX | {"orbax"}),
    "stopping": (set(), {"jax"}),
    "runs": (
        MODEL | {"checkpoints", "json_text", "machine_memory", "run_identity", "sharding", "whole_file"},
        JAX,
    ),
    "training": (
        MODEL
        | {
            "loss_gradient",
            "flops",
            "accelerators",
            "machine_memory",
            "evaluation",
            "generation",
            "run_identity",
            "runs",
            "whole_file",
            "plotting",
            "progress",
            "checkpoints",
            "stopping",
            "json_text",
            "jacobians",
            "sharding",
            "sharding.distributed",
            "data.records",
        },
        JAX | {"optax", "orbax", "tqdm", "tensorboardX"},
    ),
    # the benchmark: measure knows no models, and each peer's files alone import its library
    "bench.measure": (BASE, JAX),
    "bench.peers": (BASE | {"bench.measure"}, JAX | {"torch", "flax", "optax", "haiku", "equinox", "keras"}),
    "bench": (
        MODEL
        | {"flops", "presets", "sentence_scores", "generation", "runs", "training", "bench.measure", "bench.peers"},
        JAX | {"torch", "tqdm"},
    ),
    # other frameworks come in through one door, and nothing here depends on them
    "interop": (MODEL | {"loss_gradient", "interop.fitting"}, JAX | {"flax"}),
    "interop.fitting": ({"array_types", "errors", "cells"}, JAX),
    "interop.weights": (
        {"array_types", "errors", "cells", "input_files", "whole_file", "interop.fitting"},
        JAX | {"safetensors"},
    ),
    "interop.torch_language_model": (MODEL | {"interop.weights", "interop.fitting"}, JAX),
    # models that leave, and come back; the script goes along as it is, and knows nothing of this package
    "exporting.score": (set(), JAX | {"tokenizers"}),
    "exporting": (
        MODEL
        | {"evaluation", "finite", "input_files", "native", "run_identity", "runs", "checkpoints", "version"}
        | {"exporting.score"}
        | {"interop.weights", "interop.torch_language_model"},
        JAX | {"safetensors"},
    ),
    "cli": (
        MODEL
        | {"presets", "evaluation", "sentence_scores", "generation", "plotting", "runs", "training", "progress"}
        | {
            "checkpoints",
            "stopping",
            "cache_root",
            "machine_memory",
            "json_text",
            "whole_file",
            "input_files",
            "finite",
            "analysis",
            "comparison",
            "rescoring",
            "bench",
            "bench.measure",
            "bench.peers",
            "native",
            "sharding",
            "sharding.distributed",
            "partners",
            "data.records",
            "aot",
            "exporting",
        },
        JAX,
    ),
}

#: Slow to import, and not needed by most: nobody who imports these modules gets them before asking.
LAZY = {"tensorflow_datasets", "grain", "matplotlib", "tensorboardX", "tokenizers"}
QUICK_MODULES = ("rnnlm_jax", "rnnlm_jax.data", "rnnlm_jax.language_model", "rnnlm_jax.cli.main")

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
        ("rnnlm_jax.evaluation", "from matplotlib import pyplot", "imports matplotlib"),
        ("rnnlm_jax.evaluation", "from rnnlm_jax.cli import main", "imports rnnlm_jax.cli"),
        ("rnnlm_jax.checkpoints", "from rnnlm_jax.training.loop import Trainer", "imports rnnlm_jax.training"),
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

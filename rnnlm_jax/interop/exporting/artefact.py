"""Export of a model as a folder that runs with jax and NumPy alone: programs, parameters, vocabulary, a script."""

import hashlib
import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jax import export

from rnnlm_jax.array_types import Array
from rnnlm_jax.config import to_json
from rnnlm_jax.errors import ArgumentError, DeviceError
from rnnlm_jax.interop.exporting import score
from rnnlm_jax.interop.exporting.atomic_folder import atomic_folder
from rnnlm_jax.interop.exporting.programs import Programs, export_programs, initial_state, model_x64, uses_float64
from rnnlm_jax.interop.exporting.readme import readme
from rnnlm_jax.interop.exporting.run_file import require_run, run_texts
from rnnlm_jax.interop.weights import write_safetensors
from rnnlm_jax.jobs.checkpoints.array_digests import named_leaves
from rnnlm_jax.jobs.run_folder import Run, write_json, write_text
from rnnlm_jax.language_model.finite_parameters import require_finite
from rnnlm_jax.version import __version__

#: The default platforms of a program, and all platforms.
PLATFORMS = ("cpu", "cuda", "tpu")
KNOWN_PLATFORMS = (*PLATFORMS, "rocm")
FORMAT = "rnnlm_jax artefact 1"
#: Steps of one stream that the script scores per call.
WINDOW = 1024


def export_run(run: Run, path: str | Path, platforms: Sequence[str] = PLATFORMS) -> dict[str, Any]:
    """Write a trained model as a folder that needs only jax and NumPy.

    It holds ``step.jax`` and ``score.jax``, serialised programs of ``jax.export`` (see ``export_programs``) for all of
    ``platforms``, any batch size and any length; ``model.safetensors``, the parameters of both;
    ``state.safetensors``, the state before the first token; ``vocabulary.json``; ``manifest.json``, which describes
    all of this with versions, shapes and digests; ``score.py``, which scores a text file; ``README.md``.

    A composed input layer is exported as the table of its vectors.

    Args:
        run: as ``open_run`` returns it.
        path: the folder, written completely or not at all; it must not exist, or be empty.
        platforms: of "cpu", "cuda", "rocm" and "tpu".

    Returns:
        the content of ``manifest.json``.

    Raises:
        ArgumentError: for something that is not a run, or an unknown platform.
        UserError: for a folder in use, or parameters that are not finite.
    """
    require_run(run)
    check_platforms(platforms)
    with atomic_folder(path) as folder:
        require_finite(run.params, "the run")
        with model_x64(run.model):
            model, params = run.model.tabulated(run.params)
            arrays, state = named_leaves(params), initial_state(model)
        whole = model is run.model
        programs = export_programs(model, params, platforms)
        # A file that holds the whole run can be imported; a table of vectors differs from the run.
        write_safetensors(folder / "model.safetensors", arrays, run_texts(run) if whole else None)
        write_safetensors(folder / "state.safetensors", state)
        (folder / "step.jax").write_bytes(programs.step.serialize())
        (folder / "score.jax").write_bytes(programs.score.serialize())
        run.vocabulary.save(folder / "vocabulary.json")
        shutil.copyfile(Path(score.__file__), folder / "score.py")
        copy_flatbuffers(folder / "flatbuffers")
        write_text(
            folder / "README.md", readme(jax.__version__, programs.step, run.vocabulary.describe(), whole_run=whole)
        )
        manifest = _manifest(run, arrays, state, programs=programs) | {"whole_run": whole, "sha256": _digests(folder)}
        write_json(folder / "manifest.json", manifest)
    return manifest


def check_platforms(platforms: Sequence[str]) -> None:
    """Check the names of platforms.

    Raises:
        ArgumentError: if none is given, or one is unknown or given twice.
    """
    wrong = [name for name in platforms if name not in KNOWN_PLATFORMS]
    if wrong or not platforms or len(set(platforms)) < len(platforms):
        problem = f", not {wrong[0]!r}" if wrong else ", at least one and each once"
        raise ArgumentError(f"`platforms` must be some of {', '.join(KNOWN_PLATFORMS)}{problem}, as in cpu,cuda")


def copy_flatbuffers(folder: Path) -> None:
    """Copy the package that ``jax.export`` reads its files with, so that the folder needs only jax and NumPy.

    Raises:
        DeviceError: if it is not installed.
    """
    spec = importlib.util.find_spec("flatbuffers")
    if spec is None or spec.origin is None:
        raise DeviceError("jax.export writes its files with the package flatbuffers: pip install flatbuffers")
    folder.mkdir()
    for path in sorted(Path(spec.origin).parent.glob("*.py")):
        if path.name != "flexbuffers.py":  # another format of that package
            shutil.copyfile(path, folder / path.name)


def _manifest(run: Run, arrays: dict[str, Array], state: dict[str, Array], *, programs: Programs) -> dict[str, Any]:
    """Return the description of the folder, for programs in any language."""
    least, most = (
        export.minimum_supported_calling_convention_version,
        export.maximum_supported_calling_convention_version,
    )
    return {
        "format": FORMAT,
        "written_by": {"rnnlm_jax": __version__, "jax": jax.__version__},
        "calling_convention": {
            "version": programs.score.calling_convention_version,
            "supported_by_that_jax": [least, most],
        },
        "platforms": list(programs.score.platforms),
        "x64": uses_float64(run.model),
        "run_id": None if run.identity is None else run.identity.run_id,
        "checkpoint_step": run.position.step,
        "vocabulary": {"size": run.vocabulary.size, "policy": run.vocabulary.describe()},
        "start_token": run.vocabulary.start_id,
        "window": WINDOW,
        "programs": {
            "step.jax": "(params, state, token: int32[B]) -> (state, log_probs[B, V])",
            "score.jax": "(params, state, inputs: int32[T, B], targets: int32[T, B]) -> (state, nats[T, B])",
        },
        "params": {name: _described(array, array.shape) for name, array in arrays.items()},
        "state": {name: _described(array, ("B", *array.shape[1:])) for name, array in state.items()},
        "config": to_json(run.config),
    }


def _described(array: Array, shape: Sequence[int | str]) -> dict[str, Any]:
    return {"dtype": str(array.dtype), "shape": list(shape)}


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            found[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found

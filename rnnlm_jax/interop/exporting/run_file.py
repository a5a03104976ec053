"""A run in one safetensors file: all parameters by path, and everything else in the header."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.config import config_and_identity_from_json, to_sealed_json
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import ArgumentError, CheckpointError, UserError
from rnnlm_jax.interop.weights import read_tensors, write_safetensors
from rnnlm_jax.jobs.checkpoints import position_from_json
from rnnlm_jax.jobs.checkpoints.array_digests import digests, named_leaves
from rnnlm_jax.jobs.run_folder import Run, build_model
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.outputs.word_counts import WordCounts

#: The entry of the header that identifies the file, and its version.
KIND, VERSION = "rnnlm_jax", "run 2"


def save_safetensors(run: Run, path: str | Path) -> None:
    """Write a run as one safetensors file, from which ``load_safetensors`` reads the same run.

    Parameters are tensors by path (``embedding``, ``cell.0.w_x``, …), in their own dtype. The header has the
    configuration, the run's identity, the vocabulary, the words' counts, the position, and a digest of each tensor.

    Args:
        run: as ``open_run`` returns it.
        path: the file, written completely or not at all.

    Raises:
        ArgumentError: for something that is not a run.
        UserError: if the file cannot be written.
    """
    require_run(run)
    write_safetensors(path, named_leaves(run.params), run_texts(run))


def require_run(run: object) -> None:
    """Check that something is a run.

    Raises:
        ArgumentError: if it is not, such as the name of a run's folder.
    """
    if not isinstance(run, Run):
        raise ArgumentError(
            f"`run` must be a run, as rnnlm_jax.jobs.run_folder.open_run(folder) returns it, not a {type(run).__name__}"
        )


def run_texts(run: Run) -> dict[str, str]:
    """Return everything of a run except its parameters, as strings by name, with the parameters' digests."""
    texts = {
        KIND: VERSION,
        "config": to_sealed_json(run.config, None if run.identity is None else run.identity.entry()),
        "vocabulary": run.vocabulary.to_json(),
        "position": json.dumps(dataclasses.asdict(run.position)),
        "digests": json.dumps(digests(named_leaves(run.params))),
    }
    return texts if run.words is None else texts | {"counts": run.words.to_json()}


def load_safetensors(path: str | Path) -> Run:
    """Return the run that ``save_safetensors`` wrote: the same configuration, vocabulary, position and parameters.

    Raises:
        CheckpointError: if the file is damaged, or does not hold a run of this version.
        UserError: if it does not exist or cannot be read.
    """
    return run_of(*read_tensors(path), str(path))


def is_run_file(texts: dict[str, str]) -> bool:
    """Return whether the header of a file is that of a run, of any version."""
    return KIND in texts


def run_of(arrays: dict[str, np.ndarray], texts: dict[str, str], name: str) -> Run:
    """Return the run in the arrays and header of a file.

    Args:
        arrays: by path.
        texts: the strings of the header.
        name: the file, for error messages.

    Raises:
        CheckpointError: if they do not hold a run of this version, or are not as they were written.
    """
    if texts.get(KIND) != VERSION:
        raise CheckpointError(
            f"{name} does not hold a run of this version: write one with rnnlm-jax export RUN --format safetensors"
        )
    try:
        position = position_from_json(json.loads(texts["position"]))
        written: dict[str, str] = dict(json.loads(texts["digests"]))
        config, entry = config_and_identity_from_json(texts["config"], f"the configuration in {name}")
        identity = None if entry is None else RunIdentity.from_entry(entry)
        vocabulary = _vocabulary_of(texts["vocabulary"], name)
    except (ValueError, TypeError, KeyError) as error:
        raise error if isinstance(error, UserError) else _damaged(name, f"its header: {error}") from error
    counts = texts.get("counts")
    words = None if counts is None else WordCounts.from_json(counts, vocabulary.tokens, f"the word counts in {name}")
    model = build_model(config.model, vocabulary.size, words=words, unknown_id=vocabulary.unk_id)
    params = params_from_arrays(model, arrays, name)
    for leaf, found in digests(arrays).items():
        if written.get(leaf) != found:
            raise _damaged(name, f"wrong digest of {leaf}")
    return Run(config, vocabulary, model, params, position, words, identity)


def params_from_arrays(model: LanguageModel, arrays: dict[str, np.ndarray], name: str) -> LanguageModelParams:
    """Return arrays by path as the parameters of a model.

    Raises:
        CheckpointError: if one is missing or superfluous, or has another shape or dtype.
    """
    like = jax.eval_shape(model.init, jax.random.key(0))
    wanted = named_leaves(like)
    missing, unknown = sorted(wanted.keys() - arrays.keys()), sorted(arrays.keys() - wanted.keys())
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has {unknown[0]}, which the model does not have"
        raise CheckpointError(f"{name} does not hold the parameters of its model ({what}): export the run again")
    for leaf, want in wanted.items():
        have = arrays[leaf]
        if have.shape != want.shape or have.dtype != want.dtype:
            raise CheckpointError(
                f"{leaf} in {name} is {have.dtype}{list(have.shape)}, and its model has {want.dtype}"
                f"{list(want.shape)}: export the run again"
            )
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(arrays[leaf]) for leaf in wanted])


def _vocabulary_of(text: str, name: str) -> Vocabulary:
    try:
        return Vocabulary.from_json(text, name)
    except UserError:
        raise _damaged(name, "its vocabulary") from None


def _damaged(name: str, what: str) -> CheckpointError:
    return CheckpointError(f"{name} is damaged ({what}): restore it from a copy, or export the run again")

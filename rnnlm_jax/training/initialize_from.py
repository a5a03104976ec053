"""Start parameters from those of another model, with tables of words copied word by word."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Int, Tree
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.training.initial_source import InitialSource
from rnnlm_jax.training.leaf_patterns import leaf_names, select_leaves


class WordRows(NamedTuple):
    """The words that two vocabularies have in common, by their ids in both."""

    here: Int[np.ndarray, " N"]
    there: Int[np.ndarray, " N"]


def common_words(here: Vocabulary, there: Vocabulary) -> WordRows:
    """Return the words of a vocabulary that another one has, too.

    The tokens for unknown words correspond to each other, and so do those for ends of lines, however they are spelt.
    """
    pairs = {token: there.index[token] for token in here.tokens if token in there.index}
    for mine, theirs in ((here.unk, there.unk), (here.eos, there.eos)):
        if mine is not None and theirs is not None:
            pairs[mine] = there.index[theirs]
    ids = sorted((here.index[token], other) for token, other in pairs.items())
    return WordRows(*np.asarray(ids, np.int32).reshape(-1, 2).T)


def initialize_from(
    params: Tree, source: Mapping[str, Any], *, word_axes: Mapping[str, int] | None = None, rows: WordRows | None = None
) -> Tree:
    """Return parameters with some leaves taken from another model; a pure function, which may be compiled.

    Args:
        params: fresh parameters, which all leaves keep that ``source`` does not have.
        source: arrays by the name of a leaf (``cell.0.w_h``), with the shapes of the leaves; of one in ``word_axes``,
            the length of that axis is the size of the other vocabulary. They are converted to the dtypes of ``params``.
        word_axes: the axis that runs over words, of each leaf that is copied word by word; words that are not in
            ``rows`` keep their fresh numbers.
        rows: the words to copy; None: all, in the same order.

    Raises:
        ConfigError: naming a leaf whose shape differs.
    """
    axes = {} if rows is None else dict(word_axes or {})
    require_shapes(params, source, axes)

    def choose(name: str, fresh: Array) -> Array:
        if name not in source:
            return fresh
        values = jnp.array(source[name], fresh.dtype)
        if name not in axes:
            return values
        assert rows is not None
        axis = axes[name]
        at = (slice(None),) * axis
        return fresh.at[(*at, rows.here)].set(jnp.take(values, rows.there, axis=axis))

    return jax.tree.map(choose, leaf_names(params), params)


def require_shapes(params: Tree, source: Mapping[str, Any], word_axes: Mapping[str, int], name: str = "source") -> None:
    """Check that arrays have the shapes of parameters, but for the length of axes that run over words.

    Args:
        params: parameters, or their shapes.
        source: arrays by the name of a leaf.
        word_axes: the axis that runs over words, of each leaf that is copied word by word.
        name: what the source is called in errors.

    Raises:
        ConfigError: naming the first leaf that differs, and how many others do.
    """
    shapes = dict(zip(jax.tree.leaves(leaf_names(params)), jax.tree.leaves(params), strict=True))
    unknown = [leaf for leaf in source if leaf not in shapes]
    if unknown:
        raise ConfigError(f"{name} has {unknown[0]}, which this model does not have: it has {', '.join(shapes)}")
    wrong = []
    for leaf, array in source.items():
        there, here = list(np.shape(array)), list(shapes[leaf].shape)
        if len(there) == len(here) and leaf in word_axes:
            there[word_axes[leaf]] = here[word_axes[leaf]]
        if there != here:
            wrong.append(f"{leaf} is {_size(np.shape(array))} there, {_size(shapes[leaf].shape)} here")
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ConfigError(
            f"{name} does not fit this model: {wrong[0]}{more}; choose the same sizes, or with `init_parts` the parts "
            "that fit"
        )


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"


@dataclass(frozen=True)
class InitialParameters:
    """The part of a source with which a run starts; ``apply`` puts it into fresh parameters."""

    source: InitialSource
    arrays: dict[str, np.ndarray]
    """The arrays to copy by the name of a leaf."""
    fresh: tuple[str, ...]
    """The names of the leaves that keep their fresh numbers."""
    word_axes: Mapping[str, int]
    rows: WordRows | None
    """The words in common; None if the vocabularies are the same, or no copied leaf has a word axis."""
    vocab_size: int

    def apply(self, params: Tree, arrays: Mapping[str, Any]) -> Tree:
        """Return the parameters to start from.

        Args:
            params: fresh parameters.
            arrays: ``self.arrays``, an argument of its own for a compiled function, whose program must not contain
                them.
        """
        return initialize_from(params, arrays, word_axes=self.word_axes, rows=self.rows)

    def record(self) -> dict[str, Any]:
        """Return what was copied, as ``initialized.json`` has it."""
        words = None if self.rows is None else {"found": len(self.rows.here), "of": self.vocab_size}
        about = {"source": self.source.name, "run_id": self.source.run_id, "step": self.source.step}
        return about | {
            "sha256": self.source.digest,
            "copied": list(self.arrays),
            "fresh": list(self.fresh),
            "words": words,
        }

    def describe(self) -> str:
        """Return in one line what was copied."""
        at = "" if self.source.step is None else f" (step {self.source.step:,})"
        rest = f"; fresh: {', '.join(self.fresh)}" if self.fresh else ""
        if self.rows is not None:
            found = len(self.rows.here)
            rest += f"; {found:,} of {self.vocab_size:,} words found there, {self.vocab_size - found:,} start fresh"
        return f"initial parameters from {self.source.name}{at}: {', '.join(self.arrays)}{rest}"


def plan_initialization(
    model: LanguageModel,
    vocabulary: Vocabulary,
    words: WordCounts | None,
    *,
    source: InitialSource,
    parts: str | None = None,
) -> InitialParameters:
    """Return what a run takes from a source, after checking that it fits; nothing is computed yet.

    Args:
        model: the model of the run.
        vocabulary: its vocabulary.
        words: the vocabulary's words with their counts in the run's text.
        source: the parameters to start from.
        parts: patterns over the names of leaves, separated by commas; None: all leaves.

    Raises:
        ConfigError: if a pattern matches nothing, leaves are missing in the source or superfluous, shapes differ, or
            words cannot be mapped.
    """
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    names = jax.tree.leaves(leaf_names(shapes))
    chosen = tuple(names) if parts is None else select_leaves(names, parts, option="init_parts")
    remedy = f"choose with `init_parts` of {', '.join(name for name in names if name in source.arrays) or 'nothing'}"
    missing = [name for name in chosen if name not in source.arrays]
    if missing:
        raise ConfigError(f"`init_from` {source.name} does not have {missing[0]} of this model: {remedy}")
    unused = [name for name in source.arrays if name not in names]
    if unused and parts is None:
        raise ConfigError(f"`init_from` {source.name} has {unused[0]}, which this model does not have: {remedy}")
    mapped = _mapped_axes(model, vocabulary, words, source=source, chosen=chosen)
    arrays = {name: source.arrays[name] for name in chosen}
    axes = dict(mapped or {})
    require_shapes(shapes, arrays, axes, f"`init_from` {source.name}")
    rows = None
    if axes:
        assert source.vocabulary is not None
        rows = common_words(vocabulary, source.vocabulary)
        if not rows.here.size:
            raise ConfigError(
                f"`init_from` {source.name} has no word of this vocabulary: choose parts with `init_parts`"
            )
    fresh = tuple(name for name in names if name not in chosen)
    return InitialParameters(source, arrays, fresh, axes, rows, vocabulary.size)


def _mapped_axes(
    model: LanguageModel,
    vocabulary: Vocabulary,
    words: WordCounts | None,
    *,
    source: InitialSource,
    chosen: tuple[str, ...],
) -> dict[str, int] | None:
    """Return the word axis of each chosen leaf that is copied word by word; None if the vocabularies are the same.

    Raises:
        ConfigError: if a chosen leaf depends on the vocabulary and cannot be copied word by word.
    """
    layers = {name: layer for name, layer in _layers(model).items() if any(_is_in(leaf, name) for leaf in chosen)}
    if not layers:
        return None
    there, theirs = source.vocabulary, source.model
    remedy = f"leave {' and '.join(layers)} out with `init_parts`"
    if there is None or theirs is None:
        raise ConfigError(
            f"`init_from` {source.name} does not have the vocabulary that its tables are of: give a run or a file of "
            f"rnnlm-jax export, or {remedy}"
        )
    same = vocabulary.content_hash == there.content_hash
    if not same and vocabulary.level != there.level:
        raise ConfigError(
            f"`init_from` {source.name} reads {there.describe()}, and this run {vocabulary.describe()}: {remedy}"
        )
    axes: dict[str, int] = {}
    for name, layer in layers.items():
        other = _layers(theirs)[name]
        if layer.rows_by_id and other.rows_by_id:
            if dict(layer.word_axes or {}) != dict(other.word_axes or {}):
                raise ConfigError(
                    f"`init_from` {source.name} has the {name} layer {other.kind}, whose tables have their words along "
                    f"another axis than those of {layer.kind}: leave {name} out with `init_parts`"
                )
            of_layer = {".".join(filter(None, (name, path))): axis for path, axis in (layer.word_axes or {}).items()}
            axes |= {leaf: axis for leaf, axis in of_layer.items() if leaf in chosen}
        elif not same or (layer != other and words != source.words):
            what = "another vocabulary" if not same else "other word counts"
            raise ConfigError(
                f"`init_from` {source.name} has {what}, and the {name} layer {layer.kind} does not have a row of its "
                f"own for each word: leave {name} out with `init_parts`"
            )
    return None if same else axes


def _layers(model: LanguageModel) -> dict[str, Any]:
    """Return the layers whose parameters depend on the vocabulary, by the name of their part of the parameters."""
    return {"embedding": model.input, "output": model.output}


def _is_in(leaf: str, part: str) -> bool:
    return leaf == part or leaf.startswith(part + ".")

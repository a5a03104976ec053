"""What the networks of the sentences predict, beside the true probabilities, and how they represent words."""

from collections.abc import Collection
from typing import Any

import numpy as np

from experiments.elman_1990.recipes import Published, Recipe
from experiments.elman_1990.train import Answers, logistic, softmax
from rnnlm_jax.array_types import Bool, Float, Int
from rnnlm_jax.errors import DataError
from rnnlm_jax.tasks.elman_sentences import CLASSES, WORDS, next_word_probs

VERBS = frozenset(word for name, words in CLASSES.items() if name.startswith("VERB") for word in words)
NOUNS = tuple(word for word in WORDS if word not in VERBS)
#: People and animals, the aggressive ones among them.
ANIMATES = frozenset(word for name in ("NOUN-HUM", "NOUN-ANIM", "NOUN-AGRESS") for word in CLASSES[name])

Vectors = Float[np.ndarray, "T S K"]


def sentences(answers: Answers, recipe: Recipe) -> dict[str, Any]:
    """Return distances to the true probabilities, and the tree of words; lists have one entry for each seed."""
    truth = np.asarray(next_word_probs(answers.streams)).astype(np.float64)
    current = answers.streams.inputs.argmax(axis=-1)
    actual = np.eye(truth.shape[-1])[answers.streams.targets[..., 0]]
    outputs = logistic(answers.outputs) if isinstance(recipe, Published) else softmax(answers.outputs)
    readers = {
        "network": outputs,
        "last word": means_by_word(truth, current)[current],
        "frequencies": np.broadcast_to(truth.mean(axis=(0, 1)), truth.shape),
        "true probabilities": truth,
    }
    means = [means_by_word(answers.hidden[:, seed], current[:, seed]) for seed in range(current.shape[1])]
    trees = [average_linkage(vectors) for vectors in means]
    nouns = [average_linkage(vectors[[WORDS.index(word) for word in NOUNS]]) for vectors in means]
    return {
        "readers": {name: distances(vectors, truth, actual) for name, vectors in readers.items()},
        "nouns_from_verbs": [purity(top_split(tree), [word in VERBS for word in WORDS]) for tree in trees],
        "animates_from_inanimates": [purity(top_split(tree), [word in ANIMATES for word in NOUNS]) for tree in nouns],
        "tree": trees[0].tolist(),
    }


def distances(vectors: Vectors, truth: Vectors, actual: Vectors) -> dict[str, list[float]]:
    """Return mean distances of predictions from the true probabilities and from the words that followed, by seed.

    ``squares`` is the sum of the squared differences over the outputs of a step, ``norm`` its root, ``rms`` the root
    of its mean over the outputs; all are means over the steps.
    """
    found: dict[str, list[float]] = {}
    for name, wanted in (("", truth), ("_of_actual", actual)):
        squares = np.square(vectors - wanted).sum(axis=-1)
        found[f"squares{name}"] = squares.mean(axis=0).tolist()
        found[f"norm{name}"] = np.sqrt(squares).mean(axis=0).tolist()
        found[f"rms{name}"] = np.sqrt(squares / vectors.shape[-1]).mean(axis=0).tolist()
    product = (vectors * truth).sum(axis=-1)
    cosine = product / (np.linalg.norm(vectors, axis=-1) * np.linalg.norm(truth, axis=-1))
    return found | {"cosine": cosine.mean(axis=0).tolist()}


def means_by_word(vectors: Float[np.ndarray, "*N K"], words: Int[np.ndarray, "*N"]) -> Float[np.ndarray, "W K"]:
    """Return the mean of the vectors of all steps with a word, for each word.

    Raises:
        DataError: if a word does not occur.
    """
    missing = set(range(len(WORDS))) - set(words.flat)
    if missing:
        raise DataError(f"{WORDS[min(missing)]!r} is not in a stream of {len(words):,} words: read a longer one")
    return np.stack([vectors[words == word].mean(axis=0) for word in range(len(WORDS))])


def average_linkage(vectors: Float[np.ndarray, "W H"]) -> Float[np.ndarray, "W-1 4"]:
    """Return the tree of average linkage by Euclidean distance, as ``scipy.cluster.hierarchy.linkage`` has it."""
    from scipy.cluster.hierarchy import linkage

    return linkage(vectors, method="average", metric="euclidean")


def top_split(tree: Float[np.ndarray, "W-1 4"]) -> Bool[np.ndarray, " W"]:
    """Return which leaves are on the first side of the tree's uppermost branching."""
    leaves = len(tree) + 1
    side, open_nodes = np.zeros(leaves, bool), [int(tree[-1, 0])]
    while open_nodes:
        node = open_nodes.pop()
        if node < leaves:
            side[node] = True
        else:
            open_nodes += [int(child) for child in tree[node - leaves, :2]]
    return side


def purity(side: Bool[np.ndarray, " W"], kinds: Collection[bool]) -> float:
    """Return the share of words that are of the commonest kind on their side of a split: 1 if it parts the kinds."""
    kind = np.array(list(kinds))
    return sum(max((kind & part).sum(), (~kind & part).sum()) for part in (side, ~side)) / len(kind)

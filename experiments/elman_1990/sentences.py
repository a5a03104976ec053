"""What the networks of the sentences predict, beside the true probabilities, and how they represent words."""

from typing import Any

import numpy as np

from experiments.elman_1990.recipes import Published, Recipe
from experiments.elman_1990.train import Answers, logistic, softmax
from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.errors import DataError
from rnnlm_jax.tasks.elman_sentences import CLASSES, WORDS, next_word_probs

VERBS = frozenset(word for name, words in CLASSES.items() if name.startswith("VERB") for word in words)
#: People and animals, the aggressive ones among them.
ANIMATES = frozenset(word for name in ("NOUN-HUM", "NOUN-ANIM", "NOUN-AGRESS") for word in CLASSES[name])

#: What each word is, by name: a verb, an animate noun, an inanimate noun.
KINDS = tuple("verb" if word in VERBS else "animate" if word in ANIMATES else "inanimate" for word in WORDS)
#: Ways to measure the distance of two branches, the first is that of figures and tables.
LINKAGES = ("ward", "average")

Vectors = Float[np.ndarray, "T S K"]


def sentences(answers: Answers, recipe: Recipe) -> dict[str, Any]:
    """Return distances to the true probabilities, and the tree of words; lists have one entry for each seed."""
    truth = np.asarray(next_word_probs(answers.streams)).astype(np.float64)
    current = answers.inputs.argmax(axis=-1)
    actual = np.eye(truth.shape[-1])[answers.targets[..., 0]]
    outputs = logistic(answers.outputs) if isinstance(recipe, Published) else softmax(answers.outputs)
    readers = {
        "network": outputs,
        "last word": means_by_word(truth, current)[current],
        "frequencies": np.broadcast_to(truth.mean(axis=(0, 1)), truth.shape),
        "true probabilities": truth,
    }
    means = [means_by_word(answers.hidden[:, seed], current[:, seed]) for seed in range(current.shape[1])]
    return {
        "readers": {name: distances(vectors, truth, actual) for name, vectors in readers.items()},
        "branches": {linkage: [branch_purities(vectors, linkage) for vectors in means] for linkage in LINKAGES},
        "nearest_of_kind": [nearest_of_kind(vectors) for vectors in means],
        "tree": cluster_tree(means[0], LINKAGES[0]).tolist(),
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


def branch_purities(vectors: Float[np.ndarray, "W H"], linkage: str) -> dict[str, float]:
    """Return how pure the uppermost branches of trees of words are.

    ``nouns_from_verbs``: of the two uppermost branches; ``animates_from_inanimates``: of those of a tree of the nouns;
    ``three_kinds``: of the three uppermost branches, for verbs, animate and inanimate nouns.
    """
    kinds = np.array(KINDS)
    is_noun = kinds != "verb"
    tree, nouns = cluster_tree(vectors, linkage), cluster_tree(vectors[is_noun], linkage)
    return {
        "nouns_from_verbs": purity(branches(tree, 2), is_noun),
        "animates_from_inanimates": purity(branches(nouns, 2), kinds[is_noun]),
        "three_kinds": purity(branches(tree, 3), kinds),
    }


def cluster_tree(vectors: Float[np.ndarray, "W H"], linkage: str) -> Float[np.ndarray, "W-1 4"]:
    """Return the tree that joins the two closest branches first, by Euclidean distance, in the format of scipy."""
    from scipy.cluster import hierarchy

    return hierarchy.linkage(vectors, method=linkage, metric="euclidean")


def branches(tree: Float[np.ndarray, "W-1 4"], count: int) -> Int[np.ndarray, " W"]:
    """Return the number of the uppermost branch that each leaf is in, for so many branches."""
    from scipy.cluster.hierarchy import fcluster

    return fcluster(tree, count, criterion="maxclust")


def purity(parts: Int[np.ndarray, " W"], kinds: np.ndarray) -> float:
    """Return the share of words that are of the commonest kind in their part: 1 if no part mixes kinds."""
    counts = [np.unique(kinds[parts == part], return_counts=True)[1].max() for part in np.unique(parts)]
    return float(sum(counts) / len(kinds))


def nearest_of_kind(vectors: Float[np.ndarray, "W H"]) -> float:
    """Return the share of words whose nearest word, by Euclidean distance, is of the same of the three kinds."""
    from scipy.spatial.distance import pdist, squareform

    distance = squareform(pdist(vectors))
    np.fill_diagonal(distance, np.inf)
    kinds = np.array(KINDS)
    return float((kinds[distance.argmin(axis=1)] == kinds).mean())

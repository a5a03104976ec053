"""Reference of sparse non-negative matrices in dictionaries, one history at a time, as defined in the paper."""

import math
from collections import Counter, defaultdict

import numpy as np

from rnnlm_jax.ngrams.snm.meta_features import Signatures


def histories(tokens, vocab_size, eos_id):
    """Return the words before each token in its sentence, beginning with ``<s>``, V."""
    history, found = [vocab_size], []
    for token in tokens:
        found.append(tuple(history))
        history = [vocab_size] if token == eos_id else [*history, token]
    return found


def features(history, types):
    """Return all features of a history (type, remote words, adjacent words), tied ones as often as they occur."""
    found = []
    for kind, t in enumerate(types):
        for skipped in range(t.nearest, t.farthest + 1):
            if len(history) >= t.remote + skipped + t.adjacent:
                end = len(history) - t.adjacent
                found.append((kind, history[end - skipped - t.remote : end - skipped], history[end:]))
    return found


def half_octave(n):
    """The bucket of a count."""
    return n if n < 4 else min(math.floor(2 * math.log2(n)), 63)


class Counted:
    """Counts of events, each a history and the token after it."""

    def __init__(self, events, types):
        self.pairs = Counter((f, w) for history, w in events for f in features(history, types))
        self.words = Counter(w for _, w in events)
        self.types = types
        self.totals, self.followers, self.before = Counter(), defaultdict(set), defaultdict(set)
        for (f, w), n in self.pairs.items():
            self.totals[f] += n
            self.followers[f].add(w)
            kind, remote, adjacent = f
            if adjacent and not types[kind].remote:
                self.before[adjacent[1:], w].add(adjacent[0])

    def signature(self, feature, word):
        """Return the signature of a pair: six buckets of six bits."""
        kind, _, adjacent = feature
        extensions = 0 if self.types[kind].remote else len(self.before[adjacent, word])
        counts = (
            self.totals[feature],
            len(self.followers[feature]),
            self.pairs[feature, word],
            extensions,
            self.words[word],
        )
        buckets = [kind, *map(half_octave, counts)]
        return sum(b << 6 * place for place, b in enumerate(buckets))

    def matrix(self, meta, weights):
        """``M`` of every pair: rows of ``{word: value}``."""
        rows = defaultdict(dict)
        for (f, w), n in self.pairs.items():
            signature = Signatures(np.array([self.signature(f, w)]), np.array([w]), np.zeros(1, np.int64))
            rows[f][w] = math.exp(weights[meta.weight_indices(signature)].sum()) * n / self.totals[f]
        return rows


def probabilities(history, rows, types, uniform, vocab_size):
    """``P(· | history)``, normalised by brute force over the vocabulary."""
    scores = np.full(vocab_size, uniform / vocab_size)
    for f in features(history, types):
        for w, value in rows.get(f, {}).items():
            scores[w] += value
    return scores / scores.sum()

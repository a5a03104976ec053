"""Reference of Kneser-Ney smoothing in dictionaries, one n-gram at a time (Chen & Goodman 1999)."""

import collections
import math

BOS = "<s>"


def sentences_of(tokens, eos):
    """Return the sentences of a text with their end-of-line tokens; one sentence without such tokens."""
    found = [[]]
    for token in tokens:
        found[-1].append(token)
        if token == eos:
            found.append([])
    return [sentence for sentence in found if sentence]


class KneserNey:
    """The probabilities of a text's model, each from its definition."""

    def __init__(self, sentences, vocab_size, order, kind):
        self.vocab_size, self.order = vocab_size, order
        raw = collections.Counter()
        for sentence in sentences:
            padded = [BOS, *sentence]
            for end in range(1, len(padded)):
                for length in range(1, order + 1):
                    if end - length + 1 >= 0:
                        raw[tuple(padded[end - length + 1 : end + 1])] += 1
        before = collections.defaultdict(set)
        for ngram in raw:
            before[ngram[1:]].add(ngram[0])
        self.adjusted = {
            ngram: count if len(ngram) == order or ngram[0] == BOS else len(before[ngram])
            for ngram, count in raw.items()
        }
        self.discounts = [self._discounts(length, kind) for length in range(1, order + 1)]
        self.followers = collections.defaultdict(dict)
        for ngram, count in self.adjusted.items():
            self.followers[ngram[:-1]][ngram[-1]] = count

    def _discounts(self, length, kind):
        n = collections.Counter(count for ngram, count in self.adjusted.items() if len(ngram) == length)
        if kind == "single":
            return [n[1] / (n[1] + 2 * n[2])] * 3 if n[1] and n[2] else [0.5] * 3
        if n[1] and n[2] and n[3]:
            y = n[1] / (n[1] + 2 * n[2])
            found = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
            if all(0 < discount <= k for k, discount in zip((1, 2, 3), found, strict=True)):
                return found
        return [0.5, 1.0, 1.5]

    def discount(self, length, count):
        return self.discounts[length - 1][min(count, 3) - 1] if count else 0.0

    def probability(self, word, context):
        """P(word | context); a context is a tuple of at most order - 1 tokens, which may begin with <s>."""
        lower = self.probability(word, context[1:]) if context else 1 / self.vocab_size
        followers = self.followers.get(context)
        if not followers:
            return lower
        length, total = len(context) + 1, sum(followers.values())
        count = followers.get(word, 0)
        left = sum(self.discount(length, each) for each in followers.values()) / total
        return (count - self.discount(length, count)) / total + left * lower

    def nats(self, sentences):
        """-ln P of each token."""
        found = []
        for sentence in sentences:
            padded = [BOS, *sentence]
            for end in range(1, len(padded)):
                context = tuple(padded[max(0, end - self.order + 1) : end]) if self.order > 1 else ()
                found.append(-math.log(self.probability(padded[end], context)))
        return found

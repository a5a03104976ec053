"""German sentences with separable verbs: the verb stands second, its particle at the end.

"die frau sieht das bild am abend im garten an .": "sieht … an" is one verb, and a model that predicts "an" must
remember "sieht" across the words between. Each verb has one of six particles, so the right one follows from the verb
alone. Prepositions between them ("an der tür", "auf dem markt") are the same words as particles.
"""

from collections.abc import Iterable

import numpy as np

from rnnlm_jax.data import Corpus
from rnnlm_jax.data.corpora.context_free_grammar import Grammar
from rnnlm_jax.data.corpora.grammar_corpus import grammar_corpus
from rnnlm_jax.evaluation.minimal_pairs import WORD, Contrast, Pair, PairSet

#: Verb -> its particle.
VERBS = {
    "sieht": "an",
    "ruft": "an",
    "macht": "auf",
    "hebt": "auf",
    "bringt": "mit",
    "nimmt": "mit",
    "stellt": "vor",
    "liest": "vor",
    "räumt": "weg",
    "wirft": "weg",
    "holt": "ab",
    "gibt": "ab",
}
PARTICLES = tuple(dict.fromkeys(VERBS.values()))

#: Probability that one more adverbial follows.
MORE = 0.85
_WORDS = {
    "SUBJECT": "der mann|die frau|das kind|der lehrer|die nachbarin|das mädchen|der könig|die tante",
    "OBJECT": "den brief|die lampe|das bild|den gast|die tasche|das buch|den hut|die katze",
    "ADVERBIAL": "am abend|im garten|an der tür|auf dem markt|mit dem bruder|vor dem essen|nach der arbeit|"
    "ohne ein wort|trotz des regens|in der alten stadt|bei der großen brücke|heute|schon wieder",
}

#: A sentence whose particle is asked for, and its verb's.
QUESTION, ANSWER = "die frau sieht das bild am abend in der alten stadt mit dem bruder", "an"


def grammar() -> Grammar:
    """Return the grammar: subject, verb, object, one or more adverbials, particle."""
    share = 1 / len(VERBS)
    sentences = (f"{share!r} SUBJECT {verb} OBJECT MIDDLE {particle} ." for verb, particle in VERBS.items())
    lines = [f"S -> {' | '.join(sentences)}", f"MIDDLE -> {MORE!r} ADVERBIAL MIDDLE | {1 - MORE!r} ADVERBIAL"]
    for name, words in _WORDS.items():
        alternatives = words.split("|")
        lines.append(f"{name} -> " + " | ".join(f"{1 / len(alternatives)!r} {words}" for words in alternatives))
    return Grammar.from_text("S", "\n".join(lines))


def sampled_corpus(sentences: int, seed: int) -> Corpus:
    """Return a corpus of the grammar: this many sentences to train on, a tenth for validation, a fifth for the test."""
    return grammar_corpus(grammar(), seed=seed, sentences=(sentences, max(sentences // 10, 1), max(sentences // 5, 1)))


def particle_pairs(sentences: Iterable[str], seed: int) -> PairSet:
    """Return a pair for each sentence: the particle of its verb, and another one after the same words.

    Their distance is the number of words from the verb to the particle; the group is the particle.
    """
    rng = np.random.default_rng(seed)
    pairs = []
    for sentence in sentences:
        words = sentence.split()
        verb, last = next(k for k, word in enumerate(words) if word in VERBS), len(words) - 2
        right = words[last]
        wrong = str(rng.choice([particle for particle in PARTICLES if particle != right]))
        prefix = " ".join(words[:last])
        whole = [" ".join((prefix, particle, words[-1])) for particle in (right, wrong)]
        contrast = Contrast(prefix, right, prefix, wrong)
        pairs.append(Pair(whole[0], whole[1], contrast, right, dependency_length=last - verb))
    return PairSet("separable verbs", tuple(pairs), WORD)

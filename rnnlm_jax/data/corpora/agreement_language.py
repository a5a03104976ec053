"""A grammar of about 80 English words with subject-verb agreement across prepositional phrases and relative clauses.

A verb agrees with the head of its subject in number (the dog barks, the dogs bark) and in kind: persons, animals and
things have different verbs. Nouns between the two are of any number and kind, so a model that predicts the verb from
the last noun has a higher loss. Each noun has at most one modifier after it, which can attach in one way only:
every sentence has one derivation, and the entropy of the grammar is that of its sentences.
"""

from __future__ import annotations

from functools import cache
from itertools import product

from rnnlm_jax.data.corpora.context_free_grammar import Grammar

# S sentence, NP noun with its determiner, VP predicate, PP prepositional phrase, SRC and ORC subject and object
# relative clause ("that sees a dog", "that a dog chases"); SUBJECT, INNER (subject of an ORC) and OBJECT are roles of
# nouns, which determine how often they are modified. A rule with {a} has an equally likely alternative for each
# agreement class, a rule with {h} is repeated for each class, and {n} is the grammatical number of {h}.
_STRUCTURE = """
S           -> {a} SUBJECT_{a} VP_{a}
ORC         -> {a} that INNER_{a} TRANSITIVE_{a}
OBJECT      -> {a} OBJECT_{a}
PP          -> 1.0 PREPOSITION OBJECT
SUBJECT_{h} -> 0.15 NP_{h} | 0.30 NP_{h} PP | 0.15 NP_{h} SRC_{h} | 0.40 NP_{h} ORC
INNER_{h}   -> 0.45 NP_{h} | 0.30 NP_{h} PP | 0.10 NP_{h} SRC_{h} | 0.15 NP_{h} ORC
OBJECT_{h}  -> 0.55 NP_{h} | 0.20 NP_{h} PP | 0.15 NP_{h} SRC_{h} | 0.10 NP_{h} ORC
SRC_{h}     -> 1.0 that VP_{h}
VP_{h}      -> 0.9 VERB_{h} | 0.1 ADVERB VERB_{h}
VERB_{h}    -> 0.40 INTRANSITIVE_{h} | 0.50 TRANSITIVE_{h} OBJECT | 0.10 COPULA_{n} ADJECTIVE
NP_{h}      -> 0.90 DETERMINER_{n} NOUN_{h} | 0.10 DETERMINER_{n} ADJECTIVE NOUN_{h}
"""

# class, skew, words: probabilities are proportional to rank ** -skew
_LEXICON = """
DETERMINER_sg          3.0 the a every
DETERMINER_pl          3.0 the some many
NOUN_person_sg         1.5 king child sailor doctor
NOUN_person_pl         1.5 kings children sailors doctors
NOUN_animal_sg         1.5 dog bird horse wolf
NOUN_animal_pl         1.5 dogs birds horses wolves
NOUN_thing_sg          1.5 ship wagon tower bell
NOUN_thing_pl          1.5 ships wagons towers bells
TRANSITIVE_person_sg   1.5 sees knows praises
TRANSITIVE_person_pl   1.5 see know praise
TRANSITIVE_animal_sg   1.5 chases follows smells
TRANSITIVE_animal_pl   1.5 chase follow smell
TRANSITIVE_thing_sg    1.5 carries hides crushes
TRANSITIVE_thing_pl    1.5 carry hide crush
INTRANSITIVE_person_sg 1.5 laughs sings dreams
INTRANSITIVE_person_pl 1.5 laugh sing dream
INTRANSITIVE_animal_sg 1.5 sleeps runs growls
INTRANSITIVE_animal_pl 1.5 sleep run growl
INTRANSITIVE_thing_sg  1.5 falls breaks burns
INTRANSITIVE_thing_pl  1.5 fall break burn
COPULA_sg              1.5 is
COPULA_pl              1.5 are
ADJECTIVE              1.5 old small grey quiet
ADVERB                 1.5 often never always
PREPOSITION            1.5 near behind with under
"""

_CLASSES = tuple(f"{kind}_{number}" for kind, number in product(("person", "animal", "thing"), ("sg", "pl")))


@cache
def agreement_grammar() -> Grammar:
    """Return the grammar of the `grammar` corpus: about 80 types, and 10 words a sentence."""
    lines: list[str] = []
    for rule in _STRUCTURE.strip().split("\n"):
        left, right = rule.split("->")
        if "{a}" in right:
            equal = right.strip().removeprefix("{a} ")
            lines.append(f"{left} -> " + " | ".join(f"{1 / len(_CLASSES)!r} {equal.format(a=a)}" for a in _CLASSES))
        elif "{h}" in left:
            lines.extend(rule.format(h=head, n=head.rpartition("_")[2]) for head in _CLASSES)
        else:
            lines.append(rule)
    for entry in _LEXICON.strip().split("\n"):
        word_class, skew, *words = entry.split()
        shares = _zipf_probabilities(len(words), float(skew))
        lines.append(f"{word_class} -> " + " | ".join(f"{p!r} {word}" for p, word in zip(shares, words, strict=True)))
    return Grammar.from_text("S", "\n".join(lines))


def _zipf_probabilities(count: int, skew: float) -> list[float]:
    """Return `count` probabilities proportional to `rank ** -skew`."""
    weights = [rank**-skew for rank in range(1, count + 1)]
    return [weight / sum(weights) for weight in weights]

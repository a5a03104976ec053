"""The nats per token of the grammar itself on the test text: a lower bound for models of it.

python -m experiments.grammar.true_model
"""

import sys

from rnnlm_jax.data import load_corpus
from rnnlm_jax.data.corpora.agreement_language import agreement_grammar
from rnnlm_jax.data.corpora.grammar_parse import summed_nats


def main() -> int:
    """Parse every sentence, sum over its derivations, and print nats per token."""
    corpus = load_corpus("grammar")
    nats, tokens = summed_nats(agreement_grammar(), corpus.lines("test"))
    print(f"true model on the test text: {nats / tokens:.5f} nats a token over {tokens:,} tokens")
    print(f"entropy rate of the language: {corpus.facts['entropy_rate']:.5f} nats a token")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``rnnlm-jax score``."""

import argparse
import math

import numpy as np

from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.evaluation import Evaluation, evaluation_from_nll, score_sentences
from rnnlm_jax.jobs.run_folder import open_run
from rnnlm_jax.system import json_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of scoring."""
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("file", metavar="FILE", help="a text file, one sentence a line, or a split such as ptb:test")
    parser.add_argument("--data-dir", metavar="DIR", help="folder that holds ptb/, wikitext-2/ … [$RNNLM_JAX_DATA]")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which one (default: best)")
    parser.add_argument("--carry", action="store_true", help="read the text as one stream, not sentence by sentence")
    parser.add_argument("--tokens", action="store_true", help="print the nats of every token too")
    parser.add_argument("--json", action="store_true", help="print all scores as one JSON object, the last line")


def main(arguments: argparse.Namespace) -> int:
    """Print nats and tokens of each sentence, and their sums."""
    run = open_run(arguments.run, arguments.checkpoint)
    text = encode_text(arguments.file, run.vocabulary, arguments.data_dir)
    scores = score_sentences(run.model, run.params, text, run.vocabulary, carry_state=arguments.carry)
    lines = list(text.lines())
    print(f"{'nats':>12} {'tokens':>7}  sentence")
    for line, nats in zip(lines, scores, strict=True):
        tokens = [run.vocabulary.tokens[i] for i in line.tolist()]
        shown = run.vocabulary.decode(line.tolist()).rstrip("\n")
        print(f"{math.fsum(nats):12.4f} {nats.size:7d}  {shown}")
        if arguments.tokens:
            print(
                "".join(f"{value:12.4f}          {token!r}\n" for token, value in zip(tokens, nats, strict=True)),
                end="",
            )
    how = "one continuous stream" if arguments.carry else "each sentence on its own"
    found = evaluation_from_nll(np.concatenate(scores), text, run.vocabulary.describe())
    print(
        f"{found.nll:.4f} nats, {found.counts}, perplexity {found.perplexity:.3f}{found.other_perplexities}; {how}; "
        f"{found.remarks}; {found.policy}"
    )
    if arguments.json:
        print(json_text.dumps(_summary(found, [nats.tolist() for nats in scores])))
    return 0


def _summary(found: Evaluation, scores: list[list[float]]) -> dict[str, object]:
    return {
        "nats": found.nll,
        "tokens": found.tokens,
        "oov": found.oov,
        "perplexity": found.perplexity,
        "words": found.words,
        "word_perplexity": found.word_perplexity,
        "characters": found.characters,
        "character_perplexity": found.character_perplexity,
        "bits_per_character": found.bits_per_character,
        "lossy_lines": found.lossy_lines,
        "sentences": [{"nats": math.fsum(each), "tokens": len(each), "token_nats": each} for each in scores],
    }

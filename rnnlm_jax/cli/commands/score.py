"""``rnnlm-jax score``: negative log-likelihood of each sentence and token of a text."""

import argparse
import math

import numpy as np

from rnnlm_jax.cli.common_arguments import add_checkpoint, add_data_dir, add_json, add_run
from rnnlm_jax.cli.output_files import write_json
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.evaluation import Evaluation, evaluation_from_nll, score_sentences
from rnnlm_jax.jobs.run_folder import open_run

EXAMPLES = """\
  rnnlm-jax score runs/demo sentences.txt
  rnnlm-jax score runs/demo ptb:test --data-dir texts --carry --tokens --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of scoring."""
    add_run(parser)
    parser.add_argument(
        "file", metavar="FILE", help="a text file, one sentence per line, or a split of a corpus such as ptb:test"
    )
    add_data_dir(parser)
    add_checkpoint(parser)
    parser.add_argument("--carry", action="store_true", help="read the text as one stream, not sentence by sentence")
    parser.add_argument("--tokens", action="store_true", help="also print the nats of every token")
    add_json(parser, "print all scores as one JSON object, on the last line")


def main(arguments: argparse.Namespace) -> int:
    """Print nats and number of tokens of each sentence, and their sums."""
    run = open_run(arguments.run, arguments.checkpoint)
    text = encode_text(arguments.file, run.vocabulary, arguments.data_dir)
    scores = score_sentences(run.model, run.params, text, run.vocabulary, carry_state=arguments.carry)
    lines = list(text.lines())
    print(f"{'nats':>12} {'tokens':>7}  sentence")
    for line, nats in zip(lines, scores, strict=True):
        tokens = [run.vocabulary.tokens[i] for i in line.tolist()]
        sentence = run.vocabulary.decode(line.tolist()).rstrip("\n")
        print(f"{math.fsum(nats):12.4f} {nats.size:7d}  {sentence}")
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
    write_json(arguments.json, _summary(found, [nats.tolist() for nats in scores]))
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

"""``rnnlm-jax score``."""

import argparse
import math

from rnnlm_jax import json_text
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.evaluation import perplexity
from rnnlm_jax.runs import open_run
from rnnlm_jax.sentence_scores import score_sentences


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
    scores = score_sentences(run.model, run.params, text, run.vocabulary, arguments.carry)
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
    total = math.fsum(math.fsum(nats) for nats in scores)
    how = "one continuous stream" if arguments.carry else "each sentence on its own"
    print(
        f"{total:.4f} nats, {len(text):,} tokens, perplexity {perplexity(total, len(text)):.3f}; {how}; "
        f"{text.oov:,} OOV; {run.vocabulary.describe()}"
    )
    if arguments.json:
        print(json_text.dumps(_summary(total, len(text), text.oov, [nats.tolist() for nats in scores])))
    return 0


def _summary(nats: float, tokens: int, oov: int, scores: list[list[float]]) -> dict[str, object]:
    return {
        "nats": nats,
        "tokens": tokens,
        "oov": oov,
        "perplexity": perplexity(nats, tokens),
        "sentences": [{"nats": math.fsum(each), "tokens": len(each), "token_nats": each} for each in scores],
    }

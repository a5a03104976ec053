"""``rnnlm-jax eval``."""

import argparse

from rnnlm_jax import json_text
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.evaluation import evaluate
from rnnlm_jax.progress import token_bar
from rnnlm_jax.runs import open_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of evaluation."""
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("--data", required=True, metavar="FILE", help="a text file, or a split such as ptb:test")
    parser.add_argument("--data-dir", metavar="DIR", help="folder that holds ptb/, wikitext-2/ … [$RNNLM_JAX_DATA]")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which one (default: best)")
    parser.add_argument(
        "--streams", type=int, default=1, metavar="N", help="1: exact; more: N pieces side by side, an approximation"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object, the last line")


def main(arguments: argparse.Namespace) -> int:
    """Print the perplexity of one continuous stream, or of the approximation asked for."""
    run = open_run(arguments.run, arguments.checkpoint)
    text = encode_text(arguments.data, run.vocabulary, arguments.data_dir)
    with token_bar("evaluating", len(text)) as bar:
        evaluation = evaluate(run.model, run.params, text, run.vocabulary, arguments.streams, bar.update)
    print(f"{arguments.data}: {evaluation}")
    if arguments.json:
        about = {"run": arguments.run, "data": arguments.data, "step": run.position.step}
        print(json_text.dumps(about | evaluation.summary()))
    return 0

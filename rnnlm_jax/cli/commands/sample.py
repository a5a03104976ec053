"""``rnnlm-jax sample``: generate text from a trained model."""

import argparse
import os

from rnnlm_jax.cli.common_arguments import add_checkpoint, add_json, add_run
from rnnlm_jax.cli.output_files import write_json
from rnnlm_jax.jobs.run_folder import open_run
from rnnlm_jax.language_model.finite_parameters import require_finite
from rnnlm_jax.language_model.generation import Sampling, sample

EXAMPLES = """\
  rnnlm-jax sample runs/demo --prompt "the" --temperature 0.7
  rnnlm-jax sample runs/demo --top-p 0.9 --lines 5 --max-tokens 500 --seed 1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of sampling."""
    add_run(parser)
    parser.add_argument("--prompt", default="", help="the beginning of the text (default: the start of a line)")
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="below 1: likely tokens more often; 0: always the most likely token (default: 1)",
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K most likely tokens")
    parser.add_argument(
        "--top-p", type=float, metavar="P", help="draw from the most likely tokens with total probability P"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same text (default: 0)")
    parser.add_argument("--max-tokens", type=int, default=100, metavar="N", help="draw at most N tokens (default: 100)")
    parser.add_argument("--lines", type=int, default=1, metavar="N", help="stop after N lines (default: 1)")
    add_checkpoint(parser)
    add_json(parser, "print the text as one JSON object, on the last line")


def main(arguments: argparse.Namespace) -> int:
    """Print the prompt and its continuation."""
    run = open_run(arguments.run, arguments.checkpoint)
    require_finite(run.params, arguments.run)
    # In a locale other than UTF-8, arguments contain the bytes of other characters one by one.
    prompt = os.fsencode(arguments.prompt).decode("utf-8", "surrogateescape")
    text = sample(
        run.model,
        run.params,
        run.vocabulary,
        prompt,
        sampling=Sampling(arguments.temperature, arguments.top_k, arguments.top_p),
        max_tokens=arguments.max_tokens,
        lines=arguments.lines,
        seed=arguments.seed,
    )
    print(text)
    write_json(arguments.json, {"run": arguments.run, "prompt": prompt, "seed": arguments.seed, "text": text})
    return 0

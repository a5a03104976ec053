"""``rnnlm-jax sample``."""

import argparse
import os

from rnnlm_jax.jobs.run_folder import open_run
from rnnlm_jax.language_model.finite_parameters import require_finite
from rnnlm_jax.language_model.generation import Sampling, sample
from rnnlm_jax.system import json_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of sampling."""
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("--prompt", default="", help="how the text begins (default: the start of a line)")
    parser.add_argument("--temperature", type=float, default=1.0, help="below 1 is bolder, 0 takes the likeliest token")
    parser.add_argument("--top-k", type=int, metavar="K", help="draw among the K likeliest tokens")
    parser.add_argument(
        "--top-p", type=float, metavar="P", help="draw among the likeliest tokens of total probability P"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same text (default: 0)")
    parser.add_argument("--max-tokens", type=int, default=100, metavar="N", help="draw at most N tokens (default: 100)")
    parser.add_argument("--lines", type=int, default=1, metavar="N", help="stop at the end of N lines (default: 1)")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which one (default: best)")
    parser.add_argument("--json", action="store_true", help="print the text as one JSON object, the last line")


def main(arguments: argparse.Namespace) -> int:
    """Print the prompt and what the model makes of it."""
    run = open_run(arguments.run, arguments.checkpoint)
    require_finite(run.params, arguments.run)
    # A process whose locale is not UTF-8 has the bytes of other characters one by one.
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
    if arguments.json:
        print(json_text.dumps({"run": arguments.run, "prompt": prompt, "seed": arguments.seed, "text": text}))
    return 0

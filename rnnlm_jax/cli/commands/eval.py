"""``rnnlm-jax eval``."""

import argparse
import time
from typing import Any

import numpy as np

from rnnlm_jax.cli import dynamic_options
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.data import EncodedText
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation import Evaluation, evaluate, evaluation_from_nll, text_nll
from rnnlm_jax.evaluation.comparison import DynamicRule, NeuralCache, dynamic_nll, mixture_nll, neural_cache
from rnnlm_jax.jobs.run_folder import Run, open_run
from rnnlm_jax.language_model.finite_parameters import require_finite
from rnnlm_jax.system import json_text
from rnnlm_jax.system.progress import token_bar

#: Weight and flatness of the cache where none are given.
CACHE_WEIGHT, CACHE_FLATNESS = 0.1, 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of evaluation."""
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("--data", required=True, metavar="FILE", help="a text file, or a split such as ptb:test")
    parser.add_argument("--data-dir", metavar="DIR", help="folder that holds ptb/, wikitext-2/ … [$RNNLM_JAX_DATA]")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which one (default: best)")
    parser.add_argument(
        "--streams", type=int, default=1, metavar="N", help="1: exact; more: N pieces side by side, an approximation"
    )
    dynamic_options.add_arguments(parser)
    parser.add_argument("--cache", type=int, metavar="N", help="mix in a neural cache of the last N words")
    parser.add_argument(
        "--cache-weight", type=float, metavar="X", help=f"of the cache in the mixture (default: {CACHE_WEIGHT})"
    )
    parser.add_argument(
        "--cache-flatness",
        type=float,
        metavar="X",
        help=f"how much the most alike states decide in the cache (default: {CACHE_FLATNESS})",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object, the last line")


def main(arguments: argparse.Namespace) -> int:
    """Print the perplexity of one continuous stream, or of the approximation asked for."""
    how = dynamic_options.settings(arguments)
    _check(arguments, how)
    run = open_run(arguments.run, arguments.checkpoint)
    text = encode_text(arguments.data, run.vocabulary, arguments.data_dir)
    about: dict[str, Any] = {"run": arguments.run, "data": arguments.data, "step": run.position.step}
    if how is not None:
        evaluation = _dynamic(run, text, how, arguments)
        about["dynamic"] = vars(how)
        remark = f"; {how}"
    elif arguments.cache is not None:
        cache = neural_cache(run, arguments.cache, _or(arguments.cache_flatness, CACHE_FLATNESS))
        weight = _or(arguments.cache_weight, CACHE_WEIGHT)
        evaluation = _cached(run, text, cache, weight)
        about["cache"] = {"window": cache.window, "flatness": cache.flatness, "weight": weight}
        remark = f"; {cache.info.kind}, weight {weight:g}"
    else:
        with token_bar("evaluating", len(text)) as bar:
            evaluation = evaluate(
                run.model, run.params, text, run.vocabulary, streams=arguments.streams, progress=bar.update
            )
        remark = ""
    print(f"{arguments.data}: {evaluation}{remark}")
    if arguments.json:
        print(json_text.dumps(about | evaluation.summary()))
    return 0


def _check(arguments: argparse.Namespace, how: DynamicRule | None) -> None:
    """Refuse what does not go together.

    Raises:
        UserError: for such options.
    """
    if how is not None and arguments.cache is not None:
        raise UserError("--dynamic and --cache do not go together: choose one")
    if (how is not None or arguments.cache is not None) and arguments.streams != 1:
        raise UserError("--dynamic and --cache read one continuous stream: leave --streams out")
    for name in ("weight", "flatness"):
        if arguments.cache is None and getattr(arguments, f"cache_{name}") is not None:
            raise UserError(f"--cache-{name} needs --cache: say how many words it holds")
    weight = _or(arguments.cache_weight, CACHE_WEIGHT)
    if not 0 <= weight < 1:
        raise UserError(f"--cache-weight must be 0 or more and below 1, not {weight}")


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _dynamic(run: Run, text: EncodedText, how: DynamicRule, arguments: argparse.Namespace) -> Evaluation:
    require_finite(run.params, arguments.run)
    scale = dynamic_options.measured_scale(run, arguments.run, how, arguments, arguments.data_dir)
    start = time.perf_counter()
    with token_bar("evaluating", len(text)) as bar:
        nats = dynamic_nll(run.model, run.params, text, run.vocabulary, rule=how, scale=scale, progress=bar.update)
    return evaluation_from_nll(nats, text, run.vocabulary.describe(), seconds=time.perf_counter() - start)


def _cached(run: Run, text: EncodedText, cache: NeuralCache, weight: float) -> Evaluation:
    start = time.perf_counter()
    with token_bar("evaluating", 2 * len(text)) as bar:
        own = text_nll(run.model, run.params, text, run.vocabulary, progress=bar.update)
        of_cache = cache.token_nll(text, bar.update)
    nats = mixture_nll(np.stack([own, of_cache]), np.array([1 - weight, weight]))
    return evaluation_from_nll(nats, text, run.vocabulary.describe(), seconds=time.perf_counter() - start)

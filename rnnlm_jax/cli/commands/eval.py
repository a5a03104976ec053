"""``rnnlm-jax eval``: perplexity of a trained model on a text."""

import argparse
import dataclasses
import time
from typing import Any

import numpy as np

from rnnlm_jax.cli.common_arguments import add_checkpoint, add_data, add_json, add_run
from rnnlm_jax.cli.dynamic_options import add_dynamic_options, dynamic_settings, measure_scale
from rnnlm_jax.cli.output_files import write_json
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.data import EncodedText
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.evaluation import (
    Evaluation,
    evaluate,
    evaluation_from_nll,
    fit_temperature,
    text_nll,
    with_temperature,
)
from rnnlm_jax.evaluation.comparison import (
    DynamicRule,
    NeuralCache,
    dynamic_nll,
    mixture_nll,
    neural_cache,
    text_of_run,
)
from rnnlm_jax.jobs.run_folder import Run, open_run
from rnnlm_jax.language_model.finite_parameters import require_finite
from rnnlm_jax.outputs.tempered import check_temperature
from rnnlm_jax.system.progress import token_bar

#: Default weight and flatness of the neural cache.
CACHE_WEIGHT, CACHE_FLATNESS = 0.1, 0.3
#: In place of a temperature: the best one on validation text.
FIT = "fit"

EXAMPLES = """\
  rnnlm-jax eval runs/demo --data pydoc:test
  rnnlm-jax eval runs/small --data ptb:test --data-dir texts --json
  rnnlm-jax eval runs/small --data ptb:test --temperature fit
  rnnlm-jax eval runs/small --data ptb:test --dynamic sgd"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of evaluation."""
    add_run(parser)
    add_data(parser)
    add_checkpoint(parser)
    parser.add_argument(
        "--streams",
        type=int,
        default=1,
        metavar="N",
        help="1: exact; more: the text in N pieces side by side, faster and approximate (default: 1)",
    )
    parser.add_argument(
        "--temperature",
        type=_temperature,
        metavar="fit|X",
        help="raise each distribution to the power 1/X; fit: the X that is best on the run's validation text",
    )
    add_json(parser)
    cache = parser.add_argument_group("neural cache")
    cache.add_argument("--cache", type=int, metavar="N", help="mix in a neural cache of the last N words")
    cache.add_argument(
        "--cache-weight", type=float, metavar="X", help=f"weight of the cache in the mixture (default: {CACHE_WEIGHT})"
    )
    cache.add_argument(
        "--cache-flatness",
        type=float,
        metavar="X",
        help="factor of the similarity between states; 0: all words of the cache count alike "
        f"(default: {CACHE_FLATNESS})",
    )
    add_dynamic_options(parser)


def main(arguments: argparse.Namespace) -> int:
    """Print the perplexity of one continuous stream, or an approximation of it."""
    dynamic = dynamic_settings(arguments)
    _check(arguments, dynamic)
    run = open_run(arguments.run, arguments.checkpoint)
    text = encode_text(arguments.data, run.vocabulary, arguments.data_dir)
    about: dict[str, Any] = {"run": arguments.run, "data": arguments.data, "step": run.position.step}
    if dynamic is not None:
        evaluation = _evaluate_dynamically(run, text, dynamic, arguments)
        about["dynamic"] = vars(dynamic)
        remark = f"; {dynamic}"
    elif arguments.cache is not None:
        cache = neural_cache(run, arguments.cache, _or(arguments.cache_flatness, CACHE_FLATNESS))
        weight = _or(arguments.cache_weight, CACHE_WEIGHT)
        evaluation = _evaluate_with_cache(run, text, cache, weight)
        about["cache"] = {"window": cache.window, "flatness": cache.flatness, "weight": weight}
        remark = f"; {cache.info.kind}, weight {weight:g}"
    else:
        evaluation, remark = _evaluate(run, text, arguments.streams), ""
        if arguments.temperature is not None:
            without, (temperature, fitted) = evaluation, _choose_temperature(run, text, arguments)
            run = dataclasses.replace(run, model=with_temperature(run.model, temperature))
            evaluation = _evaluate(run, text, arguments.streams)
            about["temperature"] = {"value": temperature, "fitted": fitted, "perplexity_without": without.perplexity}
            remark = f"; {_describe(temperature, fitted)}; without it {without.perplexity:.3f}"
    print(f"{arguments.data}: {evaluation}{remark}")
    write_json(arguments.json, about | evaluation.summary())
    return 0


def _check(arguments: argparse.Namespace, dynamic: DynamicRule | None) -> None:
    """Check the combination of options.

    Raises:
        ConfigError: if options contradict each other.
    """
    if arguments.temperature is not None and (dynamic is not None or arguments.cache is not None):
        raise ConfigError("--temperature does not go with --dynamic or --cache: leave one out")
    if dynamic is not None and arguments.cache is not None:
        raise ConfigError("--dynamic and --cache do not go together: choose one")
    if (dynamic is not None or arguments.cache is not None) and arguments.streams != 1:
        raise ConfigError("--dynamic and --cache read one continuous stream: leave --streams out")
    for name in ("weight", "flatness"):
        if arguments.cache is None and getattr(arguments, f"cache_{name}") is not None:
            raise ConfigError(f"--cache-{name} needs --cache: give the number of words that it holds")
    weight = _or(arguments.cache_weight, CACHE_WEIGHT)
    if not 0 <= weight < 1:
        raise ConfigError(f"--cache-weight must be 0 or more and below 1, not {weight}")


def _temperature(text: str) -> str | float:
    """Return ``fit``, or the number that the option gives."""
    if text == FIT:
        return FIT
    try:
        value = float(text)
        check_temperature(value)
    except ValueError:  # of which UserError is one
        raise argparse.ArgumentTypeError(f"must be {FIT} or a positive number, not {text!r}") from None
    return value


def _choose_temperature(
    run: Run, text: EncodedText, arguments: argparse.Namespace
) -> tuple[float, dict[str, Any] | None]:
    """Return the temperature, and where it comes from if it was fitted."""
    if arguments.temperature != FIT:
        return arguments.temperature, None
    valid = text_of_run(run, "valid", arguments.data_dir, remedy="give --temperature a number")
    with token_bar("fitting temperature", None) as bar:
        fit = fit_temperature(
            run.model, run.params, valid, run.vocabulary, streams=arguments.streams, progress=bar.update
        )
    same = valid.digest == text.digest
    about = {"text": f"validation text of {run.config.data.corpus}", "digest": valid.digest, "is_evaluated_text": same}
    return fit.temperature, about | fit.summary()


def _describe(temperature: float, fitted: dict[str, Any] | None) -> str:
    """Return a temperature and what it was fitted on, in words."""
    if fitted is None:
        return f"temperature {temperature:g}"
    on = "THIS text" if fitted["is_evaluated_text"] else f"the {fitted['text']}"
    gain = f"{fitted['perplexity_without']:.3f} to {fitted['perplexity']:.3f}"
    return f"temperature {temperature:.4f} fitted on {on} ({fitted['tokens']:,} tokens, perplexity {gain})"


def _evaluate(run: Run, text: EncodedText, streams: int) -> Evaluation:
    with token_bar("evaluating", len(text)) as bar:
        return evaluate(run.model, run.params, text, run.vocabulary, streams=streams, progress=bar.update)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _evaluate_dynamically(
    run: Run, text: EncodedText, dynamic: DynamicRule, arguments: argparse.Namespace
) -> Evaluation:
    require_finite(run.params, arguments.run)
    scale = measure_scale(run, arguments.run, dynamic, arguments)
    start = time.perf_counter()
    with token_bar("evaluating", len(text)) as bar:
        nll = dynamic_nll(run.model, run.params, text, run.vocabulary, rule=dynamic, scale=scale, progress=bar.update)
    return evaluation_from_nll(nll, text, run.vocabulary.describe(), seconds=time.perf_counter() - start)


def _evaluate_with_cache(run: Run, text: EncodedText, cache: NeuralCache, weight: float) -> Evaluation:
    start = time.perf_counter()
    with token_bar("evaluating", 2 * len(text)) as bar:
        model_nll = text_nll(run.model, run.params, text, run.vocabulary, progress=bar.update)
        cache_nll = cache.token_nll(text, bar.update)
    nll = mixture_nll(np.stack([model_nll, cache_nll]), np.array([1 - weight, weight]))
    return evaluation_from_nll(nll, text, run.vocabulary.describe(), seconds=time.perf_counter() - start)

"""Options of dynamic evaluation, for the commands ``eval`` and ``compare``."""

import argparse
from typing import Any

from rnnlm_jax.cli.common_arguments import Arguments
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.evaluation.comparison import DEFAULTS, DynamicRule, dynamic_rule, gradient_scale, training_text
from rnnlm_jax.jobs.run_folder import Run
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.system.progress import token_bar

#: Fields of ``DynamicRule`` that have an option ``--dynamic-FIELD``.
FIELDS = ("rate", "decay", "epsilon", "segment")


def add_dynamic_options(parser: argparse.ArgumentParser) -> None:
    """Add the update rule, its numbers, and the training text that the scale of gradients is measured on."""

    def default(name: str) -> str:
        return ", ".join(f"{rule} {values[name]:g}" for rule, values in DEFAULTS.items())

    group: Arguments = parser.add_argument_group("dynamic evaluation")
    group.add_argument(
        "--dynamic", choices=tuple(DEFAULTS), help="after each segment is scored, update the parameters on it"
    )
    group.add_argument("--dynamic-rate", type=float, metavar="X", help=f"learning rate (default: {default('rate')})")
    group.add_argument(
        "--dynamic-decay", type=float, metavar="X", help=f"pull to the trained parameters (default: {default('decay')})"
    )
    group.add_argument(
        "--dynamic-epsilon", type=float, metavar="X", help="rms: added to the gradient scale (default: 2e-05)"
    )
    group.add_argument(
        "--dynamic-segment", type=int, metavar="N", help=f"tokens between updates (default: {default('segment')})"
    )
    group.add_argument(
        "--dynamic-batches",
        type=int,
        metavar="N",
        help="rms: batches of training text that the scale of gradients is measured on (default: all)",
    )
    group.add_argument(
        "--dynamic-text",
        metavar="FILE",
        help="rms: the training text of the run, as for train --data (default: its path during training)",
    )


def dynamic_settings(arguments: argparse.Namespace) -> DynamicRule | None:
    """Return the chosen update rule; None without ``--dynamic``.

    Raises:
        ConfigError: for an impossible number, or numbers without a rule.
    """
    given: dict[str, Any] = {name: getattr(arguments, f"dynamic_{name}") for name in FIELDS}
    only_rms = {"batches": arguments.dynamic_batches, "text": arguments.dynamic_text}
    if arguments.dynamic is None:
        for name, value in (given | only_rms).items():
            if value is not None:
                raise ConfigError(f"--dynamic-{name} needs --dynamic: give sgd or rms")
        return None
    for name, value in only_rms.items():
        if value is not None and arguments.dynamic == "sgd":
            raise ConfigError(f"--dynamic-{name} is for --dynamic rms, which reads training text: leave it out")
    if arguments.dynamic_batches is not None and arguments.dynamic_batches < 1:
        raise ConfigError(f"--dynamic-batches must be 1 or more, not {arguments.dynamic_batches}")
    return dynamic_rule(arguments.dynamic, **given)


def measure_scale(
    run: Run, name: str, settings: DynamicRule, arguments: argparse.Namespace
) -> LanguageModelParams | None:
    """Measure the scale of gradients on training text, with a progress bar; None for the rule sgd, which has none."""
    if settings.rule == "sgd":
        return None
    remedy = "give its present path with --dynamic-text"
    text = training_text(run, arguments.data_dir, arguments.dynamic_text, remedy=remedy)
    with token_bar(f"{name}: gradients of training text", len(text)) as bar:
        return gradient_scale(
            run.model,
            run.params,
            text,
            run.vocabulary,
            segment=settings.segment,
            max_batches=arguments.dynamic_batches,
            progress=bar.update,
        )

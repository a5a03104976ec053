"""The options of dynamic evaluation, which ``eval`` and ``compare`` share."""

import argparse
from typing import Any

from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.comparison import DEFAULTS, DynamicRule, dynamic_rule, gradient_scale, training_text
from rnnlm_jax.jobs.run_folder import Run
from rnnlm_jax.language_model.model import LanguageModelParams
from rnnlm_jax.system.progress import token_bar

#: Option and the field of ``DynamicRule`` that it sets.
FIELDS = ("rate", "decay", "epsilon", "segment")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The rule, its numbers, and how much training text the scale of gradients is measured on."""

    def default(name: str) -> str:
        return ", ".join(f"{rule} {values[name]:g}" for rule, values in DEFAULTS.items())

    parser.add_argument(
        "--dynamic", choices=tuple(DEFAULTS), help="dynamic evaluation: learn from each segment once it is scored"
    )
    parser.add_argument("--dynamic-rate", type=float, metavar="X", help=f"learning rate (default: {default('rate')})")
    parser.add_argument(
        "--dynamic-decay", type=float, metavar="X", help=f"pull to the trained parameters (default: {default('decay')})"
    )
    parser.add_argument("--dynamic-epsilon", type=float, metavar="X", help="of rms (default: 2e-05)")
    parser.add_argument(
        "--dynamic-segment", type=int, metavar="N", help=f"tokens between updates (default: {default('segment')})"
    )
    parser.add_argument(
        "--dynamic-batches",
        type=int,
        metavar="N",
        help="of rms: batches of training text that the scale of gradients is measured on (default: all)",
    )
    parser.add_argument(
        "--dynamic-text",
        metavar="FILE",
        help="of rms: the text that the run was trained on, as train --data takes it (default: where it lay then)",
    )


def settings(arguments: argparse.Namespace) -> DynamicRule | None:
    """The rule that was asked for, or None.

    Raises:
        UserError: for a number that cannot be, or numbers without a rule.
    """
    given: dict[str, Any] = {name: getattr(arguments, f"dynamic_{name}") for name in FIELDS}
    of_rms = {"batches": arguments.dynamic_batches, "text": arguments.dynamic_text}
    if arguments.dynamic is None:
        for name, value in (given | of_rms).items():
            if value is not None:
                raise UserError(f"--dynamic-{name} needs --dynamic: say sgd or rms")
        return None
    for name, value in of_rms.items():
        if value is not None and arguments.dynamic == "sgd":
            raise UserError(f"--dynamic-{name} is of the training text, which only --dynamic rms reads: leave it out")
    if arguments.dynamic_batches is not None and arguments.dynamic_batches < 1:
        raise UserError(f"--dynamic-batches must be 1 or more, not {arguments.dynamic_batches}")
    return dynamic_rule(arguments.dynamic, **given)


def measured_scale(
    run: Run, name: str, how: DynamicRule, arguments: argparse.Namespace, data_dir: str | None
) -> LanguageModelParams | None:
    """What the rule needs to know of the training text, under a progress bar; None where it needs nothing."""
    if how.rule == "sgd":
        return None
    remedy = "say with --dynamic-text where it lies now"
    text = training_text(run, data_dir, arguments.dynamic_text, remedy=remedy)
    with token_bar(f"{name}: gradients of training text", len(text)) as bar:
        return gradient_scale(
            run.model,
            run.params,
            text,
            run.vocabulary,
            segment=how.segment,
            max_batches=arguments.dynamic_batches,
            progress=bar.update,
        )

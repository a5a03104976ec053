"""Objectives of data of one's own: classes, and numbers."""

from rnnlm_jax.cells.cell import check_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks.answers import class_is_right, class_nats, number_answers
from rnnlm_jax.tasks.objective import Objective


@cached_factory
def classification(input_size: int, classes: int) -> Objective:
    """Return the objective of a class of each sequence or of each step (tagging): ``-ln softmax(outputs)[class]``.

    Args:
        input_size: D, the numbers fed at each step, or the number of symbols.
        classes: K, the number of classes; targets are whole numbers from 0 to K - 1.

    Raises:
        ArgumentError: if a size is not a positive whole number.
    """
    sizes = check_size("input_size", input_size), check_size("classes", classes)
    return Objective(
        input_size=sizes[0], output_size=sizes[1], loss=class_nats, correct=class_is_right, takes_classes=True
    )


@cached_factory
def regression(input_size: int, numbers: int = 1, tolerance: float = 0.1) -> Objective:
    """Return the objective of numbers, for each sequence or each step: their squared error, summed over the numbers.

    Args:
        input_size: D, the numbers fed at each step, or the number of symbols.
        numbers: K, how many are asked at once.
        tolerance: an answer counts as right if all its numbers are less than this from their targets.

    Raises:
        ArgumentError: if a size is not a positive whole number, or the tolerance not a positive number.
    """
    sizes = check_size("input_size", input_size), check_size("numbers", numbers)
    if not tolerance > 0:
        raise ArgumentError(f"`tolerance` must be a positive number, not {tolerance!r}")
    answers = number_answers("squared", tolerance)
    return Objective(input_size=sizes[0], output_size=sizes[1], loss=answers.loss, correct=answers.correct)

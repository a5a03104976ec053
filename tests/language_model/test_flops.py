"""Counts of operations against counts by hand, against the program of a step, and against XLA's own count."""

import dataclasses

import jax
import numpy as np
import pytest

from rnnlm_jax.config import ModelConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jobs.accelerators import ACCELERATORS, find_accelerator, peak_flops
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.language_model.flops import token_flops, training_flops
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.outputs.word_counts import WordCounts
from tests.benchmarking.products import products

H, V, T, B = 6, 8, 3, 2
#: Eight words of which the first stands for half of the text; of the last, nothing is ever seen.
WORDS = WordCounts([f"word{'s' * k}" for k in range(V)], [64, 32, 16, 8, 4, 2, 2, 0])
LSTM = 2 * 4 * (H * H + H * H)


def counted(words=WORDS, tokens=T * B, **options):
    config = ModelConfig(**{"hidden_size": H, **options})
    return token_flops(build_model(config, words.size, words=words), words, tokens)


def gradient_of_a_step(config, words, steps, batch):
    """The loss and its gradient as a function, and arguments of which only shapes matter."""
    model = build_model(config, words.size, "scan", words=words)
    params = jax.eval_shape(model.init, jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((steps, batch), np.int32)
    mask = jax.ShapeDtypeStruct((steps, batch), np.bool_)
    state = jax.eval_shape(lambda: model.initial_state((batch,)))
    key = jax.eval_shape(lambda: jax.random.key(0))

    def step(params, state, batch, key):
        return loss_and_gradient(model, params, state, batch, key, normaliser=7)

    return step, (params, state, Batch(tokens, tokens, mask), key)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru", "elman-tanh", "feed-forward"])
def test_a_training_step_has_the_counted_operations(cell, layers):
    config = ModelConfig(cell=cell, layers=layers, hidden_size=H, dtype="bfloat16")  # of which there are no kernels
    found = counted(cell=cell, layers=layers)
    assert found.input == 0
    step, arguments = gradient_of_a_step(config, WORDS, T, B)
    assert products(step, *arguments) == T * B * found.training


@pytest.mark.parametrize("kind", ["importance", "nce", "blackout"])
def test_sampled_layers_score_the_samples_and_the_target(kind):
    options = (("num_samples", 5), *([("unique", False)] if kind != "blackout" else []))
    assert counted(output=kind, output_options=options) == (0, LSTM, 2 * H * 6)
    # The target's own score is a sum along rows, not a product of matrices: 2 H forward, twice that backward.
    step, arguments = gradient_of_a_step(ModelConfig(hidden_size=H, output=kind, output_options=options), WORDS, T, B)
    assert products(step, *arguments) == T * B * (3 * LSTM + 3 * 2 * H * 5)


def test_options_that_are_not_given_have_the_default_of_the_layer():
    many = WordCounts([f"w{k}" for k in range(600)], np.ones(600))
    assert counted(many, output="blackout").output == 2 * H * 513
    assert counted(many, output="blackout", output_options=(("num_samples", 9),)).output == 2 * H * 10


def test_expected_paths_are_those_of_the_counts():
    # Counts of 64, 32, 16, 8, 4, 2, 2 and one never seen: paths of 1, 2, 3, 4, 5, 6, 7 and 7 decisions.
    length = (64 * 1 + 32 * 2 + 16 * 3 + 8 * 4 + 4 * 5 + 2 * 6 + 2 * 7) / 128
    assert counted(output="hierarchical").output == pytest.approx(2 * H * length)
    assert counted(output="hierarchical", output_options=(("tree", "balanced"),)).output == 2 * H * 3


def test_expected_classes_are_those_of_the_counts():
    even = WordCounts(WORDS.tokens, [5] * V)
    for kind in ("class", "maxent"):  # classes of 3, 2, 2 and 1 words
        found = counted(even, output=kind, output_options=(("classes", 4),)).output
        assert found == 2 * H * (4 + (3 * 3 + 2 * 2 + 2 * 2 + 1) / V)
    assert counted(output="class", output_options=(("classes", 1),)).output == 2 * H * (1 + V)


def test_expected_clusters_are_those_of_the_counts():
    found = counted(hidden_size=16, output="adaptive", output_options=(("cutoffs", "2:4"),)).output
    # 16 units read by the head, 4 by words 2 and 3, 1 by the rest.
    first, second = (16 + 8) / 128, (4 + 2 + 2) / 128
    by_hand = 16 * (2 + 2) + first * (16 * 4 + 4 * 2) + second * (16 * 1 + 1 * 4)
    assert found == pytest.approx(2 * by_hand)
    # Words are not always numbered by rank.
    turned = WordCounts(WORDS.tokens[::-1], WORDS.counts[::-1])
    assert counted(turned, hidden_size=16, output="adaptive", output_options=(("cutoffs", "2:4"),)).output == found


def test_a_character_network_composes_each_word_of_a_batch_once():
    options = {"input": "char-cnn", "input_options": (("filters", "3+4"), ("characters", 5), ("highways", 1))}
    two = WordCounts(["a", "abc"], [3, 1])
    a_word = 2 * (7 * 14 + 7 * H)  # a highway layer of two squares, and the projection
    a_symbol = 2 * (5 * 3 + 10 * 4)
    present = [1 - (1 - share) ** 10 for share in (0.75, 0.25)]
    by_hand = sum(p * (a_word + length * a_symbol) for p, length in zip(present, (3, 5), strict=True))
    assert counted(two, tokens=10, **options).input * 10 == pytest.approx(by_hand)


def test_a_tied_matrix_is_counted_once():
    assert counted(tie_embeddings=True) == counted() == (0, LSTM, 2 * H * V)


def test_a_projection_and_components_are_counted():
    tied = {"embedding_size": 3, "tie_embeddings": True}
    mixture = {"output": "mixture-of-softmaxes", "output_options": (("components", 2),)}
    assert counted(**tied).output == 2 * (H * 3 + 3 * V)
    assert counted(**tied, **mixture).output == 2 * (H * 2 * 3 + H * 2 + 2 * 3 * V)
    config = ModelConfig(hidden_size=H, dtype="bfloat16", **tied)  # of which there are no kernels
    step, arguments = gradient_of_a_step(config, WORDS, T, B)
    assert products(step, *arguments) == T * B * counted(**tied).training


@pytest.mark.parametrize("part", ["input", "output"])
def test_a_layer_that_does_not_declare_its_flops_is_an_error(part):
    model = build_model(ModelConfig(hidden_size=H), WORDS.size, words=WORDS)
    model = dataclasses.replace(model, **{part: dataclasses.replace(getattr(model, part), flops=None)})
    with pytest.raises(ArgumentError, match=f"{part} '.*' does not declare `flops`"):
        token_flops(model, WORDS, T * B)
    assert training_flops(model, WORDS, T * B) is None


def test_xla_counts_no_less_and_little_more():
    """Of one step of time, since it counts a loop's body once; what is elementwise comes on top."""
    words = WordCounts([f"w{k}" for k in range(2048)], np.ones(2048))
    config = ModelConfig(hidden_size=256, dtype="bfloat16")  # for which there are no kernels, which XLA cannot count
    step, arguments = gradient_of_a_step(config, words, 1, 32)
    xla = jax.jit(step).lower(*arguments).cost_analysis()["flops"]
    ours = 32 * counted(words, hidden_size=256).training
    assert ours < xla < 1.05 * ours


def test_peaks_depend_on_device_and_dtype():
    assert peak_flops("NVIDIA H200", "bfloat16") == 989e12
    assert peak_flops("NVIDIA A100-SXM4-80GB", "float32") == peak_flops("NVIDIA A100-PCIE-40GB", "float32") == 156e12
    assert peak_flops("TPU v5 lite", "bfloat16") == peak_flops("TPU v5e", "float32") == 197e12
    assert peak_flops("TPU v5", "bfloat16") == 459e12
    for kind, dtype in (("cpu", "float32"), ("NVIDIA H100 with something", "bfloat16"), ("TPU v5p", "float64")):
        assert peak_flops(kind, dtype) is None
    with jax.default_matmul_precision("highest"):
        assert peak_flops("TPU v4", "float32") is None
        assert peak_flops("TPU v4", "bfloat16") == 275e12


def test_every_device_matches_one_row():
    for kind in ("TPU v4", "TPU v5 lite", "TPU v5", "TPU v6 lite", "TPU7x", "NVIDIA H100 NVL", "NVIDIA A100-SXM4-40GB"):
        row = find_accelerator(kind)
        assert row is not None
        assert [r for r in ACCELERATORS if find_accelerator(kind) is r] == [row]

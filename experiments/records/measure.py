"""Train one model, or resume it, and measure what it predicts, static and adapted to the text."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from experiments.record import without_folders
from experiments.records.plan import RECORDS, Model
from rnnlm_jax import ngrams
from rnnlm_jax.data import EncodedText
from rnnlm_jax.evaluation import evaluate, fit_temperature, text_nll, with_temperature
from rnnlm_jax.evaluation.comparison import (
    Scorer,
    dynamic_nll,
    dynamic_rule,
    fit_weights,
    mixture_nll,
    neural_cache,
    open_scorer,
)
from rnnlm_jax.jobs.run_folder import Run, RunFolder, open_run
from rnnlm_jax.system.progress import token_bar
from rnnlm_jax.training.texts import Texts, load_texts
from rnnlm_jax.training.train import train

#: Rates of dynamic evaluation by gradient descent, of which the best on validation text is taken.
DYNAMIC_RATES = (0.1, 0.3, 1.0)
#: Words of the neural cache, and values of its flatness, of which the best on validation text is taken.
CACHE_WORDS, FLATNESS = 2000, (0.1, 0.3)
#: Words of validation text that the rate, and flatness and weight of the cache, are chosen on.
CHOSEN_ON = 20_000
#: Order of the n-gram model.
ORDER = 5


def train_and_measure(model: Model, runs: Path) -> dict[str, Any]:
    """Return the result of one model: train it in its folder below ``runs``, or resume it there, then measure it."""
    folder = RunFolder(runs / model.path)
    if not folder.results.exists():
        train(model.config, folder.path, resume=folder.exists(), quiet=False)
    found = json.loads(folder.results.read_text())
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    validations = [line for line in lines if line["kind"] == "validation"]
    run, texts = open_run(folder.path), load_texts(model.config.data)
    result = {
        "group": model.group,
        "name": model.name,
        "title": model.title,
        "command": model.command,
        "published": model.published,
        "parameters": found["parameters"],
        "steps": found["steps"],
        "epochs": validations[-1]["epoch"],
        "hours": found["seconds"] / 3600,
        "valid_perplexity": found["valid_perplexity"],
        "test_perplexity": found["test_perplexity"],
        "tempered": tempered(run, texts),
        "by_validation": [
            {key: line[key] for key in ("epoch", "step", "train_perplexity", "valid_perplexity")}
            for line in validations
        ],
        "config": without_folders(json.loads(folder.config.read_text())),
        "environment": found["environment"],
    }
    return result | (adapted(run, texts, folder.path) if model.group == RECORDS else {})


def tempered(run: Run, texts: Texts) -> dict[str, float]:
    """Return the temperature that is best on validation text, and the test perplexity with it."""
    with token_bar("temperature", len(texts.valid)) as bar:
        fit = fit_temperature(
            run.model,
            run.params,
            texts.valid,
            run.vocabulary,
            streams=run.config.training.valid_streams,
            progress=bar.update,
        )
    model = with_temperature(run.model, fit.temperature)
    with token_bar("test, tempered", len(texts.test)) as bar:
        test = evaluate(model, run.params, texts.test, run.vocabulary, progress=bar.update)
    return {"temperature": fit.temperature, "test": test.perplexity}


def adapted(run: Run, texts: Texts, path: Path) -> dict[str, Any]:
    """Return test perplexities of dynamic evaluation, with a neural cache, and mixed with an n-gram model.

    Args:
        run: the trained model.
        texts: its texts.
        path: its folder; the n-gram model of its corpus is kept beside it.
    """
    first = dataclasses.replace(texts.valid, tokens=texts.valid.tokens[:CHOSEN_ON])
    own = {"valid": model_nll(run, texts.valid), "test": model_nll(run, texts.test)}
    return {
        "dynamic": dynamic(run, first, texts.test),
        "cache": cached(run, first, texts.test, own={"first": own["valid"][:CHOSEN_ON], "test": own["test"]}),
        "with_ngrams": with_ngrams(own, texts, path.parent),
    }


def model_nll(run: Run, text: EncodedText) -> np.ndarray:
    """Return the negative log-likelihood of every token, in nats."""
    with token_bar("model", len(text)) as bar:
        return text_nll(run.model, run.params, text, run.vocabulary, progress=bar.update)


def perplexity(nll: np.ndarray) -> float:
    """Return ``exp`` of the mean."""
    return float(np.exp(nll.mean()))


def dynamic(run: Run, chosen_on: EncodedText, test: EncodedText) -> dict[str, float]:
    """Return the test perplexity of dynamic evaluation by gradient descent, with the rate that is best elsewhere."""

    def adapted_perplexity(text: EncodedText, rate: float) -> float:
        rule = dynamic_rule("sgd", rate=rate)
        with token_bar(f"dynamic, rate {rate:g}", len(text)) as bar:
            return perplexity(dynamic_nll(run.model, run.params, text, run.vocabulary, rule=rule, progress=bar.update))

    by_rate = {rate: adapted_perplexity(chosen_on, rate) for rate in DYNAMIC_RATES}
    rate = min(by_rate, key=by_rate.__getitem__)
    return {"rate": rate, "test": adapted_perplexity(test, rate)}


def cached(run: Run, chosen_on: EncodedText, test: EncodedText, *, own: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the test perplexity with a neural cache, whose flatness and weight are best elsewhere.

    Args:
        run: the trained model.
        chosen_on: the first words of the validation text.
        test: the test text.
        own: nats of the model on both: first, test.
    """

    def with_cache(nll: np.ndarray, text: EncodedText, flatness: float) -> np.ndarray:
        with token_bar("neural cache", len(text)) as bar:
            return np.stack([nll, neural_cache(run, CACHE_WORDS, flatness).token_nll(text, bar.update)])

    candidates = []
    for flatness in FLATNESS:
        nll = with_cache(own["first"], chosen_on, flatness)
        weights = fit_weights(nll).weights
        candidates.append((perplexity(mixture_nll(nll, weights)), flatness, weights))
    _, flatness, weights = min(candidates, key=lambda candidate: candidate[0])
    found = perplexity(mixture_nll(with_cache(own["test"], test, flatness), weights))
    return {"words": CACHE_WORDS, "flatness": flatness, "weight": float(weights[1]), "test": found}


def with_ngrams(own: dict[str, np.ndarray], texts: Texts, folder: Path) -> dict[str, float]:
    """Return the test perplexities of the n-gram model and of its mixture with a model, weighted on validation text.

    Args:
        own: nats of the model on the texts valid and test.
        texts: the texts.
        folder: folder of the n-gram model, which is made there once for each corpus.
    """
    scorer = ngram_model(texts, folder)
    counted = {split: scorer.token_nll(getattr(texts, split)) for split in own}
    weights = fit_weights(np.stack([own["valid"], counted["valid"]])).weights
    mixed = mixture_nll(np.stack([own["test"], counted["test"]]), weights)
    return {"ngrams": perplexity(counted["test"]), "weight": float(weights[1]), "test": perplexity(mixed)}


def ngram_model(texts: Texts, folder: Path) -> Scorer:
    """Return the n-gram model of a training text, which is kept in a file."""
    assert isinstance(texts.train, EncodedText), "the texts of the study are read into memory"
    file = folder / f"kn{ORDER}-{texts.train.digest[:12]}.model"
    if not file.exists():
        ngrams.train(texts.train, texts.vocabulary, ORDER).save(file)
    return open_scorer(file, f"kn{ORDER}")

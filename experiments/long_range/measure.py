"""Train one model of the study, and measure it."""

import functools
import json
import os
from pathlib import Path
from typing import Any

from experiments.long_range import english_sentences, german_sentences, recipe
from experiments.long_range.next_words import next_words
from experiments.long_range.recipe import NGRAM, Recipe
from experiments.record import without_folders
from rnnlm_jax import ngrams
from rnnlm_jax.config import Config, DataConfig
from rnnlm_jax.data import EncodedText
from rnnlm_jax.data.corpora.benchmark_texts import DATA_VARIABLE
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation import evaluation_from_nll
from rnnlm_jax.evaluation.comparison import Scorer, TrainedRun, open_scorer
from rnnlm_jax.evaluation.horizons import HorizonOptions, measure_horizons
from rnnlm_jax.evaluation.minimal_pairs import SENTENCE, WORD, PairSet, read_pairs, report_pairs, score_pairs
from rnnlm_jax.jobs.run_folder import RunFolder, write_text
from rnnlm_jax.system.progress import token_bar
from rnnlm_jax.training.results import environment
from rnnlm_jax.training.texts import Texts, load_texts
from rnnlm_jax.training.train import train

#: Files below the folder of data.
BLIMP, SUMMARY = "blimp", "models_summary.jsonl"
LINZEN = "agreement/linzen/subj_agr_filtered"


def data_folder(given: str | None) -> Path:
    """Return the folder with the minimal pairs: the given one, or that of ``$RNNLM_JAX_DATA``.

    Raises:
        DataError: if there is no such folder, or pairs are missing in it.
    """
    name = given or os.environ.get(DATA_VARIABLE)
    if not name:
        raise DataError(f"the study reads {BLIMP}/ and {LINZEN}.*: give their folder as --data or ${DATA_VARIABLE}")
    folder = Path(name)
    for file in (folder / BLIMP / SUMMARY, folder / f"{LINZEN}.text"):
        if not file.exists():
            raise DataError(f"cannot find {file}: put the minimal pairs into {folder}")
    return folder


def published(folder: Path) -> dict[str, dict[str, float]]:
    """Return the published accuracies of models on each paradigm of BLiMP that is in a folder of data."""
    paradigms = {path.stem for path in _blimp_files(folder)}
    rows = [json.loads(line) for line in (folder / BLIMP / SUMMARY).read_text().splitlines() if line.strip()]
    return {
        row["UID"]: {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
        for row in rows
        if row.get("UID") in paradigms
    }


def english(name: str, plan: Recipe, folder: Path, runs: Path) -> dict[str, Any]:
    """Train a model on English, or resume it, and return its measurements.

    Args:
        name: one of ``recipe.MODELS``.
        plan: how to train and measure.
        folder: folder of the minimal pairs.
        runs: folder of all runs.
    """
    texts = english_texts(plan, runs)
    corpus = corpus_name(plan, runs)
    scorer = _ngram(texts, plan, runs / "english") if name == NGRAM else None
    scorer = scorer or _trained(name, recipe.english(name, plan, corpus), runs / "english")
    linzen = first(read_pairs(folder / LINZEN), plan.pairs)
    blimp = read_pairs(_blimp_files(folder))
    blimp = _some_of_each_group(blimp, plan.pairs) if plan.pairs else blimp
    distant = english_sentences.agreement_pairs(plan.distances, plan.sentences, plan.seed)
    score = functools.partial(_figures, scorer)
    by_context = {str(words): score(linzen, unit=WORD, context=words) for words in plan.contexts}
    return {
        "model": name,
        "recipe": plan.recorded(),
        **_text_figures(scorer, texts, runs / "english" / name),
        "linzen": score(linzen, unit=WORD),
        "linzen_by_context": {words: _short(found) for words, found in by_context.items()},
        "blimp": score(blimp, unit=SENTENCE),
        "blimp_at_one_word": score(blimp, unit=WORD),
        "agreement_at_a_distance": score(distant, unit=WORD)
        | {"by_group": {group: _distances(score(part, unit=WORD)) for group, part in _groups(distant).items()}},
        "next_words": [next_words(scorer, each.context, each.wanted) for each in english_sentences.NEXT_WORDS],
        "horizons": _horizons(scorer, texts, plan),
        "published": published(folder),
        "environment": environment(),
    }


def german(name: str, plan: Recipe, runs: Path) -> dict[str, Any]:
    """Train a model on German sentences with separable verbs, or resume it, and return its measurements."""
    corpus = german_sentences.sampled_corpus(plan.german_sentences, plan.seed)
    files = runs / "german-text"
    for split in ("train", "valid", "test"):
        _write_once(files / f"{split}.txt", corpus.lines(split))
    texts = load_texts(DataConfig(corpus=str(files)))
    scorer = _ngram(texts, plan, runs / "german") if name == NGRAM else None
    scorer = scorer or _trained(name, recipe.german(name, plan, str(files)), runs / "german")
    pairs = german_sentences.particle_pairs(corpus.lines("test"), plan.seed)
    question, answer = german_sentences.QUESTION, german_sentences.ANSWER
    return {
        "model": name,
        "recipe": plan.recorded(),
        **_text_figures(scorer, texts, runs / "german" / name),
        "entropy_rate": corpus.facts["entropy_rate"],
        "pairs": _figures(scorer, pairs, unit=WORD),
        "next_words": [next_words(scorer, question, (answer, *(p for p in german_sentences.PARTICLES if p != answer)))],
        "environment": environment(),
    }


def english_texts(plan: Recipe, runs: Path) -> Texts:
    """Return the English texts.

    Raises:
        DataError: if they are missing.
    """
    return load_texts(DataConfig(corpus=corpus_name(plan, runs)))


def corpus_name(plan: Recipe, runs: Path) -> str:
    """Return the corpus of a plan; for a trial, the file of the study's own sentences, which is written if need be."""
    if plan.corpus:
        return plan.corpus
    file = runs / "english-text.txt"
    _write_once(file, english_sentences.own_text(plan.seed))
    return str(file)


def first(pairs: PairSet, count: int | None) -> PairSet:
    """Return the first pairs; all for None."""
    return PairSet(pairs.name, pairs.pairs[:count], pairs.default_unit)


def _some_of_each_group(pairs: PairSet, count: int) -> PairSet:
    """Return the first pairs of each group."""
    parts = _groups(pairs).values()
    return PairSet(pairs.name, tuple(pair for part in parts for pair in part.pairs[:count]), pairs.default_unit)


def _groups(pairs: PairSet) -> dict[str, PairSet]:
    names = dict.fromkeys(pair.group for pair in pairs.pairs)
    return {
        name: PairSet(name, tuple(pair for pair in pairs.pairs if pair.group == name), pairs.default_unit)
        for name in names
    }


def _blimp_files(folder: Path) -> list[Path]:
    return [path for path in sorted((folder / BLIMP).glob("*.jsonl")) if path.name != SUMMARY]


def _write_once(file: Path, lines: Any) -> None:
    """Write a text that is the same whenever it is written, unless it exists."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, "".join(f"{line}\n" for line in lines))


def _trained(name: str, config: Config, runs: Path) -> TrainedRun:
    """Return a network trained in the folder of its name, where an interrupted training goes on."""
    folder = RunFolder(runs / name)
    if not folder.results.exists():
        train(config, runs / name, resume=folder.exists(), quiet=False)
    scorer = open_scorer(runs / name, name)
    assert isinstance(scorer, TrainedRun), scorer
    return scorer


def _ngram(texts: Texts, plan: Recipe, runs: Path) -> Scorer:
    """Return the n-gram model, which is kept in a file."""
    file = runs / f"{NGRAM}.model"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(texts.train, EncodedText), "the texts of the study are read into memory"
        ngrams.train(texts.train, texts.vocabulary, plan.order).save(file)
    return open_scorer(file, NGRAM)


def _text_figures(scorer: Scorer, texts: Texts, run: Path) -> dict[str, Any]:
    """Return perplexity, size and configuration of a model."""
    if isinstance(scorer, TrainedRun):
        found = json.loads(RunFolder(run).results.read_text())
        names = ("test_perplexity", "valid_perplexity", "parameters", "steps", "seconds")
        config = without_folders(json.loads(RunFolder(run).config.read_text()))
        return {name: found[name] for name in names} | {"config": config}
    nll = scorer.token_nll(texts.test)
    perplexity = evaluation_from_nll(nll, texts.test, scorer.policy).perplexity
    return {"test_perplexity": perplexity, "parameters": scorer.parameter_count}


def _figures(scorer: Scorer, pairs: PairSet, **options: Any) -> dict[str, Any]:
    """Return the accuracies of a model on pairs."""
    return report_pairs(score_pairs(scorer, pairs, make_bar=token_bar, **options)).summary()


def _short(found: dict[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("accuracy", "interval", "pairs", "ties", "groups")}


def _distances(found: dict[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("accuracy", "interval", "pairs", "ties", "distances")}


def _horizons(scorer: Scorer, texts: Texts, plan: Recipe) -> dict[str, Any] | None:
    """Return how far back the gradient and the predictions of a network reach; None for an n-gram model."""
    if not isinstance(scorer, TrainedRun):
        return None
    options = HorizonOptions(plan.lags, plan.positions, sequences=0, parts=("inputs",))

    def make_bar(what: str, tokens: int) -> Any:
        return token_bar(f"{scorer.name}: {what}", tokens)

    summary = measure_horizons(
        scorer.run, texts.test, options, name=scorer.name, data="test", make_bar=make_bar
    ).summary
    return {
        "gradient": summary["horizons"]["inputs"],
        "relative_norms": summary["relative_norms"]["inputs"],
        "context": summary["context_horizon"],
        "largest_lag": plan.lags[-1],
    }

"""The order of the pages: every page of ``docs/``, every study and every public module has one place."""

import re
from pathlib import Path
from typing import NamedTuple

from website.public_names import packages

ROOT = Path(__file__).parent.parent


class Group(NamedTuple):
    """Pages under one caption of a section's sidebar."""

    caption: str
    pages: tuple[str, ...]
    """Paths of Markdown files, from the root of the repository; of generated pages, their names without a suffix."""


class Section(NamedTuple):
    """One entry of the header: a page, and the groups of pages under it."""

    title: str
    page: str
    groups: tuple[Group, ...] = ()


def documents(*names: str) -> tuple[str, ...]:
    """Return the paths of pages of ``docs/`` from their names."""
    return tuple(f"docs/{name}.md" for name in names)


#: A new page of ``docs/`` needs one name here.
GUIDES = (
    Group("Recurrence", documents("cells", "unroll", "inside-jax-programs", "your-own-cell")),
    Group(
        "Language models",
        documents("training", "optimizers", "recipes", "output-layers", "training-loop", "evaluation", "minimal-pairs"),
    ),
    Group("Large jobs", documents("training-jobs", "metrics-writers")),
    Group("Other sequences", documents("tasks", "sequence-models")),
    Group("Gradients through time", documents("jacobians", "any-network", "mean-field")),
    Group("N-grams and rescoring", documents("ngrams", "rescoring")),
    Group("Other libraries", documents("coming-from", "exporting")),
)


def studies() -> tuple[str, ...]:
    """Return the READMEs of all studies, in the alphabetical order of their folders."""
    return tuple(sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("experiments/*/README.md")))


def records() -> tuple[str, ...]:
    """Return the records of decisions, by number."""
    return tuple(sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/decisions/[0-9]*.md")))


def sections() -> tuple[Section, ...]:
    """Return the sections of the site in their order."""
    modules = tuple(f"reference/{package}" for package in packages())
    return (
        Section("Start", "docs/start.md", (Group("", documents("README")),)),
        Section("The course in code", "docs/course.md"),
        Section("Guides", "guides", GUIDES),
        Section(
            "Studies", "studies", (Group("Results", documents("results", "benchmarks")), Group("Studies", studies()))
        ),
        Section(
            "Reference",
            "reference/index",
            (Group("Look up", documents("reference", "known-problems")), Group("Public names", modules)),
        ),
        Section(
            "Decisions",
            "docs/decisions/README.md",
            (
                Group("The code", ("docs/architecture.md", "CONTRIBUTING.md", "CHANGELOG.md")),
                Group("Records", records()),
            ),
        ),
    )


def pages() -> list[str]:
    """Return every page of the navigation, as often as it occurs there."""
    found = []
    for section in sections():
        found += [section.page, *(page for group in section.groups for page in group.pages)]
    return found


def title(page: str) -> str:
    """Return the first heading of a Markdown file."""
    found = re.search(r"^# (.*)$", (ROOT / page).read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{page} has no heading of the first level")
    return found[1]


def opening(page: str) -> str:
    """Return the first paragraph of a Markdown file after its heading, without its links and its label."""
    paragraph = (ROOT / page).read_text().split("\n\n")[1].removeprefix("**Question.** ").replace("\n", " ")
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", re.sub(r":$", ".", paragraph))

"""Every page, every study and every public name has its place on the site."""

import re
from collections import Counter

import pytest

from website.navigation import GUIDES, ROOT, Group, opening, pages, sections, title
from website.sources import repository, toctree, with_site_links, write_sources


def test_every_page_and_study_is_in_the_navigation_once():
    written = [str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")]
    written += [str(path.relative_to(ROOT)) for path in ROOT.glob("experiments/*/README.md")]
    listed = Counter(page for page in pages() if page.startswith(("docs/", "experiments/")))
    assert not set(written) - set(listed), "add them to website/navigation.py"
    assert not set(listed) - set(written)
    assert set(listed.values()) == {1}


def test_every_study_has_a_readme():
    folders = {path.parent.name for path in ROOT.glob("experiments/*/results.json")}
    assert folders <= {path.parent.name for path in ROOT.glob("experiments/*/README.md")}


def test_the_sections_are_those_of_the_header():
    titles = [section.title for section in sections()]
    assert titles == ["Start", "The course in code", "Guides", "Studies", "Reference", "Decisions"]


@pytest.mark.parametrize("page", [page for group in GUIDES for page in group.pages])
def test_guides_open_with_what_they_are_for(page):
    assert title(page)
    assert len(opening(page)) > 40
    assert "](" not in opening(page)


def test_links_lead_to_pages_of_the_site_or_to_files_of_the_repository():
    def changed(link, page="docs/jacobians.md"):
        return with_site_links(f"[x]({link})", ROOT / page)[4:-1]

    assert changed("unroll.md#masks") == "unroll.md#masks"
    assert changed("../experiments/zoo/README.md") == "../experiments/zoo/README.md"
    assert changed("../README.md") == "../index.md"
    assert changed("../benchmarks/results/cpu.json") == f"{repository()}/benchmarks/results/cpu.json"
    assert changed("LICENSE", "README.md") == f"{repository()}/LICENSE"
    assert changed("https://example.org/x.md") == "https://example.org/x.md"
    assert changed("missing.json") == "missing.json"  # which Sphinx reports


def test_code_is_not_changed():
    code = "```python\n>>> functions[0](cpu.json)\n```\n"
    assert with_site_links(code, ROOT / "docs" / "jacobians.md") == code


def test_a_group_is_hidden_navigation():
    assert toctree(Group("Time", ("docs/unroll.md",))) == (
        "\n```{toctree}\n:hidden:\n:caption: Time\n\n/docs/unroll\n```\n"
    )


def test_all_sources_are_written(tmp_path):
    write_sources(tmp_path)
    entries = []
    for path in tmp_path.rglob("*.md"):
        entries += re.findall(
            r"^(?:.* <)?/(\S+?)>?$", "".join(re.findall(r"```{toctree}(.*?)```", path.read_text(), re.S)), re.M
        )
    assert len(entries) == len(set(entries)) == len(pages())
    assert [entry for entry in entries if not list(tmp_path.glob(f"{entry}.*"))] == []
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (tmp_path / "docs" / "course.md").read_text())
    assert shown
    assert all((tmp_path / "docs" / figure).exists() for figure in shown)

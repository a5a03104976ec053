"""The sources that Sphinx reads: the repository's Markdown files under their own paths, and generated pages."""

import re
import shutil
from configparser import ConfigParser
from pathlib import Path

from website import public_names
from website.module_pages import module_page, reference_index
from website.navigation import ROOT, Group, opening, pages, sections, studies, title

#: A link or an image of Markdown, with its target.
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
#: Files that a page shows; other files that a page links to are on the site of the repository.
SHOWN = {".md", ".png", ".svg"}


def repository() -> str:
    """Return the address of the repository's files on the main branch, from ``project_urls``."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    urls = dict(line.split(" = ", 1) for line in config["metadata"]["project_urls"].strip().splitlines())
    return f"{urls['Source']}/blob/main"


def with_site_links(text: str, page: Path) -> str:
    """Return a Markdown page whose links lead to pages of the site, or else to files of the repository.

    Args:
        text: the page.
        page: its file, which relative links start from.
    """
    listed = set(pages())

    def replaced(found: re.Match[str]) -> str:
        before, target, after = found.groups()
        file = (page.parent / target).resolve()
        if target.startswith("http") or not file.exists():
            return found[0]  # Sphinx reports targets that do not exist
        path = str(file.relative_to(ROOT))
        if path == "README.md":
            depth = len(page.relative_to(ROOT).parts) - 1
            return f"{before}{'../' * depth}index.md{after}"
        if file.suffix == ".md" and path not in listed or file.suffix not in SHOWN:
            return f"{before}{repository()}/{path}{after}"
        return found[0]

    return LINK.sub(replaced, text)


def toctree(group: Group) -> str:
    """Return the directive that puts a group of pages into the navigation, without showing it on the page."""
    caption = f":caption: {group.caption}\n" if group.caption else ""
    entries = "\n".join(f"/{page.removesuffix('.md')}" for page in group.pages)
    return f"\n```{{toctree}}\n:hidden:\n{caption}\n{entries}\n```\n"


def write_sources(folder: Path) -> None:
    """Write all sources of the site into an empty folder."""
    parents = {section.page: section.groups for section in sections()}
    written = {"guides": guides(), "studies": table_of_studies(), "reference/index": reference_index()}
    for page in pages():
        if page.endswith(".md"):
            text = with_site_links((ROOT / page).read_text(), ROOT / page)
        elif page in written:
            text = written[page]
        else:
            continue  # pages of modules, below
        text += "".join(map(toctree, parents.get(page, ())))
        write(folder / page, text)
    for package in public_names.packages():
        write(folder / f"reference/{package}.rst", module_page(package))
    titles = "\n".join(f"{section.title} </{section.page.removesuffix('.md')}>" for section in sections())
    home = with_site_links((ROOT / "README.md").read_text(), ROOT / "README.md")
    write(folder / "index.md", f"{home}\n```{{toctree}}\n:hidden:\n\n{titles}\n```\n")
    for figure in [*ROOT.glob("experiments/*/*.png"), *ROOT.glob("docs/**/*.png")]:
        copied = folder / figure.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(figure, copied)


def write(path: Path, text: str) -> None:
    """Write a page, a Markdown file unless its name has another suffix."""
    path = path if path.suffix in {".md", ".rst"} else path.with_name(path.name + ".md")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def guides() -> str:
    """Return the page that lists the guides, by group, with the first paragraph of each."""
    section = next(section for section in sections() if section.page == "guides")
    text = "# Guides\n\nDo one thing with the library: each page opens with what it is for; examples run as tests.\n"
    for group in section.groups:
        text += f"\n## {group.caption}\n\n{listing(group.pages)}"
    return text


def table_of_studies() -> str:
    """Return the page that lists the studies, with the first paragraph of each."""
    return (
        "# Studies\n\nSee what was measured with the library: each study has its commands and times, its recipe,"
        " its figures, and published values beside ours. [Results](docs/results.md) has all perplexities,"
        f" [benchmarks](docs/benchmarks.md) the speed beside other libraries.\n\n{listing(studies())}"
    )


def listing(paths: tuple[str, ...]) -> str:
    """Return a list of links to pages, with the first paragraph of each."""
    rows = (f"[{title(path)}]({path})\n: {opening(path)}\n" for path in paths)
    return "\n".join(rows)

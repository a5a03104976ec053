"""Build the documentation site into ``build/docs/html``; every warning and every broken link is an error."""

import shutil
import sys

from sphinx.cmd.build import build_main

from website.links import broken_links
from website.navigation import ROOT
from website.sources import write_sources

BUILD = ROOT / "build" / "docs"


def main() -> int:
    """Write the sources, build the pages, check their links; return the exit code."""
    sources, html = BUILD / "source", BUILD / "html"
    shutil.rmtree(BUILD, ignore_errors=True)
    write_sources(sources)
    options = ["--builder=html", "--fail-on-warning", "--quiet", f"--conf-dir={ROOT / 'website'}"]
    failed = build_main([*options, f"--doctree-dir={BUILD / 'doctrees'}", str(sources), str(html)])
    if failed:
        return failed
    broken = broken_links(html)
    print("\n".join(broken) if broken else f"{html / 'index.html'}: all links lead somewhere")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

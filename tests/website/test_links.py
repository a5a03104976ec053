"""The check of a built site finds broken links, and no others."""

from website.links import broken_links


def test_broken_links_are_found(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "template.html").write_text('<a href="{{ nothing }}">')
    (tmp_path / "index.html").write_text(
        '<h1 id="top"></h1><a href="sub/a.html#λ">a</a><a href="#top">b</a><img src="x%20y.png"><a href="https://e.org">'
        '<a href="#gone"></a><a href="sub/a.html#gone"></a><a href="b.html"></a><img src="z.png">'
    )
    (tmp_path / "x y.png").write_bytes(b"")
    (tmp_path / "sub" / "a.html").write_text('<p id="λ"><a href="../index.html">up</a>')
    assert broken_links(tmp_path) == [
        "index.html: #gone leads to no anchor",
        "index.html: b.html leads to no file",
        "index.html: sub/a.html#gone leads to no anchor",
        "index.html: z.png leads to no file",
    ]

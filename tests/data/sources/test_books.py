"""The source `books`: files, folders and archives of books, whole and hostile."""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firn.core.engine import LocalEngine
from firn.core.store import Store
from firn.data import read
from firn.data.extract import ExtractSettings
from firn.data.sources import BooksSource

sys.path.insert(0, str(Path(__file__).parents[1]))
from shards import Inline
from shards import read as table

Rows = list[dict[str, Any]]
TEXT = "Title page\n\n\n\nCHAPTER I\n\nIt fell.\n\n\n\nCHAPTER II\n\nIt melted.\n"
COLLECTION = (
    b"<c xmlns:md='m'><metadata><md:title>Stats</md:title>"
    b"<md:license url='http://creativecommons.org/licenses/by/4.0/'/></metadata><content><module document='m2'/>"
    b"<subcollection><md:title>Means</md:title><content><module document='m1'/></content></subcollection></content></c>"
)
MODULE = b"<document><title>%s</title><content><para>%s</para></content></document>"


def run(store: Path, *paths: str | Path, **settings: Any) -> tuple[Rows, Rows]:
    """Documents and ledger rows."""
    engine = Inline(Store(store))
    source = BooksSource(paths=tuple(map(str, paths)), **settings)
    manifests = engine.run(read.tasks("mine", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    documents = [row for m in manifests for row in table(engine.store, m).to_pylist()]
    ledger = [row for m in manifests for row in table(engine.store, m, "ledger").to_pylist()]
    return documents, ledger


def epub(missing: bool = False) -> bytes:
    """A book of one page. missing: and of another, which is not there."""
    more = ('<item id="b" href="b.xhtml"/>', '<itemref idref="b"/>') if missing else ("", "")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        book.writestr("META-INF/container.xml", '<c><rootfile full-path="p.opf"/></c>')
        book.writestr(
            "p.opf",
            f'<p><manifest><item id="a" href="a.xhtml"/>{more[0]}</manifest>'
            f'<spine>{more[1]}<itemref idref="a"/></spine></p>',
        )
        book.writestr("a.xhtml", "<html><body><p>epub</p></body></html>")
    return out.getvalue()


def folder(root: Path) -> Path:
    """Books of all kinds."""
    for name in ("guide/deep", "stats/collections", "stats/modules/m1", "stats/modules/m2", "stats/modules/m3", "tex"):
        (root / name).mkdir(parents=True)
    (root / "snow.txt").write_text(TEXT)
    (root / "e.epub").write_bytes(epub())
    (root / "bad.epub").write_bytes(epub()[:50])
    (root / "bad.pdf").write_bytes(b"no")
    (root / "page.html").write_text("<h1>One</h1><p>a</p><h1>Two</h1><p>b</p>")
    (root / "guide" / "SUMMARY.md").write_text("# Guide\n\n- [B](b.md)\n  - [A](deep/a.md)\n")
    (root / "guide" / "b.md").write_text("# B\n\nbee\n")
    (root / "guide" / "deep" / "a.md").write_text("# A\n\nay\n")
    (root / "guide" / "unlisted.md").write_text("no\n")
    (root / "stats" / "collections" / "s.collection.xml").write_bytes(COLLECTION)
    for name, title in (("m1", b"Mean"), ("m2", b"Preface"), ("m3", b"Lost")):
        (root / "stats" / "modules" / name / "index.cnxml").write_bytes(MODULE % (title, title.lower()))
    (root / "tex" / "book.tex").write_text(
        "\\documentclass{book}\\begin{document}\\chapter{One}a\\input{two}\\end{document}"
    )
    (root / "tex" / "two.tex").write_text("\\chapter{Two}b $x$")
    (root / "picture.png").write_bytes(b"x")
    (root / "link.txt").symlink_to("/etc/hostname")
    with tarfile.open(root / "all.tar.xz", "w:xz") as target:
        for name in ("guide", "stats", "snow.txt"):
            target.add(root / name, name)
        for name in ("../up.txt", "/abs.txt"):
            target.addfile(tarfile.TarInfo(name))
    return root


def test_every_kind_of_book(tmp_path: Path) -> None:
    documents, ledger = run(tmp_path / "store", folder(tmp_path / "books"))
    assert {row["address"]: row["text"] for row in documents} == {
        "snow.txt": "Title page",
        "snow.txt#part=1": "# CHAPTER I\n\nIt fell.",
        "snow.txt#part=2": "# CHAPTER II\n\nIt melted.",
        "e.epub": "epub",
        "page.html": "# One\n\na",
        "page.html#part=1": "# Two\n\nb",
        "guide": "# B\n\nbee",
        "guide/deep/a.md": "# A\n\nay",
        "stats": "# Preface\n\npreface",
        "stats/modules/m1/index.cnxml": "# Mean\n\nmean",
        "tex": "# One\n\na",
        "tex#part=1": "# Two\n\nb $x$",
        "all.tar.xz#guide": "# B\n\nbee",
        "all.tar.xz#guide/deep/a.md": "# A\n\nay",
        "all.tar.xz#stats": "# Preface\n\npreface",
        "all.tar.xz#stats/modules/m1/index.cnxml": "# Mean\n\nmean",
        "all.tar.xz#snow.txt": "Title page",
        "all.tar.xz#snow.txt#part=1": "# CHAPTER I\n\nIt fell.",
        "all.tar.xz#snow.txt#part=2": "# CHAPTER II\n\nIt melted.",
    }
    others = {row["address"]: (row["verdict"], row["rule"]) for row in ledger if row["verdict"] != "kept"}
    assert others == {
        "bad.epub": ("failed", None),
        "bad.pdf": ("failed", None),
        "link.txt": ("removed", "books.link"),
        "guide/unlisted.md": ("removed", "books.unlisted"),
        "stats/modules/m3/index.cnxml": ("removed", "books.unlisted"),
        "all.tar.xz#guide/unlisted.md": ("removed", "books.unlisted"),
        "all.tar.xz#stats/modules/m3/index.cnxml": ("removed", "books.unlisted"),
        "all.tar.xz#../up.txt": ("removed", "books.outside"),
        "all.tar.xz#/abs.txt": ("removed", "books.outside"),
    }
    by = {row["address"]: row for row in documents}
    first, second = by["snow.txt"], by["snow.txt#part=2"]
    assert (first["part"], first["parent"], second["part"], second["parent"]) == (0, None, 2, first["id"])
    assert len({row["id"] for row in documents}) == len(documents)
    assert {row["group"] for name, row in by.items() if name.startswith("guide")} == {"guide"}
    mean = by["stats/modules/m1/index.cnxml"]
    assert (mean["license"], json.loads(mean["meta"])["chapters"]) == ("CC-BY-4.0", ["Means"])
    assert json.loads(by["stats"]["meta"])["matter"] == "front"


def test_a_page_of_an_epub_that_is_missing_is_a_row_that_failed(tmp_path: Path) -> None:
    (tmp_path / "e.epub").write_bytes(epub(missing=True))
    documents, ledger = run(tmp_path / "store", tmp_path / "e.epub")
    assert [(row["address"], row["part"], row["text"]) for row in documents] == [("e.epub#a.xhtml", 1, "epub")]
    assert [(row["address"], row["verdict"], row["error"]) for row in ledger] == [
        ("e.epub", "failed", "'b.xhtml' is not in the archive"), ("e.epub#a.xhtml", "kept", None),
    ]  # fmt: skip
    assert documents[0]["parent"] == ledger[0]["id"]


def test_books_within_books_are_books_of_their_own(tmp_path: Path) -> None:
    """Translations, and a repository's own files beside its book."""
    files = {
        "guide/SUMMARY.md": "- [One](one.md)", "guide/one.md": "one", "guide/fr/SUMMARY.md": "- [Un](un.md)",
        "guide/fr/un.md": "un", "code/README.md": "readme", "code/notes.md": "# Notes",
        "code/book/SUMMARY.md": "- [A](a.md)", "code/book/a.md": "a", "loose/deep/b.md": "b", "loose/c.md": "c",
        "white.txt": " \n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / "books" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "books" / name).write_text(text)
    documents, ledger = run(tmp_path / "store", tmp_path / "books")
    assert sorted((row["group"], row["text"]) for row in documents) == [
        ("code/book", "a"), ("code/notes.md", "# Notes"), ("guide", "one"), ("guide/fr", "un"),
        ("loose", "b"), ("loose", "c"),
    ]  # fmt: skip
    others = [(row["address"], row["rule"]) for row in ledger if row["verdict"] != "kept"]
    assert sorted(others) == [("code/README.md", "books.not_a_book"), ("white.txt", "books.no_text")]


TEX = r"""%% Project Gutenberg's Snow
%% Title: Snow                                      %%
%% Release Date: May 1, 2012 [EBook #42]            %%
%% *** START OF THIS PROJECT GUTENBERG EBOOK SNOW ***
\documentclass{book}
\newenvironment{PGtext}{%
\begin{alltt}
\fontsize{8.1}{10}\ttfamily\selectfont}%
{\end{alltt}}
\begin{document}
\begin{PGtext}
Title: Snow

*** START OF THIS PROJECT GUTENBERG EBOOK SNOW ***
\end{PGtext}
\begin{PGtext}
Produced by Someone
\end{PGtext}
\chapter{One} It fell.
\begin{PGtext}
End of the Project Gutenberg EBook of Snow
\end{PGtext}
\end{document}
"""


def test_editions_of_project_gutenberg_are_one_group(tmp_path: Path) -> None:
    header = "Release date: May 1, 2012 [eBook #42]\n\n*** START OF THE PROJECT GUTENBERG EBOOK SNOW ***\n\n"
    files = {
        "42.txt": f"{header}It fell.\n",
        "42-h.htm": f"<pre>The Project Gutenberg EBook of Snow\n\n{header}</pre><h2>One</h2><p>It fell.</p>",
        "a/42-t.tex": TEX.replace("\n", "\r\n"),
        "43-t/43-t.tex": r"\documentclass{book}\begin{document}\chapter{One} It melted.\end{document}",
    }
    for name, content in files.items():
        (tmp_path / "books" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "books" / name).write_text(content, newline="")
    documents, _ = run(tmp_path / "store", tmp_path / "books")
    page = "https://www.gutenberg.org/ebooks/"
    assert {json.loads(row["meta"]).get("book") for row in documents if row["address"] == "a"} == {"Snow"}
    assert {row["address"]: (row["group"], row["url"], row["text"]) for row in documents} == {
        "42.txt": ("gutenberg:42", f"{page}42", "It fell."),
        "42-h.htm": ("gutenberg:42", f"{page}42", "## One\n\nIt fell."),
        "a": ("gutenberg:42", f"{page}42", "# One\n\nIt fell."),
        "43-t": ("gutenberg:43", f"{page}43", "# One\n\nIt melted."),
    }


def test_front_and_back_matter_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "snow.txt").write_text(TEXT + "\n\n\nINDEX\n\nSnow 1\n")
    documents, ledger = run(tmp_path / "store", tmp_path / "snow.txt", front=False, back=False)
    assert [row["text"][:10] for row in documents] == ["# CHAPTER ", "# CHAPTER "]
    assert [row["rule"] for row in ledger] == ["books.front", None, None, "books.back"]


def test_two_workers_write_what_one_does(tmp_path: Path) -> None:
    root = folder(tmp_path / "books")
    hashes = []
    for workers in (1, 2):
        with LocalEngine(Store(tmp_path / f"store{workers}"), workers=workers) as engine:
            manifests = engine.run(read.tasks("mine", BooksSource(paths=(str(root),)), ExtractSettings(), engine))
            hashes.append([(m.fingerprint, sorted(f.hash for f in m.files.values())) for m in manifests])
    assert hashes[0] == hashes[1]


def test_novels_of_project_gutenberg(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    documents, ledger = run(tmp_path, shared_data("books/gutenberg/Pride-and-Prejudice_1342/1342-0.txt"),
                            shared_data("books/gutenberg/Moby-Dick--Or-The-Whale_2701/2701.txt"))  # fmt: skip
    assert {row["verdict"] for row in ledger} == {"kept"}
    pride = [row for row in documents if row["group"] == "gutenberg:1342"]
    whale = [row for row in documents if row["group"] == "gutenberg:2701"]
    assert sum(json.loads(row["meta"])["matter"] == "body" for row in pride) == 61
    assert sum(json.loads(row["meta"])["matter"] == "body" for row in whale) == 136  # 135 chapters and an epilogue
    assert pride[1]["text"].startswith(
        "# Chapter 1\n\nIt is a truth universally acknowledged, that a single man in possession"
    )
    text = "\n".join(row["text"] for row in pride)
    assert not re.search(r"Project Gutenberg|\*\*\*|www\.", text)
    assert len(re.findall(r"[a-z],?\n[a-z]", text)) < 20  # in letters, whose lines are short


def test_a_novel_as_an_unpacked_epub(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    documents, _ = run(tmp_path, shared_data("books/standardebooks/pride"))
    chapters = [row for row in documents if json.loads(row["meta"])["matter"] == "body"]
    assert [row["text"].split()[1] for row in chapters[:4]] == ["I", "II", "III", "IV"]
    assert len(chapters) == 61
    assert {(row["license"], row["published"]) for row in documents} == {("CC0-1.0", None)}


def test_textbooks(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    path = shared_data("books/openstax/introductory-statistics-bundle.tar.xz")
    documents, ledger = run(tmp_path, path, shared_data("books/rustbook"))
    assert {row["verdict"] for row in ledger} == {"kept"}
    books = {row["group"] for row in documents}
    assert len(books) == 3
    text = "\n".join(row["text"] for row in documents if "rustbook" not in row["address"] and "src" not in row["group"])
    assert text.count("\\frac{") > 3_000
    assert not re.search(r"</?(?:para|m:|link|emphasis|term)\b|&[a-z]+;", text)
    rust = [row["address"] for row in documents if row["group"] == "src" or "rustbook" in row["group"]]
    assert [name.rsplit("/", 1)[-1] for name in rust[1:4]] == [
        "foreword.md", "ch00-00-introduction.md", "ch01-00-getting-started.md",
    ]  # fmt: skip

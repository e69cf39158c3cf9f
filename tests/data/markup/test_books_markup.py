"""Plain text, HTML, Markdown, EPUB, archives and reading orders of books."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data import compressed
from firn.data.markup import archive, booktree, cnxml, epub, gutenberg, markdown, parts, xhtml, xml
from firn.data.markup.archive import Member, Unread
from firn.data.markup.work import Block, MarkupError

HEADER = """The Project Gutenberg EBook of Snow, by A. Writer

Title: Snow
Author: A. Writer
Release Date: May, 1999 [EBook #42]
Language: French

*** START OF THIS PROJECT GUTENBERG EBOOK SNOW ***


Produced by Someone


"""
BOOK = """SNOW

By A. Writer



CHAPTER I

It fell all night, and in the morning the whole of the valley lay
under it--_white_ and still, as far as anybody could see or walk in
an hour.

    Roses are red,
    Violets are blue.

[Illustration: A valley.]

* * * * *


CHAPTER II

It melted.



INDEX

Snow, 1
"""
FOOTER = """

End of the Project Gutenberg EBook of Snow, by A. Writer

*** END OF THIS PROJECT GUTENBERG EBOOK SNOW ***
The licence.
"""
OLD_HEADER = (
    "Project Gutenberg's Etext of Snow\n*BEFORE!*\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04*END*\n\n\n"
)


@pytest.mark.parametrize(
    ("header", "footer"),
    [
        (HEADER, FOOTER),
        (HEADER.replace("THIS", "THE").replace("*** START", "***START"), FOOTER.replace("THIS", "THE")),
        (HEADER.replace("SNOW ***", "SNOW\nOR ICE ***"), "\n\nThe End of Project Gutenberg's Snow\n"),
        (OLD_HEADER, "\n\n\nEnd of Project Gutenberg's Snow, by A. Writer\n"),
        (HEADER.replace("\n", "\r\n"), FOOTER.replace("\n", "\r\n")),
    ],
)
def test_header_and_licence_of_project_gutenberg(header: str, footer: str) -> None:
    book = BOOK.replace("\n", "\r\n") if "\r" in header else BOOK
    made = gutenberg.work(header + book + footer)
    found = parts.chapters(made.blocks)
    assert [(part.title, part.matter) for part in found] == [
        ("SNOW", "front"), ("CHAPTER I", "body"), ("CHAPTER II", "body"), ("INDEX", "back"),
    ]  # fmt: skip
    assert [block.text for block in found[1].blocks] == [
        "CHAPTER I",
        "It fell all night, and in the morning the whole of the valley lay under it—white and still, as far as anybody "
        "could see or walk in an hour.",
        "Roses are red,\nViolets are blue.",
        "A valley.",
    ]
    if header.startswith("The"):
        assert (made.title, made.language, made.license) == ("Snow", "fr", "public-domain")
        assert made.meta == {"author": "A. Writer", "released": "May, 1999", "gutenberg": "42"}
        assert made.published is None  # a release of an old book is not when it was written


def page(*blocks: str, mark: str = "*** START OF THE PROJECT GUTENBERG EBOOK SNOW ***") -> list[Block]:
    """A page in HTML as Project Gutenberg has them since 2023, or with a mark of another form."""
    said = "Release date: May 1, 1999 [eBook #42]\n                Most recently updated: May 2, 2024"
    return [Block("The Project Gutenberg eBook of Snow"), Block("Title: Snow"), Block(said), Block(mark),
            *map(Block, blocks), Block(mark.replace("START", "END")), Block("The licence.")]  # fmt: skip


def test_header_and_licence_in_other_formats() -> None:
    new = page("Produced by Someone", "It fell.")
    assert gutenberg.cut_blocks(new) == [Block("It fell.")]
    made = gutenberg.described("\n\n".join(block.text for block in new))
    assert made.meta == {"released": "May 1, 1999", "gutenberg": "42"}
    assert (made.title, made.url) == ("Snow", "https://www.gutenberg.org/ebooks/42")
    # Files of old have header and licence in listings, with the credits below the mark.
    old = [Block(f"```\n{HEADER}```"), Block("It fell."), Block(f"```\nThe last words.\n{FOOTER}```")]
    assert gutenberg.cut_blocks(old) == [Block("It fell."), Block("The last words.")]
    files = [[Block("Cover")], [*new[:4], Block("One")], [Block("Two"), *new[-2:]], [Block("More of the licence")]]
    assert gutenberg.cut_files(files) == [[], [Block("One")], [Block("Two")], []]
    assert gutenberg.cut_files([[Block("It fell.")], []]) == [[Block("It fell.")], []]


@pytest.mark.parametrize(
    ("url", "number"),
    [
        ("http://www.gutenberg.org/61234", "61234"),
        ("https://www.gutenberg.org/ebooks/1342", "1342"),
        ("https://www.gutenberg.org/files/1342/1342-h/1342-h.htm", "1342"),
        ("https://gutenberg.org/cache/epub/1342/pg1342.txt", "1342"),
        ("https://www.gutenberg.org/1/3/4/1342/", "1342"),
        ("https://www.gutenberg.org/wiki/Main_Page", None),
        ("https://example.org/1342", None),
        (None, None),
    ],
)
def test_addresses_of_project_gutenberg(url: str | None, number: str | None) -> None:
    assert gutenberg.number_of(url) == number


@pytest.mark.parametrize(
    "text",
    [
        "Project Gutenberg" + "\n" * 900_000,
        "Project Gutenberg\n" + "  \n" * 900_000,
        "Project Gutenberg" + " " * 3_000_000 + "x",
        "Project Gutenberg" + "*" * 3_000_000,
        "Project Gutenberg\nTitle: a\n" + " a\n" * 900_000 + "***START OF THE PROJECT GUTENBERG EBOOK",
        "[Image " + "a" * 3_000_000,
        "[Image[Image" * 300_000,
        "CHAPTER I\n\n\n" * 100_000,
    ],
    ids=["lines", "spaces", "line", "stars", "field", "picture", "pictures", "chapters"],
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    """In quadratic time each of these would take hours."""
    assert parts.chapters(gutenberg.work(text).blocks)


@pytest.mark.parametrize("text", ["A\n\n\n" * 400_000, "A\r\r\r" * 400_000, "A\r\n" * 1_100_000])
def test_a_text_of_too_many_lines_is_refused(text: str) -> None:
    with pytest.raises(MarkupError, match="lines, over the limit"):
        gutenberg.work(text)


def html_blocks(body: str) -> list[str]:
    return [block.text for block in xhtml.blocks(xhtml.html(f"<html><body>{body}</body></html>"))]


def test_what_a_page_hides_and_how_words_are_read() -> None:
    assert html_blocks("<p>a</p><p hidden>b</p><div style='color:red; display : none'>c</div><p hidden=''>d</p>") == [
        "a"
    ]
    note = '<aside epub:type="footnote" hidden>a note</aside>'
    assert html_blocks(f"<p>a</p>{note}") == ["a", "a note"]
    assert html_blocks("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rt>じ</rt></ruby>だ") == ["漢(かん)字(じ)だ"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("<p>a</p>" * 300_000, "tags, over the limit"),
        ("<p>a b" * 600_000, "tags, over the limit"),
        ("<p>" + "".join(f"<b a={n}>" for n in range(300)) + "</p>" + "<p>x" * 10_000, "as a tree|HTML nodes"),
        ("<p a='>' " + " ".join(f"a{n}" for n in range(2_000)) + ">x", "attributes"),
    ],
    ids=["elements", "unclosed", "opened anew", "attributes"],
)
def test_a_page_is_counted_before_it_is_a_tree(body: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xhtml, "MAX_MEMORY", 64 << 20)
    with pytest.raises(MarkupError, match=why):
        xhtml.tree(body.encode(), body)


def test_so_is_a_page_of_xml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xhtml, "MAX_TAGS", 100)
    page = '<?xml version="1.0"?><html>' + "<p>a</p>" * 60 + "</html>"
    with pytest.raises(MarkupError, match="tags, over the limit"):
        xhtml.tree(page.encode(), page)


def test_long_attributes_are_no_many_attributes() -> None:
    assert html_blocks(f"<p style='{'a b ' * 5_000}' data-x=\"{'> ' * 5_000}\">a</p>") == ["a"]


def test_xhtml_beyond_a_limit_is_no_html_either() -> None:
    long = "A" * 100
    data = f'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY b "{long}">]><html><body><p>&b; x</p></body></html>'
    with pytest.raises(MarkupError, match="entity"):
        xhtml.tree(data.encode(), data)
    short = data.replace(long, "AB")
    assert [b.text for b in xhtml.blocks(xhtml.tree(short.encode(), short))] == ["AB x"]
    loose = '<?xml version="1.0"?><html><body><p>a<br>b</p></body></html>'
    assert [b.text for b in xhtml.blocks(xhtml.tree(loose.encode(), loose))] == ["a\nb"]


def test_program_text_of_a_textbook_keeps_its_lines() -> None:
    code = "<code lang='python'>\n    def f():\n    \u00a0\u00a0return 1\n    </code>"
    cell = "<row><entry>Function</entry><entry>%s</entry></row>"
    module = (
        f"<document><title>T</title><content><para>Call <code>f()</code> so:{code}Then go on.</para>"
        f"<note>{code}</note><example><code>\n x = 1\n</code></example>"
        f"<list><item>One<code>y</code>{code}</item></list>"
        f"<table><tgroup><tbody>{cell % code}</tbody></tgroup></table>"
        f"<table><tgroup><tbody>{cell % '<code>f()</code>'}</tbody></tgroup></table></content></document>"
    )
    listing = "```python\ndef f():\n  return 1\n```"
    assert [block.text for block in cnxml.module(xml.parse(module.encode())).blocks] == [
        "Call `f()` so:", listing, "Then go on.", listing, "```\nx = 1\n```",
        "- One`y`\n  " + listing.replace("\n", "\n  "), "Function", listing, "| Function | `f()` |",
    ]  # fmt: skip


def test_lines_stay_where_they_are_if_asked() -> None:
    assert "valley lay\nunder it" in "\n".join(block.text for block in gutenberg.work(BOOK, unwrap=False).blocks)


@given(st.text(alphabet="aI. \n*_[]=-CHAPTERX", max_size=300))
def test_no_word_of_a_text_is_lost(text: str) -> None:
    def letters(text: str) -> str:
        return "".join(filter(str.isalpha, text.upper())).replace("ILLUSTRATION", "")

    made = gutenberg.work(text)
    assert letters("".join(block.text for block in made.blocks)) == letters(text)
    assert [b for part in parts.chapters(made.blocks) for b in part.blocks] == made.blocks


MARKDOWN = """---
title: "On Snow"
date: 2021-02-03
license: CC-BY-4.0
---
<!-- hidden -->
Firn {#sec:firn}
====
:label:`sec_firn`

See [the guide](http://a.b/(c)_d "t"), [this][ref] [@doi:10.1/x; @b], <https://x.y> and :numref:`fig_core`.
An ![core of `ice`](core.png){#fig:core width="3in"} in <em>snow</em>; a < b and `<kept>` and $x<y$.

[ref]: http://z

## Code ##

```{.python .input}
%%tab all
def f(): # <tag> [a](b)
    return 1
```

```toc
chapter
```

    * * *
"""


def test_markdown() -> None:
    made = markdown.work(MARKDOWN)
    assert made.title == "On Snow"
    assert (made.license, made.published and made.published.year) == ("CC-BY-4.0", 2021)
    assert made.text == (
        "# On Snow\n\n# Firn\n\nSee the guide, this, https://x.y and the figure.\n"
        "An core of `ice` in snow; a < b and `<kept>` and $x<y$.\n\n## Code\n\n```python\n"
        "def f(): # <tag> [a](b)\n    return 1\n```\n\n    * * *"
    )


def test_listings_take_lines_from_other_files_that_are_there() -> None:
    text = "```rust\n{{#rustdoc_include ../a.rs:1:2}}\n# use hidden;\n#[derive(Debug)]\n```\n\n{{#include gone.md}}\n"
    made = markdown.work(text, {"../a.rs": "fn main() {}\n"}.get)
    assert made.text == "```rust\nfn main() {}\nuse hidden;\n#[derive(Debug)]\n```"


def test_yaml_that_unfolds_is_not_read() -> None:
    bomb = "---\na: &a [x,x]\nb: &b [*a,*a]\ntitle: T\n---\ntext\n"
    made = markdown.work(bomb)
    assert (made.title, made.text) == ("", "text")


@given(st.text(alphabet="#`~-[]()!<>{}@:$*\n ax|=%&\x02\"'", max_size=120))
def test_any_markdown_is_read(text: str) -> None:
    assert "\x02" not in markdown.work(text).text


def packed(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as book:
        for name, data in files.items():
            book.writestr(name, data)
    return out.getvalue()


def epub_of(*pages: bytes, metadata: bytes = b"") -> dict[str, bytes]:
    items = b"".join(
        b'<item id="p%d" href="a%%20b/%d.xhtml" media-type="application/xhtml+xml"/>' % (n, n)
        for n in range(len(pages))
    )
    spine = b"".join(b'<itemref idref="p%d"/>' % n for n in reversed(range(len(pages))))
    return {
        "META-INF/container.xml": b'<container><rootfiles><rootfile full-path="E/p.opf"/></rootfiles></container>',
        "E/p.opf": b'<package><metadata xmlns:dc="d"><dc:title>Snow</dc:title><dc:language>en</dc:language>' + metadata
        + b"</metadata><manifest>" + items + b"</manifest><spine>" + spine + b"</spine></package>",
        **{f"E/a b/{n}.xhtml": page for n, page in enumerate(pages)},
    }  # fmt: skip


def test_an_epub_is_read_in_the_order_of_its_spine() -> None:
    pages = (b"<html><body><h1>Two</h1><p>b</p></body></html>", b"<html><body><h1>One</h1><p>a</body></html>",
             b'<html xmlns:epub="e"><body epub:type="frontmatter"><p>Title page</p></body></html>')  # fmt: skip
    metadata = b"<dc:rights>CC BY-SA 3.0</dc:rights><dc:date>2012-05-06</dc:date>"
    work, found = epub.read(packed(epub_of(*pages, metadata=metadata)))
    assert [(c.path, c.part.title, c.part.matter) for c in found] == [
        ("E/a b/2.xhtml", "", "front"), ("E/a b/1.xhtml", "One", "body"), ("E/a b/0.xhtml", "Two", "body"),
    ]  # fmt: skip
    assert [b.text for b in found[1].part.blocks] == ["One", "a"]
    assert (work.title, work.language, work.license, work.published and work.published.year) == (
        "Snow",
        "en",
        "CC-BY-SA-3.0",
        2012,
    )
    free = epub.read(
        packed(epub_of(b"<p>x</p>", metadata=b"<dc:rights>Public domain</dc:rights><dc:date>2012</dc:date>"))
    )[0]
    assert (free.published, free.meta["edition"]) == (None, "2012-01-01")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        packed({"a": b""}),
        packed(epub_of(b"<p>" + b" " * (100 << 20) + b"</p>")),  # a bomb
        packed({**epub_of(b"<p/>"), "E/a b/0.xhtml": b"<a/>"})[:-30],
        packed({k: v.replace(b"a%20b/0.xhtml", b"../../../etc/passwd") for k, v in epub_of(b"<p>x</p>").items()}),
        packed(
            {
                "../../etc/passwd": b"<p>y</p>",  # which the archive itself has under that name
                **{k: v.replace(b"a%20b/0.xhtml", b"../../../etc/passwd") for k, v in epub_of(b"<p>x</p>").items()},
            }
        ),
    ],
)
def test_hostile_epubs_are_refused(data: bytes) -> None:
    with pytest.raises(MarkupError):
        epub.read(data)


BROKEN_BOOK = (b"<html><body><h1>Three</h1><p>c</p></body></html>", b"<div>" * 200, b"<p>b</p>" * 300,
               b"<html><body><h1>One</h1><p>a</p></body></html>")  # fmt: skip


def test_files_of_an_epub_that_cannot_be_read_take_no_other_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xhtml, "MAX_TAGS", 500)
    book = epub_of(*BROKEN_BOOK)
    spine = b'<spine><itemref idref="gone"/>'
    book["E/p.opf"] = book["E/p.opf"].replace(b"<spine>", spine).replace(b"</spine>", b'<itemref idref="p0"/></spine>')
    book["e/A B/3.xhtml"] = book.pop("E/a b/3.xhtml")  # as some file systems would still find it
    _, found = epub.read(packed(book))
    assert [(c.path, c.part.title, c.error) for c in found] == [
        ("E/gone", "", "'E/gone' is not in the archive"),
        ("e/A B/3.xhtml", "One", ""),
        ("E/a b/2.xhtml", "", "HTML of 600 tags, over the limit of 500"),
        ("E/a b/1.xhtml", "", "HTML nested more than 100 deep"),
        ("E/a b/0.xhtml", "Three", ""),  # once, though the spine names it twice
    ]
    with pytest.raises(MarkupError, match="100 deep"):
        epub.read(packed(epub_of(b"<div>" * 200)))


def test_an_epub_has_so_many_paragraphs_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epub, "MAX_PARAGRAPHS", 5)
    _, found = epub.read(packed(epub_of(b"<p>c</p>" * 9, b"<p>b</p>" * 3, b"<p>a</p>")))
    assert [c.error for c in found] == ["", "", "more than 5 paragraphs in the book"]
    monkeypatch.setattr(epub, "MAX_TOTAL", 1_000)
    _, found = epub.read(packed(epub_of(b"c", b"b" * 700, b"<p>a</p>")))
    assert ["unpacks to more than" in c.error for c in found] == [False, True, True]
    monkeypatch.setattr(epub, "MAX_DIRECTORY", 100)
    with pytest.raises(MarkupError, match="directory"):
        epub.read(packed(epub_of(b"c")))


def with_locks(book: Mapping[str, bytes], *paths: str) -> bytes:
    locks = "".join(f'<EncryptedData><CipherReference URI="{path}"/></EncryptedData>' for path in paths)
    return packed({**book, "META-INF/encryption.xml": f"<encryption>{locks}</encryption>".encode()})


def test_an_encrypted_epub_says_so() -> None:
    book = epub_of(b"<p>a</p>", bytes(range(256)))
    with pytest.raises(MarkupError, match="encrypted"):
        epub.read(with_locks(book, "E/font.ttf", "E/a%20b/1.xhtml"))
    with pytest.raises(MarkupError, match="encrypted"):
        epub.read(with_locks(book, "E/p.opf"))
    _, found = epub.read(with_locks(epub_of(b"<p>a</p>"), "E/font.ttf"))  # fonts alone are obfuscated
    assert [c.part.blocks for c in found] == [[Block("a")]]


def test_an_epub_of_project_gutenberg() -> None:
    pages = [f"<html><body>{body}</body></html>".encode() for body in (
        "<h2>II</h2><p>It melted.</p><div>*** END OF THE PROJECT GUTENBERG EBOOK SNOW ***</div><p>The licence.</p>",
        "<section><h2>The Project Gutenberg eBook of Snow</h2><p>Title: Snow</p>"
        "<div>*** START OF THE PROJECT GUTENBERG EBOOK SNOW ***</div></section><h2>I</h2><p>It fell.</p>",
    )]  # fmt: skip
    metadata = (
        b"<dc:identifier>http://www.gutenberg.org/42</dc:identifier><dc:rights>Public domain in the USA.</dc:rights>"
    )
    work, found = epub.read(packed(epub_of(*pages, metadata=metadata)))
    assert [[b.text for b in c.part.blocks] for c in found] == [["I", "It fell."], ["II", "It melted."]]
    assert (work.meta["gutenberg"], work.url) == ("42", "https://www.gutenberg.org/ebooks/42")
    made_of = b"<dc:source>https://www.gutenberg.org/ebooks/42</dc:source><dc:identifier>https://a.b/c</dc:identifier>"
    work, _ = epub.read(packed(epub_of(b"<p>x</p>", metadata=made_of)))
    assert (work.meta["gutenberg"], work.url) == ("42", "https://a.b/c")


def tarred(mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as target:  # type: ignore[call-overload]

        def add(name: str, data: bytes = b"", **more: object) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in more.items():
                setattr(info, key, value)
            target.addfile(info, io.BytesIO(data))

        add("./good/a.xml", b"<a/>")
        add("../../evil.xml", b"x")
        add("/etc/evil.xml", b"x")
        add("c:\\evil.xml", b"x")
        add("link.xml", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add("hard.xml", type=tarfile.LNKTYPE, linkname="good/a.xml")
        add("device", type=tarfile.CHRTYPE)
        add("big.xml", b"x" * 5_000)
        add("skipped.png", b"x" * 5_000)
        add("last.xml", b"<b/>")
    return out.getvalue()


def seen(data: bytes, name: str, limit: int = 1_000) -> list[tuple[str, str | None]]:
    found = archive.members(io.BytesIO(data), name, limit, lambda name: name.endswith(".xml"))
    return [(m.name, m.data.decode() if isinstance(m, Member) else m.rule) for m in found]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_members_of_a_tar(mode: str) -> None:
    assert seen(tarred(mode), "a.tar") == [
        ("good/a.xml",
         "<a/>"), ("../../evil.xml", "outside"), ("/etc/evil.xml", "outside"), ("c:\\evil.xml", "outside"),
        ("link.xml", "link"), ("hard.xml", "link"), ("big.xml", "too_large"), ("last.xml", "<b/>"),
    ]  # fmt: skip


def test_members_of_a_zip() -> None:
    data = packed({"good/a.xml": b"<a/>", "../evil.xml": b"x", "big.xml": b"x" * 5_000, "skipped.png": b""})
    assert seen(data, "a.zip") == [("good/a.xml", "<a/>"), ("../evil.xml", "outside"), ("big.xml", "too_large")]


def test_archives_that_unpack_to_too_much_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "FREE", 1 << 20)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as target:
        info = tarfile.TarInfo("bomb.png")
        info.size = 64 << 20
        target.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(MarkupError, match="times its size"):
        seen(out.getvalue(), "a.tar.gz")
    with pytest.raises(MarkupError, match="times its size"):
        seen(packed({f"{n}.xml": bytes(900_000) for n in range(4)}), "a.zip", 1 << 20)
    for cut in (tarred()[:-40], b"no archive at all" * 100, tarred("w:xz")[:200]):
        with pytest.raises(MarkupError):
            seen(cut, "a.tar.gz")
    assert isinstance(next(iter(archive.members(io.BytesIO(tarred()), "a.tar", 1))), Unread)


def test_headers_and_directories_of_archives_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tarfile and zipfile hold in memory before the first file can be looked at."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
        info = tarfile.TarInfo("a.xml")
        info.pax_headers = {"comment": "x" * (2 << 20)}
        target.addfile(info)
    with pytest.raises(MarkupError, match="a header of"):
        seen(out.getvalue(), "a.tar")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as target:
        target.addfile(tarfile.TarInfo("x" * (2 << 20)))
    with pytest.raises(MarkupError, match="a header of"):
        seen(out.getvalue(), "a.tar")
    many = packed({f"{number}.xml": b"" for number in range(1_000)})
    assert len(seen(many, "a.zip")) == 1_000
    monkeypatch.setattr(archive, "MAX_DIRECTORY", 10_000)
    with pytest.raises(MarkupError, match="directory is"):
        seen(many, "a.zip")
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    with pytest.raises(MarkupError, match="more than 3 files"):
        seen(tarred(), "a.tar")


def test_a_tar_that_is_damaged_in_its_midst_does_not_seem_to_end_there() -> None:
    data = bytearray(tarred("w"))
    data[data.index(b"last.xml") + 3] ^= 0xFF
    with pytest.raises(MarkupError, match="cannot be read on"):
        seen(bytes(data), "a.tar")


def test_archives_within_archives_are_not_opened() -> None:
    inner = packed({"deep.xml": b"<a/>"})
    assert seen(packed({"inner.zip": inner, "a.xml": b"<b/>"}), "a.zip") == [("a.xml", "<b/>")]


def test_reading_orders() -> None:
    def order(files: dict[str, str]) -> list[str]:
        return [entry.name for entry in booktree.reading_order(files, files.__getitem__)]

    summary = (
        "# Book\n\n[Hello](hello.md)\n\n- [One](one.md)\n  - [Deep](d/deep.md#x)\n- [Draft]()\n- [Gone](gone.md)\n"
    )
    files = {"src/SUMMARY.md": summary, "src/one.md": "", "src/hello.md": "", "src/d/deep.md": "", "src/not.md": ""}
    entries = booktree.reading_order(files, files.__getitem__)
    assert [(e.name, e.above) for e in entries] == [
        ("src/hello.md", ()),
        ("src/one.md", ()),
        ("src/d/deep.md", ("One",)),
    ]
    toc = "```toc\n:maxdepth: 1\n\nb\nch/index\n```\n"
    assert order({"index.md": toc, "b.md": "", "ch/index.md": "```toc\nz\na\n```", "ch/z.md": "", "ch/a.md": ""}) == [
        "index.md", "b.md", "ch/index.md", "ch/z.md", "ch/a.md",
    ]  # fmt: skip
    assert order({"_toc.yml": "root: intro\nchapters:\n- file: b\n- file: a\n", "a.md": "", "b.md": "",
        "intro.md": ""}) == [
        "intro.md", "b.md", "a.md",
    ]  # fmt: skip
    assert order({"ch10.md": "", "ch2.md": "", "appendix.md": "", "preface.md": ""}) == [
        "preface.md", "ch2.md", "ch10.md", "appendix.md",
    ]  # fmt: skip
    assert order({"index.md": "```toc\nindex\n```"}) == ["index.md"]


def test_every_block_is_in_one_part() -> None:
    blocks = [
        Block("T", 1),
        Block("x"),
        Block("Book I", 2),
        Block("Chapter 1", 2),
        Block("a"),
        Block("Chapter 2", 2),
        Block("b"),
    ]
    found = parts.chapters(blocks)
    assert [(p.title, p.matter) for p in found] == [
        ("T", "front"),
        ("Book I: Chapter 1", "body"),
        ("Chapter 2", "body"),
    ]
    assert [b for p in found for b in p.blocks] == blocks

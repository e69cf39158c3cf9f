"""The source `books`: Project Gutenberg's texts, EPUB, OpenStax's CNXML, PDF, and trees of Markdown, LaTeX or HTML.

A book lies in a file, in a folder, or in an archive (tar, zip). A folder is one book where it holds an OpenStax
collection, an EPUB's package, or Markdown or HTML; then its files come in the order that the book's own index gives.
Every `.txt`, `.epub`, `.pdf` and LaTeX document is a book, and so is a single page of HTML of Project Gutenberg. A row
of the ledger is a chapter, with its number as `part` and the book as `parent`; `meta` says whether it is front matter,
body or back matter. What is no book's file by its name is passed over, and counted in the shard's notes.
Rules: `books.link`, `books.outside` (a name that leads out of its archive), `books.too_large`, `books.not_a_book`,
`books.unlisted` (a file that the book's index does not name), `books.front`, `books.back` (where they are not wanted),
`books.no_text`. What is malformed, or a bomb, fails; of an EPUB, each file that cannot be read.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from firn.core.hashing import document_id
from firn.core.settings import Settings
from firn.core.stage import Stage, Task, Work, library_versions
from firn.data import charset
from firn.data.markup import (
    archive,
    booktree,
    cnxml,
    epub,
    gutenberg,
    jats,
    latex,
    markdown,
    parts,
    pdf,
    xhtml,
    xml,
)
from firn.data.markup import work as works
from firn.data.markup.parts import Part
from firn.data.markup.work import MarkupError
from firn.data.raw import Pattern, Rows, extra, grouping
from firn.data.sources import gathered
from firn.data.sources.gathered import Kept
from firn.data.sources.listing import find

_FORMATS = {
    ".txt": "text", ".epub": "epub", ".pdf": "pdf", ".tex": "latex", ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html", ".cnxml": "cnxml", ".opf": "epub_folder",
    ".sty": "latex", ".cls": "latex", ".bbl": "latex",
}  # fmt: skip
_COLLECTION = re.compile(r"(?:^|/)(?:[^/]+\.)?collection\.xml$")
_LICENSES = re.compile(r"(?:^|/)(?:LICEN[CS]E|COPYING)[^/]*$")
_NO_CHAPTER = re.compile(
    r"(?:readme|contributing|code[-_]of[-_]conduct|changelog|security|license|summary|todo)\.\w+$", re.I
)
# The environment in which LaTeX editions of Project Gutenberg set header and licence, and where those editions lie.
_BOILERPLATE = re.compile(r"\\newenvironment\{PGtext\}.{0,200}?\\end\{alltt\}\}", re.DOTALL)
_EDITION = re.compile(r"(?:^|/)(\d{1,6})-t/\1-t\.tex$")
_HEADER = 20_000  # characters
#: Text of one book, in bytes.
MAX_BOOK = 64 << 20


class BooksSettings(Settings):
    """What changes the documents of books."""

    group: Pattern | None = None
    """Regular expression on the book's name: its first group, or the whole match, names what must stay together in
    training or in validation. None, or no match: the book; all editions of one of Project Gutenberg's are one."""
    front: bool = True
    """Whether front matter (title pages, contents, prefaces) becomes documents."""
    back: bool = True
    """Whether back matter (indexes, glossaries, notes) becomes documents."""
    unwrap: bool = True
    """Whether the broken lines of plain text are joined to paragraphs."""
    license: str | None = None
    """Licence, as SPDX identifier or URL, of books that do not say theirs."""
    max_bytes: int = Field(default=128 << 20, ge=1)
    """Largest file, unpacked, in bytes."""


class BooksSource(BooksSettings):
    """Books: Project Gutenberg, EPUB, OpenStax, PDF, and trees of Markdown, LaTeX or HTML."""

    kind: Literal["books"] = "books"
    paths: tuple[str, ...] = Field(min_length=1)
    """Files, folders, archives or patterns, local or fsspec URLs: `gutenberg/`, `epub/*.epub`, `openstax/*.tar.xz`."""


@dataclass(slots=True)
class Book:
    """The files that make a book. kind: a format; of several files, `cnxml`, `epub_folder`, `tree` or `latex`."""

    name: str
    kind: str
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of a book as it was read.

    place: file in the book, or empty; above: titles of chapters around it; error: why the file cannot be read.
    """

    part: Part
    place: str = ""
    above: tuple[str, ...] = ()
    work: works.Work | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a book says of itself, its chapters in reading order, and its files that are no chapter of it."""

    work: works.Work
    chapters: Sequence[Chapter]
    unlisted: Sequence[str] = ()


def tasks(name: str, source: BooksSource) -> list[Task]:
    """One shard per archive; other books are put together by the hashes of their names. Raises InputError."""
    own = BooksSettings(**{key: getattr(source, key) for key in BooksSettings.model_fields})
    found = {file.name: file for file in find(source.paths)}
    links = [key for key, file in found.items() if file.link and _format(key)]
    packed = [key for key, file in found.items() if archive.is_archive(key) and not file.link]
    shards = [
        Task(STAGE, own, (found[key].external(),), f"{name}/{key}", extra(name, archive=key, **_pdfium()))
        for key in packed
    ]
    loose = [key for key, file in found.items() if not file.link and key not in packed]
    books = {book.name: book for book in [*_books(loose), *(Book(key, "link", [key]) for key in links)]}
    documents = {key: (book.kind, book.files) for key, book in books.items()}
    for bits, rows, inputs in gathered.shards(documents, found, own.max_bytes, MAX_BOOK):
        for row in rows:
            # A book that lies in the source's own folder is called as the folder is.
            if row[0] == ".":
                row[0] = posixpath.basename(found[books["."].files[0]].root.rstrip("/")) or "book"
        more = _pdfium() if any(row[1] == "pdf" for row in rows) else {}
        shards.append(Task(STAGE, own, inputs, f"{name}/{bits}", extra(name, books=rows, **more)))
    return shards


def _pdfium() -> dict[str, Any]:
    """The version of the library that reads PDF, where it is installed; its text changes with it."""
    try:
        return {"libraries": library_versions(("pypdfium2",))}
    except ModuleNotFoundError:
        return {}


def _format(name: str) -> str | None:
    """What a file is by its name; None for what is no book's."""
    if _COLLECTION.search(name):
        return "cnxml"
    if _LICENSES.search(name) and not name.endswith(".tex"):
        return "license"
    if posixpath.basename(name) in booktree.MARKERS:
        return "markdown"
    return _FORMATS.get(posixpath.splitext(name)[1].lower())


def _books(names: Iterable[str]) -> list[Book]:
    """The books that files make, in the order of names."""
    kinds = {name: kind for name in sorted(names) if (kind := _format(name))}
    found: dict[str, Book] = {}

    def claim(folder: str, kind: str, kinds_of: Sequence[str]) -> None:
        """All files of these kinds in and below a folder, but for those of another book already, are one book."""
        prefix = f"{folder}/" if folder else ""
        files = [name for name, format in kinds.items() if name.startswith(prefix) and format in kinds_of]
        book = found.setdefault(folder or ".", Book(folder or ".", kind))
        book.files += files
        for name in files:
            del kinds[name]

    for name in [name for name in kinds if _COLLECTION.search(name)]:
        if name in kinds:
            folder = posixpath.dirname(name)
            folder = posixpath.dirname(folder) if posixpath.basename(folder) == "collections" else folder
            claim(folder, "cnxml", ("cnxml",))
            whole = found.pop(folder or ".")
            collections = [file for file in whole.files if _COLLECTION.search(file)]
            # Collections may share modules; each is a book.
            for one in collections:
                called = whole.name if len(collections) == 1 else one
                found[called] = Book(called, "cnxml", whole.files)
    for name in [name for name, kind in kinds.items() if kind == "epub_folder"]:
        claim(posixpath.dirname(name), "epub_folder", ("epub_folder", "html"))
    # A book within a book, as translations are, is one of its own.
    for folder in reversed(_tops([name for name, kind in kinds.items() if kind == "markdown"])):
        claim(folder, "tree", ("markdown",))
    for folder in _tops([name for name, kind in kinds.items() if kind == "latex"]):
        claim(folder, "latex", ("latex",))
    for folder in _tops([name for name, kind in kinds.items() if kind == "html"]):
        prefix = f"{folder}/" if folder else ""
        inside = [name for name, kind in kinds.items() if kind == "html" and name.startswith(prefix)]
        by_folder = Counter(posixpath.dirname(name) for name in inside)
        if max(by_folder.values()) > 1:
            claim(folder, "tree", ("html",))
    for name, kind in kinds.items():
        if kind != "license":
            found[name] = Book(name, kind, [name])
    return [found[name] for name in sorted(found)]


def _tops(names: Sequence[str]) -> list[str]:
    """Folders with an index of the files, and the highest that hold some and have no index above or below; the highest
    come first."""
    folders = {posixpath.dirname(name) for name in names}
    marked = {posixpath.dirname(name) for name in names if posixpath.basename(name) in booktree.MARKERS}
    tops: list[str] = []
    for folder in sorted(folders, key=lambda folder: (folder.count("/") if folder else -1, folder)):
        above = [top for top in tops if not top or folder == top or folder.startswith(f"{top}/")]
        is_apart = not above and not any(mark.startswith(f"{folder}/" if folder else "") for mark in marked)
        if folder in marked or is_apart:
            tops.append(folder)
    return tops


def run(work: Work) -> None:
    """Read the books of one shard."""
    rows = Rows(work, "books")
    if (name := work.extra.get("archive")) is not None:
        _archive(rows, name, work, work.settings)
        work.advance(bytes=work.inputs[0].bytes)
    else:
        for name, kind, data in gathered.loose(work, rows, work.extra["books"]):
            _read(rows, Book(name, kind, list(data)), data, "", work.settings)
    rows.close()


def _archive(rows: Rows, name: str, work: Work, settings: BooksSettings) -> None:
    """The books of an archive. Those of one file are read as they come, the others when all of it is there."""
    kept, passed = Kept(MAX_BOOK), Counter[str]()

    def wanted(member: str) -> bool:
        if _format(member) and not posixpath.basename(member).startswith("._"):
            return True
        passed[posixpath.splitext(member)[1].lower()[:10] or "none"] += 1
        return False

    try:
        for member in gathered.members(work, name, settings.max_bytes, wanted):
            address = f"{name}#{member.name}"
            if isinstance(member, archive.Unread):
                if rows.enter(address):
                    if member.rule:
                        bound = settings.max_bytes if member.rule == "too_large" else None
                        rows.remove(member.rule, member.bytes if bound else None, bound)
                    else:
                        rows.fail(member.error)
            elif (kind := _format(member.name)) in ("text", "epub", "pdf"):
                if rows.enter(address):
                    book = Book(member.name, str(kind), [member.name])
                    _read(rows, book, {member.name: member.data}, f"{name}#", settings)
            else:
                kept.add(member)
            rows.leave()
    except MarkupError as error:
        if rows.enter(name):
            rows.fail(str(error))
        rows.leave()

    def divide(names: set[str]) -> Iterator[tuple[Book, list[str]]]:
        return ((book, book.files) for book in _books(names))

    def again(wanted: Callable[[str], bool]) -> Iterator[archive.Member | archive.Unread]:
        return gathered.members(work, name, settings.max_bytes, wanted)

    for book, files in kept.documents(divide, again, MAX_BOOK):
        if book.name == ".":
            book.name = name
        if rows.enter(name if book.name == name else f"{name}#{book.name}"):
            if files is None:
                rows.remove("too_large", bound=MAX_BOOK)
            else:
                _read(rows, book, files, f"{name}#", settings)
        rows.leave()
    rows.work.note("passed_over", dict(sorted(passed.items())))


# Books.


def _read(rows: Rows, book: Book, data: Mapping[str, bytes], container: str, settings: BooksSettings) -> None:
    """End the row of a book with its first chapter, and add a row for each of the others.

    container: what addresses begin with: an archive's name and `#`, or nothing.
    """
    address = book.name if container == f"{book.name}#" else f"{container}{book.name}"
    folder = f"{book.name}/" if all(name.startswith(f"{book.name}/") for name in data) else ""
    payload = b"".join(name.encode("utf-8", "replace") + b"\0" + data[name] for name in sorted(data))
    payload = next(iter(data.values())) if len(data) == 1 else payload
    parent = document_id(address, 0, payload)
    try:
        found = _parsed(book, {name.removeprefix(folder): content for name, content in data.items()}, settings)
    except (MarkupError, RecursionError) as error:
        rows.fail(str(error) or type(error).__name__, id=parent)
        return
    if not found.chapters:
        rows.remove("no_text" if book.kind in ("text", "epub", "pdf", "html") else "not_a_book", id=parent)
    for number, chapter in enumerate(found.chapters):
        if number:
            whole = address if len(data) == 1 else f"{container}{folder}".rstrip("#/") or book.name
            mark = "#" if len(data) == 1 or not chapter.place or not (folder or container) else "/"
            mark = "#" if whole == container.rstrip("#") else mark
            if not rows.enter(f"{whole}{mark}{chapter.place or f'part={number}'}"):
                continue
        # The first chapter's id stands for the whole payload, so that a large book is hashed once.
        id = document_id(address, number, parent) if number else parent
        if chapter.error:
            rows.fail(chapter.error, id=id)
        else:
            _keep(rows, found.work, chapter, number, parent, id, book, settings)
    for name in found.unlisted:
        if rows.enter(f"{container}{folder}{name}"):
            rows.remove("unlisted")


def _keep(
    rows: Rows, made: works.Work, chapter: Chapter, number: int, parent: bytes, id: bytes, book: Book,
    settings: BooksSettings,
) -> None:  # fmt: skip
    """End the row of a chapter."""
    part, own = chapter.part, chapter.work or works.Work()
    if (part.matter == "front" and not settings.front) or (part.matter == "back" and not settings.back):
        rows.remove(part.matter, id=id)
        return
    published = own.published or made.published
    rows.keep(
        id,
        works.written(part.blocks),
        grouping(
            settings.group, book.name, f"gutenberg:{ebook}" if (ebook := made.meta.get("gutenberg")) else book.name
        ),
        {
            **made.meta,
            **own.meta,
            "book": made.title,
            "chapters": list(chapter.above),
            "declared_language": own.language or made.language,
            "file": chapter.place,
            "format": book.kind,
            "matter": part.matter,
            "title": part.title,
        },
        part=number,
        parent=parent if number else None,
        url=made.url,
        published=published,
        date_method="book metadata" if published else None,
        license=own.license or made.license or settings.license,
    )


def _parsed(book: Book, data: Mapping[str, bytes], settings: BooksSettings) -> Contents:
    """What the files of a book hold. Raises MarkupError."""
    if book.kind == "cnxml":
        return _openstax(data, book.name)
    if book.kind == "epub_folder":
        return _package(data)
    if book.kind == "tree":
        return _tree(data)
    if book.kind == "markdown":  # a single file, beside a book and not in it
        alone = _tree(data)
        return Contents(alone.work, alone.chapters)
    if book.kind == "latex":
        return _latex(data, book.name)
    (content,) = data.values()
    if content.startswith(b"%PDF-"):
        made, found = pdf.read(content)
        return Contents(made, [Chapter(part) for part in found])
    if book.kind == "epub":
        return _chapters(*epub.read(content))
    if book.kind == "pdf":
        raise MarkupError("not a PDF")
    if len(content) > MAX_BOOK:
        raise MarkupError(f"a text of {len(content)} bytes, over the limit of {MAX_BOOK}")
    text = charset.decode(content, html=book.kind == "html").text
    if book.kind == "html":
        root = xhtml.tree(content, text)
        blocks = xhtml.blocks(root)
        made = gutenberg.described("\n\n".join(block.text for block in blocks))
        made.title = made.title or xhtml.page_title(root)
        return Contents(made, [Chapter(part) for part in parts.chapters(gutenberg.cut_blocks(blocks))])
    made = gutenberg.work(text, settings.unwrap)
    return Contents(made, [Chapter(part) for part in parts.chapters(made.blocks)])


def _openstax(data: Mapping[str, bytes], name: str) -> Contents:
    """The modules of a collection. name: of the book, which ends with the collection's where there are several."""
    known = {posixpath.basename(posixpath.dirname(file)): file for file in data if file.endswith(".cnxml")}
    found = {file: cnxml.collection(xml.parse(data[file])) for file in sorted(data) if _COLLECTION.search(file)}
    if not found:
        return Contents(works.Work(), [])
    first = min(found)
    own = next((file for file in found if name.endswith(file)), first)
    made, modules = found[own]
    read = []
    for module in modules:
        if (file := known.get(module.name)) is not None:
            text = cnxml.module(xml.parse(data[file]))
            blocks = [works.Block(text.title, 1), *text.blocks] if text.title else text.blocks
            read.append((text, Part(text.title, "body", blocks), file, module.chapters))
    kinds = parts.matters([part.title for _, part, _, _ in read])
    chapters = [
        Chapter(Part(part.title, "body" if above else kind, part.blocks), file, above, text)
        for kind, (text, part, file, above) in zip(kinds, read, strict=True)
    ]
    listed = {known.get(module.name) for _, modules in found.values() for module in modules}
    return Contents(made, chapters, sorted(set(known.values()) - listed) if own == first else ())


def _package(data: Mapping[str, bytes]) -> Contents:
    """An EPUB that is not packed."""
    package = min(name for name in data if name.lower().endswith(".opf"))

    def file(name: str) -> bytes:
        if name not in data:
            raise MarkupError(f"{name!r} is not in the book's folder")
        return data[name]

    return _chapters(*epub.package_of(xml.parse(data[package]), posixpath.dirname(package), data, file))


def _chapters(made: works.Work, read: Iterable[epub.Chapter]) -> Contents:
    return Contents(made, [Chapter(one.part, one.path, error=one.error) for one in read])


def _tree(data: Mapping[str, bytes]) -> Contents:
    """A book of many files, each a chapter or a section of one."""

    def text(name: str) -> str:
        return charset.decode(data[name], html=_format(name) == "html").text

    pages = [name for name in data if not _NO_CHAPTER.search(posixpath.basename(name)) or name.endswith("SUMMARY.md")]
    made, read = works.Work(), []
    for entry in booktree.reading_order(pages, text):
        if posixpath.basename(entry.name) in booktree.MARKERS:
            continue
        if _format(entry.name) == "html":
            root = xhtml.tree(data[entry.name], text(entry.name))
            own = works.Work(xhtml.page_title(root), xhtml.blocks(root))
            blocks = own.blocks
        else:
            own = markdown.work(text(entry.name), lambda path: None)
            blocks = [works.Block(own.title, 1), *own.blocks] if own.title else own.blocks
        title = own.title or next((block.text for block in blocks if block.level), "")
        read.append((entry, own, Part(title, "body", blocks)))
    summary = next((text(name) for name in data if posixpath.basename(name) == "SUMMARY.md"), "")
    headed = re.match(r"\s*#\s+(.+)", summary)
    made.title = headed[1].strip() if headed and headed[1].strip().lower() != "summary" else ""
    kinds = parts.matters([part.title for _, _, part in read])
    chapters = [
        Chapter(Part(part.title, kind, part.blocks), entry.name, entry.above, own)
        for kind, (entry, own, part) in zip(kinds, read, strict=True)
    ]
    told = {chapter.place for chapter in chapters} | {n for n in data if posixpath.basename(n) in booktree.MARKERS}
    return Contents(made, chapters, sorted(set(data) - told))


def _latex(data: Mapping[str, bytes], name: str) -> Contents:
    """A book in LaTeX, with the files that it includes. name: of the book."""
    if (packed := next((content for content in data.values() if content.startswith(b"%PDF-")), None)) is not None:
        made, found = pdf.read(packed)
        return Contents(made, [Chapter(part) for part in found])
    texts = {file: charset.decode(content, html=False).text for file, content in data.items()}
    main = latex.main_file(texts)
    if main is None:
        return Contents(works.Work(), [])
    # What the header says stands in comments too, where no command is in its way.
    said = gutenberg.described("\n".join(line.strip("% \t\r") for line in texts[main][:_HEADER].split("\n")))
    if "gutenberg" not in said.meta and (edition := _EDITION.search(posixpath.join(name, main))):
        said.meta["gutenberg"], said.url = edition[1], gutenberg.page_of(edition[1])
    texts[main] = _BOILERPLATE.sub("", texts[main], 1)
    made = latex.work(texts, main, jats.Include())
    said.title = said.title or made.title
    return Contents(said, [Chapter(part) for part in parts.chapters(gutenberg.cut_blocks(made.blocks))])


STAGE = Stage("read", 7, run, ledger=True)

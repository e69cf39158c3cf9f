"""EPUB 2 and 3: the files of the spine, in its order. The archive is read in memory; no path of it is ever opened."""

from __future__ import annotations

import io
import posixpath
import unicodedata
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from firn.data import charset
from firn.data.markup import gutenberg, licenses, xhtml
from firn.data.markup.archive import BROKEN, directory_bytes, unzipped
from firn.data.markup.parts import Matter, Part, chapters, matters
from firn.data.markup.work import Block, MarkupError, Work, date, one_line
from firn.data.markup.xml import Element, parse

MAX_FILE = 32 << 20  # bytes of one file of the book, unpacked
MAX_TOTAL = 64 << 20  # of all that are read
MAX_RATIO = 200  # unpacked to packed, of a file of more than a megabyte
MAX_FILES = 20_000
MAX_PARAGRAPHS = 250_000  # of the book; all are held while its files are read
MAX_DIRECTORY = 8 << 20  # bytes of the archive's directory, which is held whole
_ENCRYPTION = "META-INF/encryption.xml"

_FRONT = (
    "frontmatter", "titlepage", "halftitlepage", "copyright-page", "dedication", "epigraph", "foreword", "preface",
    "acknowledgments", "toc", "landmarks", "loi", "lot", "imprint", "imprimatur", "cover", "seriespage", "contributors",
)  # fmt: skip
_BACK = (
    "backmatter", "appendix", "index", "glossary", "bibliography", "colophon", "endnotes", "rearnotes", "footnotes",
    "afterword", "other-credits", "errata", "answers", "copyright-page-back",
)  # fmt: skip
_FEW_FILES = 4


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the book, and the file within it that holds the part. error: why the file cannot be read."""

    path: str
    part: Part
    error: str = ""


def read(data: bytes) -> tuple[Work, list[Chapter]]:
    """What the package says of the book, and its parts.

    Raises MarkupError for what is no EPUB, is encrypted or beyond the limits, or where none of its files can be read.
    """
    try:
        if (size := directory_bytes(io.BytesIO(data))) > MAX_DIRECTORY:
            raise MarkupError(f"its directory is {size} bytes long, at most {MAX_DIRECTORY} are read")
        archive = zipfile.ZipFile(io.BytesIO(data))
    except BROKEN as error:
        raise MarkupError(f"not an EPUB: {error}") from None
    with archive:
        names = archive.namelist()
        if len(names) > MAX_FILES:
            raise MarkupError(f"more than {MAX_FILES} files in the archive")
        files = _Files(archive)
        container = parse(files.read("META-INF/container.xml"))
        package = next((e.attributes.get("full-path", "") for e in container.all("rootfile")), "")
        encrypted = parse(files.read(_ENCRYPTION)) if _ENCRYPTION in names else Element("")
        locked = {
            posixpath.normpath(unquote(reference.attributes.get("URI", "")))
            for reference in encrypted.all("CipherReference")
        }
        if package in locked:
            raise MarkupError("encrypted")
        return package_of(parse(files.read(package)), posixpath.dirname(package), names, files.read, locked)


class _Files:
    """The files of an archive, each unpacked within limits."""

    def __init__(self, archive: zipfile.ZipFile):
        self._archive, self._total = archive, 0

    def read(self, name: str) -> bytes:
        try:
            info = self._archive.getinfo(name)
        except KeyError:
            raise MarkupError(f"{name!r} is not in the archive") from None
        if self._total >= MAX_TOTAL:
            raise MarkupError(f"the book unpacks to more than {MAX_TOTAL} bytes")
        limit = min(MAX_FILE, MAX_TOTAL - self._total, max(1 << 20, MAX_RATIO * info.compress_size))
        try:
            data = unzipped(self._archive, info, limit)
        except MarkupError as error:
            self._total += min(info.file_size, limit)  # what it may have unpacked to before it broke off
            raise MarkupError(f"{name!r} {error}") from None
        self._total += len(data)
        if len(data) > limit:
            raise MarkupError(f"{name!r} unpacks to more than {limit} bytes")
        return data


def package_of(
    package: Element,
    folder: str,
    names: Collection[str],
    file: Callable[[str], bytes],
    locked: Collection[str] = (),
) -> tuple[Work, list[Chapter]]:
    """The book of an unpacked or packed EPUB.

    folder: where the package lies; names: the paths of files; file: gives one, or raises MarkupError; locked: paths of
    those that are encrypted. Raises MarkupError for a book that is encrypted, or of which no file can be read.
    """
    work = _described(package)
    known = {_folded(name): name for name in names}
    pages: dict[str, tuple[list[Block], str, str]] = {}
    errors: dict[str, str] = {}
    count = 0
    for path in _spine(package, folder):
        path = path if path in names else known.get(_folded(path), path)
        if path in locked:
            raise MarkupError("encrypted")
        if path in pages:
            continue  # a file stands in the spine once
        try:
            if path.startswith(("../", "/")):
                raise MarkupError("the spine names a file outside of the book")
            data = file(path)
            root = xhtml.tree(data, charset.decode(data).text)
            blocks = xhtml.blocks(root)
            count += len(blocks)
            if count > MAX_PARAGRAPHS:
                raise MarkupError(f"more than {MAX_PARAGRAPHS} paragraphs in the book")
            pages[path] = blocks, xhtml.page_title(root), _semantics(root)
        except (MarkupError, RecursionError) as error:
            errors[path] = str(error)
            pages[path] = [], "", ""
    if errors and len(errors) == len(pages):
        raise MarkupError(next(iter(errors.values())))
    cut = dict(zip(pages, gutenberg.cut_files([blocks for blocks, _, _ in pages.values()]), strict=True))
    # A book of a few files has its chapters within them.
    whole = sum(map(bool, cut.values())) < _FEW_FILES
    parts = [
        (path, _parts(cut[path], title, whole), semantics)
        for path, (_, title, semantics) in pages.items()
        if cut[path] or path in errors
    ]
    return work, [Chapter(path, part, errors.get(path, "")) for path, part in _with_matter(parts)]


def _spine(package: Element, folder: str) -> Iterator[str]:
    """The paths of the pages in reading order. A name that the manifest does not know stands as it is."""
    manifest = {
        item.attributes.get("id", ""): item.attributes for item in package.all("item") if "href" in item.attributes
    }
    for count, reference in enumerate(package.all("itemref")):
        if count >= MAX_FILES:
            raise MarkupError(f"more than {MAX_FILES} files in the spine")
        name = reference.attributes.get("idref", "")
        item = manifest.get(name, {"href": name})
        if "nav" not in item.get("properties", "").split() and "html" in item.get("media-type", "html"):
            yield posixpath.normpath(posixpath.join(folder, unquote(item["href"])))


def _folded(path: str) -> str:
    """What two spellings of a path have in common that some file systems do not tell apart."""
    return unicodedata.normalize("NFC", path).casefold()


def _parts(blocks: Sequence[Block], title: str, whole: bool) -> list[Part]:
    """One part for a file, or several where the file holds several chapters."""
    if whole and sum(block.level == 1 for block in blocks) > 1:
        return chapters(blocks)
    own = next((one_line(block.text) for block in blocks if block.level), title)
    return [Part(own, "body", blocks)]


def _with_matter(found: Sequence[tuple[str, list[Part], str]]) -> list[tuple[str, Part]]:
    """Parts with the matter that their files claim, or else what their titles and order say."""
    told: list[Matter | None] = []
    for _, parts, semantics in found:
        kinds = semantics.split()
        claim: Matter | None = "body" if "bodymatter" in kinds or "chapter" in kinds else None
        claim = "front" if any(kind in _FRONT for kind in kinds) else claim
        claim = "back" if any(kind in _BACK for kind in kinds) else claim
        told += [claim] * len(parts)
    flat = [(path, part) for path, parts, _ in found for part in parts]
    kinds_of = [claim or guess for claim, guess in zip(told, matters([p.title for _, p in flat]), strict=True)]
    last = max((place for place, kind in enumerate(kinds_of) if kind == "body"), default=len(flat))
    return [
        (path, Part(part.title, "back" if kind == "front" and place > last else kind, part.blocks))
        for place, ((path, part), kind) in enumerate(zip(flat, kinds_of, strict=True))
    ]


def _semantics(root: Element) -> str:
    """What the file says it is: `epub:type` of its body, and of the section in it if there is only one."""
    body = next(root.all("body"), root)
    sections = [element for element in body.elements() if element.name in ("section", "article")]
    kinds = [element.attributes.get("epub:type", "") for element in (body, *(sections if len(sections) == 1 else ()))]
    return " ".join(kinds)


def _described(package: Element) -> Work:
    texts: dict[str, list[str]] = {}
    dates: dict[str, datetime] = {}
    metadata = next(package.all("metadata"), Element(""))
    for element in metadata.walk():
        text = one_line(element.content)
        if text:
            texts.setdefault(element.attributes.get("property") or element.name, []).append(text)
        if element.name == "date" and (when := date(text)):
            dates.setdefault(element.attributes.get("opf:event", ""), when)

    def first(name: str) -> str:
        return next(iter(texts.get(name, [])), "")

    work = Work(title=first("title"), language=first("language") or None)
    rights = " ".join([*texts.get("rights", []), *texts.get("dcterms:rights", []), *texts.get("license", [])])
    links = [e.attributes.get("href", "") for e in metadata.all("link") if "license" in e.attributes.get("rel", "")]
    work.license = next(filter(None, map(licenses.from_url, links)), None) or licenses.from_text(rights)
    free = work.license in ("public-domain", "CC0-1.0", "CC-PDM-1.0")
    own = dates.get("original-publication") or dates.get("creation")
    issued = dates.get("publication") or dates.get("")
    # The date of an edition of a book in the public domain says nothing of when the book was written.
    work.published = own or (None if free else issued)
    meta: dict[str, str | None] = {
        "author": "; ".join(texts.get("creator", [])) or None,
        "identifier": first("identifier") or None,
        "publisher": first("publisher") or None,
        "edition": issued.date().isoformat() if issued and work.published != issued else None,
    }
    work.meta = {name: value for name, value in meta.items() if value}
    # Its own address, or else that of the book that it was made of.
    urls = [text for text in [*texts.get("identifier", []), *texts.get("source", [])] if text.startswith("http")]
    work.url = next(iter(urls), None)
    number = next(filter(None, map(gutenberg.number_of, urls)), None)
    if number:
        work.meta["gutenberg"] = number
        work.url = gutenberg.page_of(number) if gutenberg.number_of(work.url) else work.url
    return work

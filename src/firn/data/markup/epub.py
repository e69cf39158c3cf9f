"""EPUB 2 and 3: the files of the spine, in its order. The archive is read in memory; no path of it is ever opened."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from firn.data import charset
from firn.data.markup import licenses, xhtml
from firn.data.markup.archive import BROKEN, unzipped
from firn.data.markup.parts import Matter, Part, chapters, matters
from firn.data.markup.work import Block, MarkupError, Work, date, one_line
from firn.data.markup.xml import Element, parse

MAX_FILE = 32 << 20  # bytes of one file of the book, unpacked
MAX_TOTAL = 128 << 20  # of all that are read
MAX_RATIO = 200  # unpacked to packed, of a file of more than a megabyte
MAX_FILES = 20_000

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
    """A part of the book, and the file within it that holds the part."""

    path: str
    part: Part


def read(data: bytes) -> tuple[Work, list[Chapter]]:
    """What the package says of the book, and its parts. Raises MarkupError for what is no EPUB or beyond the limits."""
    try:
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
        return package_of(parse(files.read(package)), posixpath.dirname(package), files.read)


class _Files:
    """The files of an archive, each unpacked within limits."""

    def __init__(self, archive: zipfile.ZipFile):
        self._archive, self._total = archive, 0

    def read(self, name: str) -> bytes:
        try:
            info = self._archive.getinfo(name)
        except KeyError:
            raise MarkupError(f"{name!r} is not in the archive") from None
        limit = min(MAX_FILE, MAX_TOTAL - self._total)
        limit = min(limit, max(1 << 20, MAX_RATIO * info.compress_size))
        try:
            data = unzipped(self._archive, info, limit)
        except MarkupError as error:
            raise MarkupError(f"{name!r} {error}") from None
        if len(data) > limit:
            raise MarkupError(f"{name!r} unpacks to more than {limit} bytes")
        self._total += len(data)
        return data


def package_of(package: Element, folder: str, file: Callable[[str], bytes]) -> tuple[Work, list[Chapter]]:
    """The book of an unpacked or packed EPUB. folder: where the package lies; file: gives a file by its path."""
    work = _described(package)
    manifest = {
        item.attributes.get("id", ""): item.attributes for item in package.all("item") if "href" in item.attributes
    }
    found: list[tuple[str, Sequence[Block], str, str]] = []
    for reference in package.all("itemref"):
        item = manifest.get(reference.attributes.get("idref", ""))
        if item is None or "nav" in item.get("properties", "").split() or "html" not in item.get("media-type", "html"):
            continue
        path = posixpath.normpath(posixpath.join(folder, unquote(item["href"])))
        if path.startswith(("../", "/")):
            raise MarkupError(f"its spine names a file outside of the book: {path[:200]}")
        data = file(path)
        root = xhtml.tree(data, charset.decode(data).text)
        blocks = xhtml.blocks(root)
        if blocks:
            found.append((path, blocks, xhtml.page_title(root), _semantics(root)))
    # A book of a few files has its chapters within them.
    whole = len(found) < _FEW_FILES
    return work, list(_with_matter([(path, _parts(blocks, title, whole), kind) for path, blocks, title, kind in found]))


def _parts(blocks: Sequence[Block], title: str, whole: bool) -> list[Part]:
    """One part for a file, or several where the file holds several chapters."""
    if whole and sum(block.level == 1 for block in blocks) > 1:
        return chapters(blocks)
    own = next((one_line(block.text) for block in blocks if block.level), title)
    return [Part(own, "body", blocks)]


def _with_matter(found: Sequence[tuple[str, list[Part], str]]) -> list[Chapter]:
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
        Chapter(path, Part(part.title, "back" if kind == "front" and place > last else kind, part.blocks))
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
    urls = [e.attributes.get("href", "") for e in metadata.all("link") if "license" in e.attributes.get("rel", "")]
    work.license = next(filter(None, (licenses.from_url(url) for url in urls)), None) or licenses.from_text(rights)
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
    work.url = next(
        (text for text in [*texts.get("source", []), *texts.get("identifier", [])] if text.startswith("http")), None
    )
    return work

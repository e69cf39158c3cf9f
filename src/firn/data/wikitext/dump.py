"""A MediaWiki XML dump as a stream of pages (https://www.mediawiki.org/wiki/Help:Export, export-0.3 to 0.11).

A page is cut out of the stream by its tags and parsed alone. So one broken page fails alone, memory is bounded by the
largest page allowed, and no document type, hence no entity of its own, is ever read: within a page they are errors.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO
from xml.etree import ElementTree

from firn.data.wikitext.packed import Cut, Piece, unpack
from firn.data.wikitext.site import Site

# Bytes of a page that is too large that are kept, to say which one it was.
_HEAD = 1 << 12
_MAX_HEADER = 1 << 20
_NONE = Site()
# Bytes between pages that are held back: the longest tag that is looked for may begin in them.
_TAIL = 32
# The text of a page is escaped, so that a page has some thirty tags; a million would take a gigabyte to hold.
_MAX_TAGS = 1000
_OPEN = re.compile(rb"<page[\s>]")
_CLOSE = b"</page>"
_END = b"</mediawiki>"
_REVISION = b"<revision>"
_LANGUAGE = re.compile(rb"<mediawiki[^>]{0,2000}xml:lang=[\"']([A-Za-z-]{1,20})")
_ENCODING = re.compile(rb"\s*<\?xml[^>]{0,200}encoding=[\"']([A-Za-z0-9._-]{1,40})")
_TITLE = re.compile(rb"<title>([^<]{1,1000})</title>")
_ID = re.compile(rb"<id>(\d{1,18})</id>")


@dataclass(frozen=True)
class Page:
    """A page with its last revision.

    namespace: None where the dump says none (export-0.5 and before). timestamp: as in the dump, ISO 8601.
    redirect: the dump says that it is one. block: where in the file reading can begin to come to this page: offset of
    the compressed stream that it begins in, or of the page itself in a plain file. bytes: of its XML.
    """

    title: str
    namespace: int | None
    id: int
    revision: int
    timestamp: str | None
    redirect: bool
    model: str
    text: str
    block: int
    bytes: int


@dataclass(frozen=True)
class Broken:
    """What could not be read: a page, or the rest of the dump. too_large: it is a page over the limit. title, id: where
    they could be made out."""

    error: str
    title: str | None
    id: int | None
    block: int
    bytes: int
    too_large: bool = False


class Dump:
    """The pages of a dump, in its order, each once, and what could not be read.

    stream: the file, plain, bz2 (multistream too), xz or gzip; in UTF-8, or what its declaration or byte order mark
    says. max_bytes: larger pages are `Broken`; memory is a small multiple of it. site: what the dump says of its
    wiki; known from the first page on. Raises what `stream` raises.

    A part of a dump: `stream` begins at the offset `start`, where a compressed stream does, and is read up to the first
    page that begins at `stop` or later; `site` is then given. So each page is in one part, whatever it spans.
    """

    def __init__(self, stream: BinaryIO, max_bytes: int, start: int = 0, stop: int | None = None, site: Site = _NONE):
        self.site = site
        self._start, self._stop = start, stop
        self._piece_at = 0  # in the unpacked dump, of the last piece
        self._last_block: int | None = None  # of the piece before it
        self._file = _Counted(stream)
        self._pieces = utf8(unpack(self._file, search=True))
        self._limit = max_bytes
        self._buffer = bytearray()
        self._position = 0  # of the buffer, in the unpacked dump
        self._inside = False  # a page, whose begin is the begin of the buffer
        self._head: bytes | None = None  # of a page that is too large
        self._searched = 0  # bytes of the buffer in which the page does not end
        self._block = 0
        self._bytes = 0  # of the page, that are in the buffer no longer

    @property
    def position(self) -> int:
        """Bytes of the file that are read so far."""
        return self._file.count

    def __iter__(self) -> Iterator[Page | Broken]:
        header: bytearray | None = None if self._start else bytearray()
        for piece in self._moved():
            if isinstance(piece, Cut):
                if self._stop is not None and piece.block >= self._stop and not self._inside:
                    return
                yield self._break_off(piece.error, piece.block)
                if piece.final:
                    return
                continue
            self._piece_at = self._position + len(self._buffer)
            self._buffer += piece.data
            while True:
                if not self._inside:
                    before, begins = self._open(piece.block)
                    if begins and self._stop is not None and self._block >= self._stop:
                        return
                    if header is not None:
                        header += before[: _MAX_HEADER - len(header)]
                    if not begins:
                        break
                    if header is not None:
                        self.site, header = _site(bytes(header)), None
                page = self._close()
                if page is None:
                    break
                yield page
            self._last_block = piece.block
        if header is not None:
            yield self._break_off("no page in it: not a MediaWiki XML dump?", 0)
        elif self._inside or (self._stop is None and _END not in self._buffer):
            yield self._break_off("the dump breaks off before its end", self._block)

    def _moved(self) -> Iterator[Piece | Cut]:
        """The pieces, at their offsets in the whole file."""
        for piece in self._pieces:
            if isinstance(piece, Cut):
                yield piece.moved(self._start)
            else:
                yield piece if piece.block is None else replace(piece, block=piece.block + self._start)

    def _open(self, block: int | None) -> tuple[bytes, bool]:
        """Go to the next page; returns what lies before, and whether one begins in the buffer."""
        found = _OPEN.search(self._buffer)
        start = found.start() if found else max(0, len(self._buffer) - _TAIL)
        before = bytes(self._buffer[:start])
        del self._buffer[:start]
        self._position += start
        if found:
            self._inside, self._head, self._searched, self._bytes = True, None, 0, 0
            # The tag may have begun in the piece before.
            block = self._last_block if self._position < self._piece_at and self._last_block is not None else block
            self._block = self._position if block is None else block
        return before, found is not None

    def _close(self) -> Page | Broken | None:
        """The page, if it ends in the buffer."""
        end = self._buffer.find(_CLOSE, self._searched)
        if end < 0:
            self._searched = max(0, len(self._buffer) - len(_CLOSE))
            if len(self._buffer) > self._limit:
                self._shorten()
            return None
        end += len(_CLOSE)
        data = bytes(memoryview(self._buffer)[:end])
        del self._buffer[:end]
        self._position += end
        self._bytes += end
        self._inside = False
        if self._head is not None or len(data) > self._limit:
            return self._broken("the page is too large", self._head or data, too_large=True)
        try:
            return _page(data, self._block, self._bytes)
        except (ElementTree.ParseError, ValueError) as error:
            return self._broken(f"not the XML of a page: {error}", data)

    def _shorten(self) -> None:
        """Of a page that outgrows the limit, drop all revisions but the last; if there is one only, the page."""
        first, last = self._buffer.find(_REVISION), self._buffer.rfind(_REVISION)
        if first == last or len(self._buffer) - (last - first) > self._limit:
            self._head = self._head or bytes(self._buffer[:_HEAD])
            first, last = 0, self._searched
        del self._buffer[first:last]
        self._searched -= last - first
        self._position += last - first
        self._bytes += last - first

    def _break_off(self, error: str, block: int) -> Broken:
        """Give up what is in the buffer."""
        if self._inside:
            data, block = self._head or bytes(self._buffer), self._block
        else:
            data = b""
        broken = Broken(error, _title(data), _id(data), block, len(self._buffer))
        self._position += len(self._buffer)
        self._buffer.clear()
        self._inside = False
        return broken

    def _broken(self, error: str, data: bytes, too_large: bool = False) -> Broken:
        return Broken(error, _title(data), _id(data), self._block, self._bytes, too_large)


class _Counted:
    """A stream that knows how much of it was read."""

    def __init__(self, stream: BinaryIO):
        self._stream, self.count = stream, 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data


def utf8(pieces: Iterator[Piece | Cut]) -> Iterator[Piece | Cut]:
    """The pieces in UTF-8, whatever the dump is in. Bytes that are not in its encoding become U+FFFD."""
    decoder: codecs.IncrementalDecoder | None = None
    first = True
    for piece in pieces:
        if isinstance(piece, Piece):
            if first:
                decoder, first = _decoder(piece.data), False
            if decoder:
                # Offsets in the file are lost, so that a plain file is read from its begin.
                text = decoder.decode(piece.data)
                piece = Piece(text.encode("utf-8", "replace"), piece.block or 0)
        yield piece


def _decoder(head: bytes) -> codecs.IncrementalDecoder | None:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name = "utf-16"
    elif head[:2] in (b"<\x00", b"\x00<"):
        name = "utf-16-le" if head[1] == 0 else "utf-16-be"
    else:
        found = _ENCODING.match(head)
        name = found[1].decode().lower() if found else "utf-8"
    try:
        decoder = codecs.getincrementaldecoder(name)("replace")
        decoder.decode(b"")
    except (LookupError, AttributeError, TypeError):
        return None
    return None if codecs.lookup(name).name == "utf-8" else decoder


def _page(data: bytes, block: int, length: int) -> Page:
    """The last revision of the page in `data`. Raises ParseError, and ValueError where it lacks what a page has."""
    if b"<!DOCTYPE" in data[:_HEAD]:
        raise ValueError("a document type within a page")
    first, last = data.find(_REVISION), data.rfind(_REVISION)
    if first != last:
        data = data[:first] + data[last:]
    if data.count(b"<") > _MAX_TAGS:
        raise ValueError(f"more than {_MAX_TAGS} tags")
    page = ElementTree.fromstring(data)
    revision = page.find("revision")
    title, number = page.findtext("title"), page.findtext("id")
    if title is None or number is None or revision is None:
        raise ValueError("title, id or revision is missing")
    space = page.findtext("ns")
    return Page(
        title,
        int(space) if space else None,
        int(number),
        int(revision.findtext("id") or 0),
        revision.findtext("timestamp"),
        page.find("redirect") is not None,
        revision.findtext("model") or "wikitext",
        revision.findtext("text") or "",
        block,
        length,
    )


def _site(header: bytes) -> Site:
    language = found[1].decode() if (found := _LANGUAGE.search(header)) else None
    start, end = header.find(b"<siteinfo>"), header.find(b"</siteinfo>")
    info = header[start : end + len(b"</siteinfo>")] if 0 <= start < end else b""
    try:
        if not info or info.count(b"<") > _MAX_TAGS:
            return Site(language=language)
        root = ElementTree.fromstring(info)
        spaces = {int(n.get("key", "")): n.text or "" for n in root.iter("namespace")}
    except (ElementTree.ParseError, ValueError):
        return Site(language=language)
    return Site(root.findtext("dbname"), root.findtext("base"), language, spaces)


def _title(data: bytes) -> str | None:
    found = _TITLE.search(data[:_HEAD])
    return found[1].decode("utf-8", "replace") if found else None


def _id(data: bytes) -> int | None:
    found = _ID.search(data[:_HEAD])
    return int(found[1]) if found else None


def site_of(stream: BinaryIO) -> Site | None:
    """What the begin of a dump says of its wiki; None where it is in another encoding than UTF-8, or has no page."""
    head = bytearray()
    for piece in unpack(stream):
        if isinstance(piece, Cut) or (not head and _decoder(piece.data)):
            return None
        head += piece.data
        if found := _OPEN.search(head):
            return _site(bytes(head[: found.start()][:_MAX_HEADER]))
        if len(head) > _MAX_HEADER:
            return None
    return None

"""The raw record behind a document, fetched again by its address.

An address is the name of a file within its source, and behind a `#` the place in it:

    name                            the whole file, or all files of a book or paper that is a folder
    name#bytes=100-199              a record of a WARC file, where it lies
    name#record=7                   the same, where the file is not compressed record by record
    name#archive/m.warc,bytes=0-9   the same, where the file is a WACZ file
    name#bytes=4096-,page=12        a page of a dump, in the compressed stream that begins there
    name#line=3   name#row=3        a line of JSON, a row of a table; from 1
    name#member   name#m#chapter    a file or a folder of an archive, and a file of a packed book in it
    name#commit=1f0e...,path=src/m.py      a file of a git repository
    any of them#part=2              the same record: its second part is a document of its own

A name is looked up among the files that the source lists, and never made a path of, so that no address leads out of
them. What is read, and what is unpacked, is bounded by the source's own `max_bytes`.
"""

from __future__ import annotations

import io
import json
import os
import posixpath
import re
import sysconfig
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import BinaryIO

from firn.core.errors import InputError
from firn.core.files import Files
from firn.core.inputs import opened as open_file
from firn.core.remote import shown
from firn.core.store import Store
from firn.data import tables, wacz
from firn.data.code import git
from firn.data.code.git import Unreadable
from firn.data.compressed import Damaged, opened, plain_name
from firn.data.frames import dictionary, kind_of
from firn.data.markup import archive
from firn.data.markup.work import MarkupError
from firn.data.sources import CodeSource, CommonCrawlSource, FinewebSource, PydocsSource, Source, fineweb, pydocs
from firn.data.sources.crawls import Archive
from firn.data.sources.listing import Found, below, files_of
from firn.data.warc import records
from firn.data.wikitext.dump import utf8
from firn.data.wikitext.packed import Cut, damaged_kind, unpack

#: Files of one record, and their bytes, that are fetched at most.
MAX_FILES, MAX_BYTES = 2_000, 128 << 20

_BYTES = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
_PAGE = re.compile(r"bytes=(\d{1,18})-,page=(\d{1,18})")
_COMMITTED = re.compile(r"(.{1,1000})#commit=([0-9a-f]{40}|[0-9a-f]{64}),path=(.{1,4096})", re.DOTALL)
_NUMBERED = re.compile(r"(record|line|row)=(\d{1,18})(?:-\d{1,18})?")
_PART = re.compile(r"#part=\d{1,18}$")
_WACZ = re.compile(r"(archive/.+),((?:bytes|record)=\d{1,18}(?:-\d{0,18})?)")
_WARC = re.compile(rb"WARC/\d")
_ZIPPED = (".epub", ".zip")
_WARC_TYPES = {"response", "resource", "conversion", "revisit"}


@dataclass(frozen=True)
class Raw:
    """A raw record. where: file and place in it, for people. files: its bytes by name; most records are one file."""

    where: str
    files: Mapping[str, bytes]

    @property
    def data(self) -> bytes:
        """Its bytes; of several files one after the other, each under its name."""
        if len(self.files) == 1:
            return next(iter(self.files.values()))
        return b"\n".join(b"==> " + name.encode() + b" <==\n" + data for name, data in self.files.items())


def raw(address: str, source: Source, store: Store | None = None) -> Raw:
    """The record at an address of a source. store: that of the run, which holds what `pydocs` renders.

    Raises InputError where the source has no such file, or the file no such record, or it cannot be read.
    """
    address = _PART.sub("", address)
    try:
        if isinstance(source, CodeSource) and (match := _COMMITTED.fullmatch(address)):
            return _committed(match[1], match[2], match[3], source)
        for name, place in _splits(address):
            if found := _files(name, source, store):
                return _record(name, place, found, _limit(source), getattr(source, "delimiter", None))
    except (MarkupError, Damaged, Unreadable, OSError, zlib.error) as error:
        raise InputError(f"cannot be fetched again: {error}", where=address, mend="is the file as it was?") from error
    mend = "give an address as `firn why` shows it; files that moved are found no more"
    raise InputError("names no file of its source", where=address, mend=mend)


def _limit(source: Source) -> int:
    return int(getattr(source, "max_bytes", MAX_BYTES))


def _splits(address: str) -> Iterator[tuple[str, str]]:
    """Name and place; the longest name first, as a file's name may hold a `#` too."""
    yield address, ""
    for at in range(len(address) - 1, 0, -1):
        if address[at] == "#":
            yield address[:at], address[at + 1 :]


# Files of sources.


def _files(name: str, source: Source, store: Store | None) -> list[Found]:
    """The source's file of this name, or the files of the folder of this name."""
    if not name or "\x00" in name or ".." in name.split("/") or name.startswith("/"):
        return []
    if isinstance(source, PydocsSource):
        return _rendered(name, store)
    if isinstance(source, CommonCrawlSource):
        if not name.startswith("crawl-data/") or "#" in name:
            return []
        return [Found(Archive(source.base, source.connections).url(name), source.base, name, 0)]
    inside: list[Found] = []
    for file in _listed(source):
        if file.name == name:
            if file.link:
                mend = "take what it points to for a source of its own"
                raise InputError("is a symbolic link, which is never followed", where=name, mend=mend)
            return [file]
        # What is a folder is all of its files, and a book that lies in the source's own folder is called as that is.
        if file.name.startswith(f"{name}/") or posixpath.basename(file.root.rstrip("/")) == name:
            inside.append(file)
    return [] if isinstance(source, CodeSource) else [file for file in inside if not file.link]


def _listed(source: Source) -> Iterator[Found]:
    """The files of a source, by the names that addresses begin with."""
    if isinstance(source, FinewebSource):
        yield from fineweb.listed(source)
        return
    for path in source.paths:  # type: ignore[union-attr]
        # Code in an archive or a table is called as that is; of a folder names begin with the folder's own.
        packed = archive.is_archive(path) or path.lower().endswith((".parquet", ".arrow"))
        if packed or not isinstance(source, CodeSource):
            yield from files_of(path)
        elif path == "stdlib:":
            base = sysconfig.get_path("stdlib")
            packages = [os.path.join(base, name) for name in ("site-packages", "dist-packages")]
            yield from (replace(file, name=f"Lib/{file.name}") for file in below(base, base, packages))
        else:
            for file in files_of(path):
                yield replace(file, name=f"{PurePosixPath(file.root).name or 'root'}/{file.name}")


def _committed(name: str, commit: str, path: str, source: CodeSource) -> Raw:
    """A file as a commit of one of the source's repositories has it."""
    for given in (each for path in source.paths if "://" not in path for each in git.named(path)):
        found = git.repository(given)
        if found is None or found.outside is not None or found.name != name:
            continue
        with git.opened(found, commit) as opened_, opened_.contents() as contents:
            for entry in opened_.entries(commit):
                if entry.path == path and entry.mode.startswith("100"):
                    return Raw(f"{given}, {commit[:12]}", {path: contents.read(entry.hash, source.max_bytes)})
        raise InputError("the commit holds no such file", where=f"{given}: {path}", mend="is the repository as it was?")
    raise InputError("names no repository of its source", where=name, mend="give an address as `firn why` shows it")


def _rendered(name: str, store: Store | None) -> list[Found]:
    """The crawl that was made of this Python's documentation."""
    made = store.lookup("pydocs", pydocs.crawl().fingerprint) if store else None
    if made is None or store is None:
        mend = "run the recipe again with this Python"
        raise InputError("the pages of this Python are not in the run's store", where=name, mend=mend)
    return [Found(str(store.local(made, "crawl")), "", name, 0)] if name == "crawl.warc.gz" else []


# Places in files.


def _record(name: str, place: str, found: list[Found], limit: int, delimiter: str | None) -> Raw:
    """What lies at a place of a file, or of the files of a folder. delimiter: of CSV, where the source names one."""
    if len(found) > 1 or found[0].name != name:
        return _folder(name, place, found, limit)
    path = shown(found[0].path)
    with open_file(found[0].path) as stream:
        if match := _PAGE.fullmatch(place):
            data = _page(stream, int(match[1]), int(match[2]), limit)
        elif match := _BYTES.fullmatch(place):
            data = _range(stream, int(match[1]), int(match[2] or -1), limit)
        elif match := _WACZ.fullmatch(place):
            data = _in_wacz(stream, match[1], match[2], limit)
        elif match := _NUMBERED.fullmatch(place):
            number = int(match[2])
            if match[1] == "record":
                data = _numbered(stream, name, number, limit)
            elif match[1] == "line":
                data = _line(opened(stream, name), number, limit)
            else:
                data = _row(opened(stream, name), name, number, limit, delimiter)
        elif place:
            return Raw(f"{path}, {place}", _members(stream, name, place, limit))
        else:
            data = _whole(opened(stream, name) if not archive.is_archive(name) else stream, limit)
    if data is None:
        raise InputError("the file holds no such record", where=f"{path}, {place}", mend="is the file as it was?")
    return Raw(f"{path}, {place}" if place else path, {name: data})


def _whole(stream: BinaryIO, limit: int) -> bytes:
    """All bytes, or the first `limit`."""
    return stream.read(limit)


def _range(stream: BinaryIO, start: int, last: int, limit: int) -> bytes | None:
    """A WARC record where it lies, unpacked where it is a gzip member of its own, or has frames to itself."""
    stream.seek(start)
    # With headers, and what compression may add.
    most = limit + (1 << 20)
    data = stream.read(min(most, last + 1 - start) if last >= 0 else most)
    if data.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31).decompress(data, most)
    # Only the first frame of a file may have no header that is whole.
    if kind_of(data) is None and not (start == 0 and damaged_kind(data, _WARC)):
        return data or None
    stream.seek(0)
    out = bytearray()
    for piece in unpack(io.BytesIO(dictionary(stream) + data), search=True):
        if isinstance(piece, Cut):
            raise Damaged(piece.reason)
        out += piece.data
        if len(out) > most:
            break
    return bytes(out[:most])


def _numbered(stream: BinaryIO, name: str, number: int, limit: int) -> bytes | None:
    """A WARC record by its number, as its header and block."""
    for record in records(stream, limit, _WARC_TYPES):
        if record.number == number:
            return record.head.strip() + b"\r\n\r\n" + (record.block or b"")
    return None


def _in_wacz(stream: BinaryIO, name: str, place: str, limit: int) -> bytes | None:
    """A record of one of the WARC files in a WACZ file."""
    for member, content in wacz.archives(stream):
        if member == name and not isinstance(content, wacz.Refused):
            if match := _BYTES.fullmatch(place):
                return _range(content, int(match[1]), int(match[2] or -1), limit)
            return _numbered(content, name, int(place.removeprefix("record=")), limit)
    return None


def _line(stream: BinaryIO, number: int, limit: int) -> bytes | None:
    at, begins = 0, True
    while piece := stream.readline(limit + 1):
        at += begins
        if at == number:
            return piece.rstrip(b"\r\n")
        begins = piece.endswith(b"\n")
    return None


def _row(stream: BinaryIO, name: str, number: int, limit: int, delimiter: str | None) -> bytes | None:
    """A row of a table, as JSON."""
    form = tables.FORMS.get(PurePosixPath(plain_name(name).lower()).suffix[1:])
    if form is None:
        return None
    at = 0
    for row in tables.rows(stream, form, lambda columns: columns, limit, delimiter):
        at += row.count if isinstance(row, tables.Unread) else 1
        if at >= number:
            if isinstance(row, tables.Unread):
                raise MarkupError(row.error or "the row is too large")
            return json.dumps(row, ensure_ascii=False, default=str, indent=1).encode("utf-8", "replace")
    return None


def _page(stream: BinaryIO, block: int, page: int, limit: int) -> bytes | None:
    """The XML of a page of a MediaWiki dump, looked for from `block` on."""
    stream.seek(block)
    buffer = bytearray()
    for piece in utf8(unpack(stream, search=True)):
        if isinstance(piece, Cut):
            buffer.clear()
            continue
        buffer += piece.data
        while (end := buffer.find(b"</page>")) >= 0:
            begin = buffer.rfind(b"<page>", 0, end)
            data = bytes(buffer[max(begin, 0) : end + len(b"</page>")])
            del buffer[: end + len(b"</page>")]
            number = re.search(rb"<id>\s*(\d+)\s*</id>", data)  # the first is the page's own
            if begin >= 0 and number and int(number[1]) == page:
                return data
        if len(buffer) > limit:
            # A page too large: its head tells whether it is this one, which is then given as far as it may be.
            begin = buffer.rfind(b"<page>")
            number = re.search(rb"<id>\s*(\d+)\s*</id>", buffer[max(begin, 0) :][: 1 << 16])
            if begin >= 0 and number and int(number[1]) == page:
                return bytes(buffer[begin : begin + limit])
            del buffer[: max(len(buffer) - len(b"</page>"), 0)]
    return None


def _members(stream: BinaryIO, name: str, place: str, limit: int) -> dict[str, bytes]:
    """Files of an archive: the one called `place`, or those of the folder; with `book#chapter` one of a packed book."""
    packed = f"{name}.zip" if name.lower().endswith(".epub") else name
    found: dict[str, bytes] = {}
    outer, _, inner = place.partition("#")
    size = 0
    for member in archive.members(
        stream, packed, limit, lambda member: member in (place, outer) or member.startswith(f"{outer}/")
    ):
        if isinstance(member, archive.Unread):
            if member.name in (place, outer):
                raise MarkupError(member.error or f"the archive's file is refused: {member.rule}")
            continue
        size += len(member.data)
        if member.name == place:
            return {place: _gunzipped(member.name, member.data, limit)}
        if member.name == outer and inner and outer.lower().endswith(_ZIPPED):
            return _members(io.BytesIO(member.data), outer, inner, limit)
        if size <= MAX_BYTES and len(found) < MAX_FILES:
            found[member.name] = member.data
    if inner and (chosen := {key: data for key, data in found.items() if key == f"{outer}/{inner}"}):
        return chosen
    if not found:
        raise InputError("the archive holds no such file", where=f"{name}#{place}", mend="is the file as it was?")
    return found


def _gunzipped(name: str, data: bytes, limit: int) -> bytes:
    return archive.gunzip(data, limit) if name.lower().endswith(".gz") else data


def _folder(name: str, place: str, found: list[Found], limit: int) -> Raw:
    """The files of a folder that is one record, or the one of them that `place` names."""
    chosen = [file for file in found if place in (file.name, file.name.removeprefix(f"{name}/"))] if place else found
    if not chosen:
        raise InputError("the folder holds no such file", where=f"{name}#{place}", mend="is the folder as it was?")
    files: dict[str, bytes] = {}
    size = 0
    for file in chosen[:MAX_FILES]:
        with open_file(file.path) as stream:
            files[file.name] = _whole(stream, min(limit, MAX_BYTES - size))
        size += len(files[file.name])
        if size >= MAX_BYTES:
            break
    return Raw(f"{Files(chosen[0].root).root}, {name}", files)

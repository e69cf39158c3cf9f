"""The source `papers`: scholarly articles as JATS or Elsevier XML, LaTeX sources as arXiv keeps them, or Markdown.

Papers lie in files, folders or archives (tar, zip; `.gz` of arXiv, one paper each, also within a tar). A row of the
ledger is a paper; papers within a paper (decision letters, responses) are rows of their own, with the paper as parent.
The files of one LaTeX paper are those in and below the highest folder with LaTeX in it, or the folder that is named by
an arXiv number; several files that are named so are papers of their own. What is no paper's file by its name
(pictures, PDF) is passed over, and counted in the shard's notes.
Rules: `papers.link`, `papers.outside` (a name that leads out of its archive), `papers.too_large`, `papers.not_a_paper`
(other XML, LaTeX without a document, README and LICENSE), `papers.no_text`. What is malformed, or a bomb, fails.
"""

from __future__ import annotations

import io
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO, Literal, cast

from pydantic import Field

from firn.core.hashing import document_id
from firn.core.settings import Settings
from firn.core.stage import Stage, Task, Work
from firn.data import charset
from firn.data.markup import archive, elsevier, jats, latex, markdown, xml
from firn.data.markup import work as works
from firn.data.markup.work import MarkupError
from firn.data.raw import Pattern, Rows, extra, grouping
from firn.data.sources import gathered
from firn.data.sources.gathered import Kept
from firn.data.sources.listing import find

_XML = re.compile(r"(?:\.n?xml|-xml)(?:\.gz)?$", re.IGNORECASE)
_TEX = re.compile(r"\.(?:tex|ltx|bbl|sty|cls)$", re.IGNORECASE)
_MARKDOWN = re.compile(r"\.(?:md|markdown)$", re.IGNORECASE)
_MANUBOT = "metadata.yaml"
_ARXIV = re.compile(
    r"(?:^|[^\d.])((\d{2})(\d{2})\.\d{4,5}|([a-z]+(?:-[a-z]+)?)(?:\.[A-Z]{2})?[/_]?(\d{2})(\d{2})\d{3})(?:v\d+)?(?![\d])"
)
_NUMBERED = re.compile(r"(?:\d\d(?:0[1-9]|1[0-2])\.\d{4,5}|[a-z]+(?:-[a-z]+)?_?\d\d(?:0[1-9]|1[0-2])\d{3})(?:v\d+)?")
# What is no LaTeX, in a gzip file of arXiv's: PostScript, a web page.
_OTHER = re.compile(rb"\s*(?:%!PS|%PDF-|<!doctype html|<html)", re.IGNORECASE)
# Sections of a Manubot manuscript that are no part of the text.
_NO_SECTION = re.compile(r"(?:front|back)-matter|response-to|readme|contributing|license|usage|setup", re.IGNORECASE)
_NO_PAPER = re.compile(r"(?:readme|licen[cs]e|contributing|changelog|code[-_]of[-_]conduct)\b", re.IGNORECASE)
#: All text of one LaTeX paper, in bytes.
MAX_SOURCE = 32 << 20
#: LaTeX and Markdown of one archive that is held until its end; an archive with more of it is read twice.
MAX_KEPT = 128 << 20


class PapersSettings(Settings):
    """What changes the documents of papers."""

    group: Pattern | None = None
    """Regular expression on the paper's name: its first group, or the whole match, names what must stay together in
    training or in validation. None, or no match: the paper, by its DOI or arXiv number where it has one."""
    references: bool = False
    """Whether the bibliography is in the text."""
    authors: bool = False
    """Whether the names of the authors, and who did what, are in the text."""
    funding: bool = False
    """Whether statements of who paid are in the text."""
    captions: bool = True
    """Whether captions of figures and tables are in the text."""
    tables: bool = True
    """Whether tables are in the text."""
    license: str | None = None
    """Licence, as SPDX identifier or URL, of papers that do not say theirs; LaTeX never does."""
    max_bytes: int = Field(default=32 << 20, ge=1)
    """Largest file, unpacked, in bytes."""


class PapersSource(PapersSettings):
    """Scholarly articles: JATS or Elsevier XML, LaTeX as arXiv keeps it, Markdown."""

    kind: Literal["papers"] = "papers"
    paths: tuple[str, ...] = Field(min_length=1)
    """Files, folders, archives or patterns, local or fsspec URLs: `pmc/*.tar.gz`, `arxiv/*.gz`, `articles/`."""


@dataclass(slots=True)
class Files:
    """Files that make one paper. kind: `xml`, `latex`, `manubot` or `markdown`. data: of each file, by its name."""

    name: str
    kind: str
    data: dict[str, bytes] = field(default_factory=dict)


def tasks(name: str, source: PapersSource) -> list[Task]:
    """One shard per archive; other files are put together by the hashes of their papers' names. Raises InputError."""
    own = PapersSettings(**{key: getattr(source, key) for key in PapersSettings.model_fields})
    found = {file.name: file for file in find(source.paths)}
    packed = {key for key in found if _is_packed(key)}
    wanted = [key for key, file in found.items() if key in packed or _kind(key) or file.link]
    shards = [
        Task(STAGE, own, (found[key].external(),), f"{name}/{key}", extra(name, archive=key))
        for key in sorted(packed)
        if not found[key].link
    ]
    units = dict(_units([key for key in wanted if key not in packed or found[key].link], set(found)))
    if own_folder := units.pop(".", None):  # what lies in the source's own folder is called as that is
        units[posixpath.basename(found[own_folder[1][0]].root.rstrip("/")) or "paper"] = own_folder
    for bits, rows, inputs in gathered.shards(units, found, own.max_bytes, MAX_SOURCE):
        shards.append(Task(STAGE, own, inputs, f"{name}/{bits}", extra(name, papers=rows)))
    return shards


def _is_packed(name: str) -> bool:
    return archive.is_archive(name) or (name.lower().endswith(".gz") and not _XML.search(name))


def _kind(name: str) -> str | None:
    """What a file is by its name; None for what is no paper's."""
    for kind, pattern in (("xml", _XML), ("latex", _TEX), ("markdown", _MARKDOWN)):
        if pattern.search(name):
            return kind
    return "manubot" if posixpath.basename(name) == _MANUBOT else None


def _units(names: Iterable[str], all_names: set[str]) -> Iterator[tuple[str, tuple[str, list[str]]]]:
    """The papers that files make: name, kind and files of each.

    LaTeX: what lies in and below a folder that is named by an arXiv number, or else the highest folder that has a .tex
    file in it; where several files of a folder are named by numbers, each is a paper. Manubot: the Markdown beside
    `metadata.yaml`.
    """
    kinds = {name: _kind(name) for name in names}
    numbered = [name for name in kinds if _is_document(name) and _NUMBERED.fullmatch(_stem(name))]
    many = {folder for folder, count in Counter(map(posixpath.dirname, numbered)).items() if count > 1}
    alone = {posixpath.splitext(name)[0] for name in numbered if posixpath.dirname(name) in many}
    folders = {
        posixpath.dirname(name)
        for name in kinds
        if _is_document(name) and not (posixpath.splitext(name)[0] in alone or _numbered(posixpath.dirname(name)))
    }
    tops = {folder for folder in folders if not any(above in folders for above in _above(folder))}
    manuscripts = {posixpath.dirname(name) for name, kind in kinds.items() if kind == "manubot"}
    together: dict[str, tuple[str, list[str]]] = {}
    for name in sorted(kinds):
        folder, kind = posixpath.dirname(name), kinds[name]
        if kind == "latex":
            stem = posixpath.splitext(name)[0]
            paper = _numbered(folder)
            if paper is None and stem in alone:
                paper = next(f"{stem}{end}" for end in (".tex", ".ltx") if f"{stem}{end}" in kinds)
            if paper is None:
                paper = next((above for above in (folder, *_above(folder)) if above in tops), folder)
            together.setdefault(paper or ".", ("latex", []))[1].append(name)
        elif folder in manuscripts and kind in ("markdown", "manubot"):
            together.setdefault(folder or ".", ("manubot", []))[1].append(name)
        elif kind is not None:
            together[name] = (kind, [name])
        else:
            together[name] = ("link", [name])
    return iter(sorted(together.items()))


def _is_document(name: str) -> bool:
    return name.endswith((".tex", ".ltx"))


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]


def _numbered(folder: str) -> str | None:
    """The highest of a folder and those above it that is named by an arXiv number."""
    found = [above for above in (folder, *_above(folder)) if _NUMBERED.fullmatch(posixpath.basename(above))]
    return found[-1] if found else None


def _above(folder: str) -> Iterator[str]:
    while folder:
        folder = posixpath.dirname(folder)
        yield folder


def run(work: Work) -> None:
    """Read the papers of one shard."""
    rows = Rows(work, "papers")
    if (name := work.extra.get("archive")) is not None:
        _archive(rows, name, work, work.settings)
        work.advance(bytes=work.inputs[0].bytes)
    else:
        for name, kind, data in gathered.loose(work, rows, work.extra["papers"]):
            _read(rows, Files(name, kind, data), name, work.settings)
    rows.close()


# Archives.


def _archive(rows: Rows, name: str, work: Work, settings: PapersSettings) -> None:
    """The papers of an archive, or of a file of arXiv's, which may be one or just a compressed file of LaTeX."""
    if not archive.is_archive(name):
        with work.stream() as stream:
            data = stream.read(settings.max_bytes + 1)
        if rows.enter(name):
            try:
                _gzipped(rows, data, name, name, settings)
            except (MarkupError, OSError) as error:
                rows.fail(str(error))
        rows.leave()
        return
    kept, passed = Kept(MAX_KEPT), Counter[str]()

    def wanted(member: str) -> bool:
        if _kind(member) or member.lower().endswith(".gz"):
            return not posixpath.basename(member).startswith("._")  # what macOS adds
        passed[posixpath.splitext(member)[1].lower()[:10] or "none"] += 1
        return False

    try:
        for member in gathered.members(work, name, settings.max_bytes, wanted):
            address = f"{name}#{member.name}"
            if isinstance(member, archive.Unread):
                if rows.enter(address):
                    _unread(rows, member, settings)
            elif _kind(member.name) == "xml":
                if rows.enter(address):
                    _read(rows, Files(member.name, "xml", {member.name: member.data}), address, settings)
            elif member.name.lower().endswith(".gz"):
                if rows.enter(address):
                    _gzipped(rows, member.data, member.name, address, settings)
            else:
                kept.add(member)
            rows.leave()
    except MarkupError as error:
        if rows.enter(name):
            rows.fail(str(error))
        rows.leave()

    def divide(names: set[str]) -> Iterator[tuple[tuple[str, str], list[str]]]:
        return (((unit, kind), files) for unit, (kind, files) in _units(names, names))

    def again(wanted: Callable[[str], bool]) -> Iterator[archive.Member | archive.Unread]:
        return gathered.members(work, name, settings.max_bytes, wanted)

    for (unit, kind), files in kept.documents(divide, again, MAX_SOURCE):
        address = name if unit == "." else f"{name}#{unit}"
        if rows.enter(address):
            if files is None:
                rows.remove("too_large", bound=MAX_SOURCE)
            else:
                _read(rows, Files(name if unit == "." else unit, kind, dict(files)), address, settings)
        rows.leave()
    rows.work.note("passed_over", dict(sorted(passed.items())))


def _unread(rows: Rows, member: archive.Unread, settings: PapersSettings) -> None:
    if member.rule == "too_large":
        rows.remove("too_large", member.bytes, settings.max_bytes)
    elif member.rule:
        rows.remove(member.rule)
    else:
        rows.fail(member.error)


def _gzipped(rows: Rows, data: bytes, name: str, address: str, settings: PapersSettings) -> None:
    """End the row of a paper that is one gzip file: a tar of its sources, or the only one of them."""
    try:
        if len(data) > settings.max_bytes:
            raise MarkupError(f"more than {settings.max_bytes} bytes")
        plain = archive.gunzip(data, MAX_KEPT)
        if plain.startswith(b"\x1f\x8b"):  # packed twice, as some servers send what they have
            plain = archive.gunzip(plain, MAX_KEPT)
        files = {name.removesuffix(".gz") + ".tex": plain}
        if archive.is_tar(plain):
            members = archive.members(cast(BinaryIO, io.BytesIO(plain)), "source.tar", MAX_SOURCE, _TEX.search)  # type: ignore[arg-type]
            files = {member.name: member.data for member in members if isinstance(member, archive.Member)}
        elif _OTHER.match(plain) or b"\0" in plain[:4096]:
            rows.remove("not_a_paper")
            return
    except MarkupError as error:
        rows.fail(str(error))
        return
    files = {key: value for key, value in files.items() if not posixpath.basename(key).startswith("._")}
    _read(rows, Files(name, "latex", files), address, settings)


# Papers.


def _read(rows: Rows, files: Files, address: str, settings: PapersSettings) -> None:
    """End the row of a paper, and add rows for the papers within it."""
    payload = b"".join(key.encode("utf-8", "replace") + b"\0" + files.data[key] for key in sorted(files.data))
    if files.kind == "xml":
        payload = next(iter(files.data.values()))
    id = document_id(address, 0, payload)
    try:
        found = _parsed(files, settings)
    except (MarkupError, RecursionError) as error:
        rows.fail(str(error) or type(error).__name__, id=id)
        return
    if not found or (files.kind == "markdown" and _NO_PAPER.match(posixpath.basename(files.name))):
        rows.remove("not_a_paper", id=id)
        return
    part = 0
    for name, parts in found:
        arxiv = _arxiv(name) if files.kind == "latex" else None
        doi = str(parts[0].meta.get("doi") or "").lower()
        group = grouping(settings.group, name, doi or (f"arXiv:{arxiv[0]}" if arxiv else name))
        parent = None
        for paper in parts:
            if part == 0 or rows.enter(f"{address}#part={part}"):
                id = document_id(address, part, payload)
                _keep(rows, paper, id, part, parent, group, arxiv, files.kind, settings)
                parent = parent or id
            part += 1


def _keep(
    rows: Rows,
    paper: works.Work,
    id: bytes,
    part: int,
    parent: bytes | None,
    group: str,
    arxiv: tuple[str, datetime] | None,
    kind: str,
    settings: PapersSettings,
) -> None:
    published, method = paper.published, "article metadata"
    if arxiv and not published:
        published, method = arxiv[1], "arXiv number"
    rows.keep(
        id,
        paper.text if paper.blocks else "",
        group,
        {
            **paper.meta,
            "arxiv": arxiv[0] if arxiv else None,
            "declared_language": paper.language,
            "format": kind,
            "title": paper.title,
        },
        part=part,
        parent=parent,
        url=paper.url or (f"https://arxiv.org/abs/{arxiv[0]}" if arxiv else None),
        published=published,
        date_method=method if published else None,
        license=paper.license or settings.license,
    )


def _parsed(files: Files, settings: PapersSettings) -> list[tuple[str, list[works.Work]]]:
    """The papers in the files: of each its name, and it with those within it. None where the files are something else.

    Raises MarkupError.
    """
    include = jats.Include(**{key: getattr(settings, key) for key in jats.Include.__dataclass_fields__})
    if files.kind == "xml":
        (name, data), *_ = files.data.items()
        if name.lower().endswith(".gz"):
            data = archive.gunzip(data, settings.max_bytes)
        return [(files.name, parts) for parts in _from_xml(xml.parse(data), include)]
    texts = {_within(name, files.name): _text(data) for name, data in files.data.items()}
    if files.kind == "latex":
        papers = _documents(latex.main_files(texts))
        # Several papers side by side have names of their own; the files of one folder may belong to any of them.
        names = [posixpath.join(files.name, mains[0]) if len(papers) > 1 else files.name for mains in papers]
        parts = [[latex.work(texts, main, include) for main in mains] for mains in papers]
        return list(zip(names, parts, strict=True))
    if files.kind == "manubot":
        return [(files.name, [_manuscript(texts)])]
    return [(files.name, [markdown.work(text)]) for text in texts.values()]


def _documents(mains: list[str]) -> list[list[str]]:
    """Main files by the paper that they are of: what lies in or below the folder of another belongs to that."""
    folders = set(map(posixpath.dirname, mains))
    papers: dict[str, list[str]] = {}
    for main in mains:
        folder = posixpath.dirname(main)
        top = [above for above in (folder, *_above(folder)) if above in folders][-1]
        papers.setdefault(top, []).append(main)
    return list(papers.values())


def _from_xml(root: xml.Element, include: jats.Include) -> Iterator[list[works.Work]]:
    """Each article in the file with those within it."""
    articles = [root] if root.name == "article" else root.all("article")
    if found := [one for one in articles if one.first("front") or any(True for _ in one.all("article-meta"))]:
        yield from (jats.works(article, include) for article in found)
    elif any(element.name in ("sections", "coredata", "item-info") for element in root.walk()):
        yield [elsevier.work(root, include)]


def _manuscript(texts: Mapping[str, str]) -> works.Work:
    """A Manubot manuscript: its sections in the order of their names, its title from its metadata."""
    paper = works.Work()
    for name in sorted(texts):
        if name.endswith(_MANUBOT):
            markdown.described(paper, texts[name])
        elif _MARKDOWN.search(name) and not _NO_SECTION.search(posixpath.basename(name)):
            section = markdown.work(texts[name])
            if section.title:
                paper.blocks.append(works.Block(section.title, 1))
            paper.blocks += section.blocks
    return paper


def _within(name: str, unit: str) -> str:
    """A file's name relative to the paper's folder."""
    return name.removeprefix(f"{unit}/")


def _text(data: bytes) -> str:
    return charset.decode(data, html=False).text


def _arxiv(name: str) -> tuple[str, datetime] | None:
    """The arXiv number in a name, and the month that it stands for."""
    parts = [part for part in reversed(name.split("/")) if part]
    for found in (_ARXIV.search(part) for part in parts):
        if found:
            year, month = (int(found[place]) for place in ((2, 3) if found[2] else (5, 6)))
            if 1 <= month <= 12:
                number = found[1] if found[2] else f"{found[4]}/{found[1][-7:]}"
                return number, datetime(1900 + year if year > 90 else 2000 + year, month, 1, tzinfo=UTC)
    return None


STAGE = Stage("read", 4, run, ledger=True)

"""Raw records fetched again: of every kind of source the very bytes, and nothing from outside of it."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from firn.core.engine import LocalEngine
from firn.core.errors import FirnError, InputError
from firn.core.store import Store
from firn.data import read
from firn.data.extract import ExtractSettings
from firn.data.fetch import raw
from firn.data.sources import (
    BooksSource,
    CodeSource,
    FilesSource,
    PapersSource,
    PydocsSource,
    Source,
    WarcSource,
    WikipediaSource,
)

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline
from shards import read as rows
from warcs import http, lz4, members, page, record

JATS = (
    '<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta><title-group><article-title>Snow'
    "</article-title></title-group></article-meta></front><body><sec><title>Ice</title><p>{}</p></sec></body></article>"
)
LATEX = r"\documentclass{article}\begin{document}\title{Firn}\maketitle\section{Ice}\input{deep}\end{document}"


def documents(source: Source, folder: Path) -> dict[str, str]:
    """Address -> text, of all that the stage `read` makes of a source."""
    store = Store(folder / "store")
    engine = cast(LocalEngine, Inline(store))
    shards = engine.run(read.tasks("mine", source, ExtractSettings(), engine))
    found = [row for shard in shards for row in rows(store, shard).to_pylist()]
    assert found
    return {row["address"]: row["text"] for row in found}


def packed(files: Mapping[str, bytes], kind: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=kind) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def response(name: str) -> bytes:
    return record(name, http(page(f"The page {name}.")))


@pytest.mark.parametrize("form", ["members", "plain", "whole"])
def test_a_warc_record_is_fetched_by_its_range_or_its_number(tmp_path: Path, form: str) -> None:
    plain = [response(name) for name in ("one", "two", "three")]
    data = members(*plain) if form == "members" else b"".join(plain)
    (tmp_path / "c.warc.gz").write_bytes(gzip.compress(data) if form == "whole" else data)
    source = WarcSource(paths=(str(tmp_path / "c.warc.gz"),))
    found = documents(source, tmp_path)
    assert len(found) == 3
    for (address, text), expected in zip(found.items(), plain, strict=True):
        fetched = raw(address, source).data
        assert ("#record=" in address) == (form == "whole")
        if form == "whole":
            assert fetched.endswith(expected.split(b"\r\n\r\n", 1)[1][:-4])
        else:
            assert fetched == expected
        assert text.split(".")[0].split()[-1].encode() in fetched


@pytest.mark.parametrize("form", ["zstd", "dictionary", "lz4", "bz2", "whole"])
def test_records_around_damage_are_fetched_again(tmp_path: Path, form: str) -> None:
    """What touches the damaged frame is lost, and where it lay is told."""
    plain = [response(name) for name in ("one", "two", "three", "four", "five")]
    head, pack = b"", bz2.compress
    if form == "dictionary":
        known = zstandard.train_dictionary(1024, plain * 20)
        head = (0x184D2A5D).to_bytes(4, "little") + len(known.as_bytes()).to_bytes(4, "little") + known.as_bytes()
        pack = zstandard.ZstdCompressor(dict_data=known, write_checksum=True).compress
    elif form == "zstd":
        pack = zstandard.ZstdCompressor(write_checksum=True).compress
    elif form == "lz4":
        pack = lz4
    frames = [pack(each) for each in plain]
    if form == "whole":  # frames that are no record's own
        whole = b"".join(plain)
        frames = [pack(whole[at : at + 700]) for at in range(0, len(whole), 700)]
    hurt = len(frames) // 2
    begin = len(head) + sum(map(len, frames[:hurt]))
    frames[hurt] = frames[hurt][:-20] + bytes(20)
    (tmp_path / "c.warc.zst").write_bytes(head + b"".join(frames))
    source = WarcSource(paths=(str(tmp_path / "c.warc.zst"),))
    engine = LocalEngine(Store(tmp_path / "store"), workers=1)
    (manifest,) = engine.run(read.tasks("s", source, ExtractSettings(), engine))
    ledger = rows(engine.store, manifest, "ledger").to_pylist()
    (lost,) = [row for row in ledger if row["verdict"] == "failed"]
    assert f"at bytes {begin}-{begin + len(frames[hurt]) - 1} is damaged" in lost["error"]
    kept = [row["address"] for row in ledger if row["verdict"] == "kept"]
    ends = [0, *itertools.accumulate(map(len, plain))]
    touched = (hurt * 700, hurt * 700 + 700) if form == "whole" else (ends[2], ends[3])
    others = [each for each, end in zip(plain, ends[1:], strict=True) if not touched[0] < end < touched[1] + len(each)]
    for address, expected in zip(kept, others, strict=True):
        fetched = raw(address, source).data
        assert ("#record=" in address) == (form == "whole")
        assert fetched == expected or (form == "whole" and fetched.endswith(expected.split(b"\r\n\r\n", 1)[1][:-4]))


def test_records_are_whole_whose_bz2_streams_are_damaged_where_they_have_no_content(tmp_path: Path) -> None:
    plain = [response(name) for name in ("one", "two", "three", "four", "five")]
    frames = [bytearray(bz2.compress(each)) for each in plain]
    for number, place in ((0, 1), (1, 3), (2, -9), (3, -3), (4, -8)):  # headers, ends, and a check sum
        frames[number][place] ^= 4
    (tmp_path / "c.warc.bz2").write_bytes(b"".join(frames))
    source = WarcSource(paths=(str(tmp_path / "c.warc.bz2"),))
    found = documents(source, tmp_path)
    assert len(found) == len(plain)
    for address, expected in zip(found, plain, strict=True):
        fetched = raw(address, source).data
        assert fetched == expected or (
            "#record=" in address and fetched.endswith(expected.split(b"\r\n\r\n", 1)[1][:-4])
        )


def test_a_range_is_all_that_is_read_of_a_remote_file() -> None:
    files, plain = fsspec.filesystem("memory"), [response(name) for name in ("one", "two")]
    data = members(*plain)
    files.pipe_file("/fetch/c.warc.gz", data)
    start = len(members(plain[0]))
    source = WarcSource(paths=("memory://fetch/c.warc.gz",))
    assert raw(f"c.warc.gz#bytes={start}-{len(data) - 1}", source).data == plain[1]


def test_files_lines_and_rows(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a#b.txt").write_text("A name may hold the mark.")
    (folder / "note.txt.gz").write_bytes(gzip.compress(b"Packed snow."))
    lines = [json.dumps({"text": f"Line {number} of snow."}) for number in range(4)]
    (folder / "l.jsonl").write_text("\n\n".join(lines))
    (folder / "l2.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    pq.write_table(pa.table({"text": [f"Row {n} of ice." for n in range(3)]}), folder / "t.parquet")
    (folder / "t.csv").write_text("text,n\nA row of firn.,1\nAnother one.,2\n")
    source = FilesSource(paths=(str(folder),))
    found = documents(source, tmp_path)
    assert len(found) == 2 + 8 + 3 + 2
    for address, text in found.items():
        assert text.strip() in raw(address, source).data.decode()
    assert raw("l.jsonl#line=3", source).data.decode() == lines[1]
    for hostile in ("l.jsonl#line=99", "t.parquet#row=99", "note.txt.gz#line=9"):
        with pytest.raises(InputError, match="no such record"):
            raw(hostile, source)


def test_code_of_a_folder_and_of_this_python(tmp_path: Path) -> None:
    (tmp_path / "repo" / "deep").mkdir(parents=True)
    (tmp_path / "repo" / "deep" / "m.py").write_text("SNOW = 1\n")
    source = CodeSource(paths=(str(tmp_path / "repo"),))
    (address,) = documents(source, tmp_path)
    assert raw(address, source).data == b"SNOW = 1\n"
    (tmp_path / "packed.zip").write_bytes(zipped({"top/a.py": b"ICE = 2\n", "top/b.py": b"FIRN = 3\n"}))
    packed_code = CodeSource(paths=(str(tmp_path / "packed.zip"),))
    found = documents(packed_code, tmp_path)
    assert [raw(address, packed_code).data for address in sorted(found)] == [b"ICE = 2\n", b"FIRN = 3\n"]
    library = CodeSource(paths=("stdlib:",))
    assert b"Gur Mra bs Clguba" in raw("Lib/this.py", library).data


def test_code_of_a_commit(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    repository.mkdir()

    def git(*arguments: str) -> None:
        options = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *options, *arguments], cwd=repository, check=True, capture_output=True)

    git("init")
    (repository / "m.py").write_text("SNOW = 1\n")
    git("add", ".")
    git("commit", "-m", "first")
    (repository / "m.py").write_text("SNOW = 2\n")
    source = CodeSource(paths=(str(repository),), revision="HEAD")
    (address,) = documents(source, tmp_path)
    assert raw(address, source).data == b"SNOW = 1\n"
    for hostile in (
        address.replace("m.py", "../m.py"),
        address.replace("repo#", "other#"),
        address[:-20] + ",path=m.py",
    ):
        with pytest.raises(InputError):
            raw(hostile, source)


def test_a_row_of_csv_with_its_delimiter(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('text;url\none;http://a\n"t;wo";http://b\n')
    source = FilesSource(paths=(str(tmp_path / "t.csv"),), delimiter=";")
    assert json.loads(raw("t.csv#row=2", source).data) == {"text": "t;wo", "url": "http://b"}


def test_a_page_of_a_dump_in_utf_16(tmp_path: Path) -> None:
    pages = "".join(f"<page><title>T{n}</title><id>{n}</id><text>snow {n} ü</text></page>" for n in (1, 2))
    (tmp_path / "d.xml").write_bytes(f"<mediawiki>{pages}</mediawiki>".encode("utf-16"))
    source = WikipediaSource(paths=(str(tmp_path / "d.xml"),))
    assert "snow 2 ü" in raw("d.xml#bytes=0-,page=2", source).data.decode()


def test_a_page_of_a_dump(tmp_path: Path) -> None:
    def text(number: int) -> str:
        revision = f"<revision><id>{number}5</id><text>Page {number} of snow. </text></revision>"
        return f"<page><title>T{number}</title><ns>0</ns><id>{number}</id>{revision}</page>"

    head = "<mediawiki><siteinfo><dbname>frwiki</dbname><namespaces></namespaces></siteinfo>"
    streams = [head, text(1) + text(2), text(3), "</mediawiki>"]
    (tmp_path / "multi.xml.bz2").write_bytes(b"".join(bz2.compress(part.encode()) for part in streams))
    (tmp_path / "plain.xml").write_text("".join(streams))
    source = WikipediaSource(paths=(str(tmp_path / "multi.xml.bz2"), str(tmp_path / "plain.xml")))
    found = documents(source, tmp_path)
    assert len(found) == 6
    for address in found:
        number = int(address.rsplit("=", 1)[1])
        assert raw(address, source).data.decode() == text(number)
    with pytest.raises(InputError, match="no such record"):
        raw("plain.xml#bytes=0-,page=35", source)  # a revision's number is no page's


def test_papers_in_files_archives_and_folders(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    (folder / "latex").mkdir(parents=True)
    (folder / "p.xml").write_text(JATS.format("A loose paper of snow."))
    (folder / "latex" / "main.tex").write_text(LATEX)
    (folder / "latex" / "deep.tex").write_text("An included part of snow.")
    latex = {"main.tex": LATEX.encode(), "deep.tex": b"A packed part of snow."}
    (folder / "2101.00001.gz").write_bytes(packed(latex))
    inside = {"x/q.xml": JATS.format("A packed paper of snow.").encode(), **{f"y/{k}": v for k, v in latex.items()}}
    (folder / "many.tar.gz").write_bytes(packed(inside))
    source = PapersSource(paths=(str(folder),))
    found = documents(source, tmp_path)
    assert len(found) == 5
    for address, text in found.items():
        fetched = raw(address, source)
        assert text.strip().rsplit("\n", 1)[-1].encode() in fetched.data
    assert set(raw("many.tar.gz#y", source).files) == {"y/main.tex", "y/deep.tex"}
    assert raw("many.tar.gz#x/q.xml#part=1", source).data == inside["x/q.xml"]


def test_a_paper_that_lies_in_the_source_s_own_folder(tmp_path: Path) -> None:
    folder = tmp_path / "alone"
    folder.mkdir()
    (folder / "main.tex").write_text(LATEX)
    (folder / "deep.tex").write_text("An included part of snow.")
    source = PapersSource(paths=(str(folder),))
    (address,) = documents(source, tmp_path)
    assert address == "alone"
    assert set(raw(address, source).files) == {"main.tex", "deep.tex"}


def test_books_and_their_chapters(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    folder = tmp_path / "books"
    (folder / "tree").mkdir(parents=True)
    for number in (1, 2):
        (folder / "tree" / f"chapter{number}.md").write_text(f"# Chapter {number}\n\nSnow of chapter {number}.\n")
    (folder / "zip.zip").write_bytes(zipped({"b/1.md": b"# One\n\nSnow.\n", "b/2.md": b"# Two\n\nSnow again.\n"}))
    source = BooksSource(paths=(str(folder),))
    found = documents(source, tmp_path)
    for address, text in found.items():
        assert text.strip().rsplit("\n", 1)[-1].encode() in raw(address, source).data
    epub = max(shared_data("books/epub").rglob("*.epub"), key=lambda path: path.stat().st_size)
    packed_book = BooksSource(paths=(str(epub),))
    chapters = documents(packed_book, tmp_path)
    assert any("#" in address for address in chapters)
    for address in chapters:
        assert raw(address, packed_book).data


def test_a_page_of_this_pythons_documentation(tmp_path: Path) -> None:
    source, store = PydocsSource(), Store(tmp_path / "store")
    found = documents(source, tmp_path)
    address = next(address for address, text in found.items() if "asyncio" in text)
    fetched = raw(address, source, store).data
    assert fetched.startswith(b"WARC/1.1\r\nWARC-Type: response")
    with pytest.raises(InputError, match="not in the run's store"):
        raw(address, source, Store(tmp_path / "other"))


@pytest.mark.parametrize(
    "address",
    [
        "../secret.txt",
        "mine/../../secret.txt",
        "/etc/passwd",
        "secret.txt",
        "file:///etc/passwd",
        "link.txt",
        ".hidden.txt",
        "a.txt\x00",
        "",
        "#",
        "a.txt#../secret.txt",
        "t.tar.gz#../secret.txt",
        "t.tar.gz#/etc/passwd",
        "t.tar.gz#up",
        "t.tar.gz#../../up",
        "a.txt#bytes=99999-",
        "a.txt#bytes=5-2,page=1",
    ],
)
def test_an_address_that_leads_elsewhere_is_refused(tmp_path: Path, address: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (folder / ".hidden.txt").write_text("secret")
    (folder / "a.txt").write_text("fine")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, link in (("up", "/etc/passwd"), ("../../up", ""), ("fine.xml", "")):
            info = tarfile.TarInfo(name)
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info, io.BytesIO())
    (folder / "t.tar.gz").write_bytes(out.getvalue())
    for source in (PapersSource(paths=(str(folder),)), FilesSource(paths=(str(folder),))):
        with pytest.raises(FirnError) as error:
            raw(address, source)
        assert error.value.mend


def test_what_unpacks_to_far_more_is_cut_at_the_sources_limit(tmp_path: Path) -> None:
    bomb = response("bomb")[:-4] + bytes(64 << 20)
    (tmp_path / "c.warc.gz").write_bytes(gzip.compress(bomb))
    source = WarcSource(paths=(str(tmp_path),), max_bytes=1 << 16)
    size = (tmp_path / "c.warc.gz").stat().st_size
    assert len(raw(f"c.warc.gz#bytes=0-{size - 1}", source).data) <= (1 << 16) + (1 << 20)

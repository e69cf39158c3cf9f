"""Memory of a worker stays below a bound however large its input is: each reads a large one in a process of its own."""

from __future__ import annotations

import bz2
import io
import json
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firn.core.engine import LocalEngine
from firn.core.store import Store
from firn.data import read as read_source
from firn.data.extract import ExtractSettings
from firn.data.sources import BooksSource

MIB = 1 << 20
#: What a worker may take beyond what it held before it began, in bytes; firn itself takes some 200 MiB more.
BOUND = 512 * MIB
READ = """
import json, sys
from firn.core.memory import peak_memory, reset_peak_memory
from firn.core.stage import execute
from firn.core.store import Store
from firn.data import read, sources
from firn.data.extract import ExtractSettings

store, kind, settings = Store(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
tasks = read.tasks("s", getattr(sources, kind)(**settings), ExtractSettings(), None)
reset_peak_memory()
before = peak_memory()
counts = [execute(task, store).counts for task in tasks]
print(json.dumps({
    "taken": peak_memory() - before,
    "rules": [rule for count in counts for rule in count["rules"]],
    **{key: sum(count[key] for count in counts) for key in ("in", "kept", "removed", "failed")},
}))
"""


def read(tmp_path: Path, kind: str, path: Path, **settings: Any) -> dict[str, Any]:
    """What came of an input, and the memory that it took."""
    argument = json.dumps({"paths": [str(path)], **settings})
    command = [sys.executable, "-c", READ, str(tmp_path / "store"), kind, argument]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["taken"] < BOUND, found
    return found


@pytest.mark.parametrize("bytes", [600 * MIB, pytest.param(2 << 30, marks=pytest.mark.slow)])
def test_a_line_of_two_gigabytes_is_a_row(tmp_path: Path, bytes: int) -> None:
    path = tmp_path / "a.jsonl"
    with open(path, "wb") as file:
        file.write(b'{"text": "before"}\n{"text": "')
        file.seek(bytes)  # the file is sparse
        file.write(b'"}\n{"text": "after"}\n')
    found = read(tmp_path, "FilesSource", path)
    assert (found["kept"], found["removed"], found["rules"]) == (2, 1, ["files.too_large"])


@pytest.mark.slow
def test_a_row_group_of_three_hundred_megabytes_is_read_by_pages(tmp_path: Path) -> None:
    words = " ".join(str(number) for number in range(400))
    texts = pa.array([f"{number} {words}" for number in range(200_000)])
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=200_000, use_dictionary=False)
    assert pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0).total_byte_size > 250 * MIB
    assert read(tmp_path, "FilesSource", tmp_path / "a.parquet")["kept"] == 200_000


def test_a_cell_of_three_hundred_megabytes_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with open(path, "wb") as file:
        file.write(b'text,id\nbefore,1\n"')
        for _ in range(300):
            file.write((b"x" * 4095 + b"\n") * (MIB // 4096))
        file.write(b'",2\nafter,3\n')
    found = read(tmp_path, "FilesSource", path)
    assert (found["kept"], found["removed"], found["rules"]) == (2, 1, ["files.too_large"])


@pytest.mark.slow
def test_a_dump_is_read_page_by_page(tmp_path: Path) -> None:
    text = " ".join(f"word{number}" for number in range(5_000))
    page = "<page><title>T%d</title><ns>0</ns><id>%d</id><revision><id>1</id><text>%s</text></revision></page>\n"
    stream = bz2.compress("".join(page % (number, number, text) for number in range(100)).encode())
    path = tmp_path / "xxwiki-20240101-pages-articles-multistream.xml.bz2"
    with open(path, "wb") as file:
        file.write(bz2.compress(b"<mediawiki>\n"))
        for _ in range(80):
            file.write(stream)
        file.write(bz2.compress(b"</mediawiki>\n"))
    assert read(tmp_path, "WikipediaSource", path)["kept"] == 8_000


def tar(path: Path, files: dict[str, bytes], times: int) -> None:
    """An archive of so many folders with these files."""
    with tarfile.open(path, "w") as target:
        for number in range(times):
            for name, data in files.items():
                info = tarfile.TarInfo(f"{number}/{name}")
                info.size = len(data)
                target.addfile(info, io.BytesIO(data))


@pytest.mark.slow
def test_an_archive_is_read_member_by_member(tmp_path: Path) -> None:
    body = b"<p>%s</p>" % (b"Snow falls on older snow. " * 2_000)
    article = b"<article><front><article-meta/></front><body>%s</body></article>" % (body * 20)
    tar(tmp_path / "a.tar", {"a.nxml": article, "a.jpg": bytes(MIB), "big.nxml": bytes(40 * MIB)}, 20)
    found = read(tmp_path, "PapersSource", tmp_path / "a.tar")
    assert (found["kept"], found["removed"], found["rules"]) == (20, 20, ["papers.too_large"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PapersSource", "BooksSource"])
def test_documents_of_several_files_are_read_as_their_last_file_comes(tmp_path: Path, kind: str) -> None:
    main = b"\\documentclass{book}\\begin{document}\\chapter{One}a\\input{two}\\end{document}"
    rest = b"% " + b"x" * 98 + b"\n"
    tar(tmp_path / "a.tar", {"main.tex": main, "two.tex": b"two\n" + rest * (10 * MIB // 101)}, 30)
    found = read(tmp_path, kind, tmp_path / "a.tar")
    assert (found["kept"], found["removed"], found["failed"]) == (30, 0, 0)


def a_page(content: bytes) -> bytes:
    """A PDF file of one page, which is drawn so."""
    packed = zlib.compress(content)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body = b"".join(b"%d 0 obj\n%s\nendobj\n" % (number, each) for number, each in enumerate(objects, 1))
    return b"%%PDF-1.4\n%strailer << /Size 6 /Root 1 0 R >>\n%%%%EOF" % body


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux bounds a process's memory")
def test_a_page_of_a_pdf_that_unpacks_to_gigabytes_is_a_row(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2", reason="PDF is the extra firn[pdf]")
    folder = tmp_path / "books"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(a_page(b"BT /F1 12 Tf 72 700 Td (Snow is not yet ice.) Tj ET"))
    (folder / "bomb.pdf").write_bytes(a_page(b"BT /F1 12 Tf " + b"(aaaaaaaaaaaaaaaa) Tj 0 -1 Td " * 2_000_000 + b" ET"))
    with LocalEngine(Store(tmp_path / "store"), workers=1) as engine:
        tasks = read_source.tasks("s", BooksSource(paths=(str(folder),)), ExtractSettings(), engine)
        (shard,) = engine.run(tasks)
    assert (shard.counts["kept"], shard.counts["failed"]) == (1, 1)


def test_thousands_of_files_that_may_say_a_licence(tmp_path: Path) -> None:
    text = io.BytesIO(b"All rights reserved, " * 12_000)
    path = tmp_path / "many.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for number in range(2_500):  # 600 MiB in all
            info = tarfile.TarInfo(f"r/{number}/package.json")
            info.size = len(text.getvalue())
            text.seek(0)
            archive.addfile(info, text)
        info = tarfile.TarInfo("r/a.py")
        info.size = 11
        archive.addfile(info, io.BytesIO(b"print('hi')"))
    found = read(tmp_path, "CodeSource", path)
    assert found["kept"] == 1

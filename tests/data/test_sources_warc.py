"""The source `warc`: what becomes a document, what does not and why, and pages that mean harm."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import re
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import brotli
import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.core.hashing import document_id
from firn.core.store import Manifest, Store
from firn.data import read, wacz, warc
from firn.data.extract import ExtractSettings
from firn.data.fetch import raw
from firn.data.sources import WarcSource

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline
from shards import read as table
from warcs import http, members, page, record

Rows = list[dict[str, Any]]


def run(folder: Path, *files: bytes, **settings: Any) -> tuple[list[Manifest], Rows, Rows]:
    """Manifests, documents and ledger rows of these WARC files."""
    raw = folder / "raw"
    raw.mkdir(exist_ok=True)
    for number, data in enumerate(files):
        (raw / f"{number}.warc.gz").write_bytes(data)
    source = WarcSource(paths=(f"{raw}/*.warc.gz",), **settings)
    engine = Inline(Store(folder / "store"))
    manifests = engine.run(read.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    documents: Rows = [row for m in manifests for row in table(engine.store, m).to_pylist()]
    ledger: Rows = [row for m in manifests for row in table(engine.store, m, "ledger").to_pylist()]
    return manifests, documents, ledger


def verdict(folder: Path, block: bytes, **more: Any) -> tuple[str, str | None, str | None]:
    (row,) = run(folder, members(record("one", block, **more)))[2]
    return row["verdict"], row["rule"], row["error"]


def test_a_page_becomes_a_document_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    block = http(page("Naïve façade."))
    other = record("info", b"software: test", "warcinfo", "application/warc-fields")
    data = members(other, record("one", block, url="http://www.Example.org:80/a/b?c"))
    (manifest,), (document,), (row,) = run(tmp_path, data)
    start = len(members(other))
    assert "Naïve façade." in document["text"]
    assert document["id"] == row["id"] == document_id("<urn:test:one>", 0, block)
    assert document["url"] == row["url"] == "http://www.Example.org:80/a/b?c"
    assert document["group"] == "example.org"
    assert document["address"] == row["address"] == f"0.warc.gz#bytes={start}-{len(data) - 1}"
    assert document["crawled"] == datetime(2024, 5, 18, 1, 58, 10, tzinfo=UTC)
    assert document["published"] is None, "the crawl's date is not the content's"
    assert (document["source"], document["part"], document["copies"], document["parent"]) == ("web", 0, 1, None)
    assert json.loads(document["meta"])["charset"] == "utf-8"
    assert row["verdict"] == "kept"
    assert manifest.notes["records_of_other_types"] == {"warcinfo": 1}


def test_a_link_in_a_folder_is_a_row_and_leads_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside.warc.gz"
    outside.write_bytes(members(record("secret", http(page("Not in the folder.")))))
    folder = tmp_path / "crawl"
    folder.mkdir()
    (folder / "a.warc.gz").write_bytes(members(record("one", http(page("Fine.")))))
    (folder / "b.warc.gz").symlink_to(outside)
    (folder / "c.warc.gz").symlink_to(tmp_path / "nowhere")
    (folder / "README.md").write_text("# A crawl\n\nOf some pages.\n")
    source, engine = WarcSource(paths=(str(folder),)), Inline(Store(tmp_path / "store"))
    manifests = engine.run(read.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    ledger = [row for m in manifests for row in table(engine.store, m, "ledger").to_pylist()]
    assert "by a pattern: crawl/*.warc.gz" in ledger[0]["error"]
    assert [(row["address"].partition("#")[0], row["verdict"], row["rule"]) for row in ledger] == [
        ("README.md", "failed", None),
        ("a.warc.gz", "kept", None),
        ("b.warc.gz", "removed", "warc.link"),
        ("c.warc.gz", "removed", "warc.link"),
    ]


def test_the_group_may_be_named_by_the_path(tmp_path: Path) -> None:
    data = members(*(record(str(i), http(page("x")), url=f"http://a.org/{p}.html") for i, p in enumerate(["a/b", "c"])))
    groups = [row["group"] for row in run(tmp_path, data, group=r"^/(a/.+)\.html$")[1]]
    assert groups == ["a/b", "a.org"]


def test_every_record_that_could_be_a_document_has_one_row(tmp_path: Path) -> None:
    ok = http(page("Fine."))
    expected = {
        "kept": (record("1", ok), ("kept", None)),
        "xhtml": (record("2", http(page("Fine."), mime="application/xhtml+xml")), ("kept", None)),
        "plain": (record("3", http(b"Plain text.", mime="text/plain")), ("kept", None)),
        "wet": (record("4", b"Text of a page.", "conversion", "text/plain"), ("kept", None)),
        "resource": (record("5", page("Fine."), "resource", "text/html"), ("kept", None)),
        "unlabelled": (record("6", http(page("Fine."), mime="")), ("kept", None)),
        "status": (record("7", http(page("No."), "404 Not Found")), ("removed", "warc.status")),
        "no status": (record("8", b"garbage", mime="application/http"), ("removed", "warc.status")),
        "picture": (record("9", http(b"\x89PNG", mime="image/png")), ("removed", "warc.not_html")),
        "revisit": (record("10", http(b""), "revisit"), ("removed", "warc.revisit")),
        "empty": (record("11", http(b"")), ("removed", "warc.no_text")),
        "binary": (record("12", http(bytes(range(256)) * 9)), ("removed", "warc.binary")),
        "coding": (record("13", http(b"x", "200 OK", "text/html", "Content-Encoding: compress")), ("failed", None)),
    }
    others = [
        record("a", b"", "warcinfo"),
        record("b", b"", "request"),
        record("c", b"", "metadata"),
        record("d", b"1.2.3.4", mime="text/dns", url="dns:a.org"),
        record("e", b"--level", "resource", "text/plain", url="metadata://gnu.org/software/wget/warc/wget.log"),
    ]
    (manifest,), documents, ledger = run(tmp_path, members(*(r for r, _ in expected.values()), *others))
    assert {name: (row["verdict"], row["rule"]) for name, row in zip(expected, ledger, strict=True)} == {
        name: verdict for name, (_, verdict) in expected.items()
    }
    assert manifest.notes["records_of_other_types"] == {"warcinfo": 1, "request": 1, "metadata": 1, "dns": 1, "log": 1}
    assert manifest.counts["in"] == len(expected)
    assert len(documents) == manifest.counts["kept"] == 6
    assert all(row["url"] and row["address"] for row in ledger)


def chunked(body: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:100], body[100:])) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "encode"),
    [
        (["Content-Encoding: gzip"], gzip.compress),
        (["Content-Encoding: deflate"], zlib.compress),
        (["Content-Encoding: br"], brotli.compress),
        (["Transfer-Encoding: chunked"], chunked),
        (["Transfer-Encoding: chunked", "Content-Encoding: gzip"], lambda body: chunked(gzip.compress(body))),
        (["Content-Encoding: gzip"], bytes),  # undone by the crawler, which kept the header
    ],
)
def test_codings_are_undone(tmp_path: Path, headers: list[str], encode: Callable[[bytes], bytes]) -> None:
    block = http(encode(page("Wörter.")), "200 OK", "text/html", *headers)
    for data in (block, block.replace(b"\r\n", b"\n", 2 + len(headers)).replace(b"\n\r\n", b"\n\n", 1)):
        (document,) = run(tmp_path, members(record("one", data)))[1]
        assert "Wörter." in document["text"]


@pytest.mark.parametrize("declared", ["utf-8", "windows-1252", "no-such-set", "utf-16"])
def test_a_wrong_character_set_is_not_believed(tmp_path: Path, declared: str) -> None:
    body = page("Ёлка, снег и лёд.")
    (document,) = run(tmp_path, members(record("one", http(body, mime=f"text/html; charset={declared}"))))[1]
    assert "Ёлка, снег и лёд." in document["text"]
    russian = page("Снег и лёд лежат слоями, и каждый слой помнит свою зиму. " * 20).decode().encode("cp1251")
    (document,) = run(tmp_path, members(record("two", http(russian, mime="text/html; charset=utf-8"))))[1]
    assert "Снег и лёд лежат" in document["text"]


def test_pages_that_mean_harm_are_refused_with_a_reason(tmp_path: Path) -> None:
    huge = http(b"<p>" + b"snow " * 20_000_000)
    bomb = http(gzip.compress(bytes(100 << 20)), "200 OK", "text/html", "Content-Encoding: gzip")
    deep = http(b"<div>" * 100_000 + b"deep")
    assert verdict(tmp_path, huge) == ("removed", "warc.too_large", None)
    assert verdict(tmp_path, bomb) == ("removed", "warc.too_large", None)
    what, rule, error = verdict(tmp_path, deep)
    assert (what, rule) == ("failed", "warc.refused")
    assert error is not None
    assert "depth" in error
    # None of them is in the way of the page after it.
    (manifest,), documents, _ = run(tmp_path, members(*(record(str(i), b) for i, b in enumerate((huge, bomb, deep)))))
    assert manifest.counts["in"] == 3
    assert not documents


def test_damaged_files_are_accounted_for(tmp_path: Path) -> None:
    good = [record(str(i), http(page(f"Page {i}."))) for i in range(3)]
    packed = [members(each) for each in good]
    cut = b"".join(packed)[:-100]
    noise = packed[0] + b"\x1f\x8b\x08" + b"\xff" * 500 + packed[2]
    manifests, documents, ledger = run(tmp_path, cut, b"", b"no archive at all" * 1000, noise)
    assert [m.counts["in"] for m in manifests] == [3, 1, 1, 3]
    assert [m.counts["failed"] for m in manifests] == [1, 1, 1, 1]
    assert len(documents) == 4
    failed = [row for row in ledger if row["verdict"] == "failed"]
    at = len(packed[0])
    assert [row["address"] for row in failed] == [
        f"0.warc.gz#bytes={at + len(packed[1])}-{len(cut) - 1}",
        "1.warc.gz#bytes=0-",
        "2.warc.gz#bytes=0-16999",
        f"3.warc.gz#bytes={at}-{at + 502}",
    ]
    assert f"at byte {at + len(packed[1])}" in failed[0]["error"]


def test_a_remote_file_is_read_where_it_lies(tmp_path: Path) -> None:
    good = [members(record(str(i), http(page(f"Page {i}.")))) for i in range(3)]
    data = good[0] + b"\x1f\x8b\x08" + b"\xff" * 500 + good[2]
    fsspec.filesystem("memory").pipe("/firn-test/crawl/00/a.warc.gz", data)
    engine = Inline(Store(tmp_path))
    found = []
    for path in ("memory://firn-test/crawl", "memory://firn-test/crawl/**/*.warc.gz", "memory://firn-test/*/00/a.*"):
        source = WarcSource(paths=(path,))
        (manifest,) = engine.run(read.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
        assert (manifest.counts["kept"], manifest.counts["failed"]) == (2, 1)
        found.append([row.rpartition("#")[0] for row in table(engine.store, manifest, "ledger")["address"].to_pylist()])
    assert found == [["00/a.warc.gz"] * 3, ["00/a.warc.gz"] * 3, ["crawl/00/a.warc.gz"] * 3]


@pytest.mark.parametrize("ranges", [True, False], ids=["with ranges", "without"])
def test_a_file_is_read_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranges: bool) -> None:
    data = members(*(record(str(i), http(page(f"Page {i}."))) for i in range(3)))[:-100]

    class Server(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            asked = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if ranges else None
            body = data[int(asked[1]) : int(asked[2]) + 1] if asked else data
            self.send_response(206 if asked else 200)
            if ranges:
                self.send_header("Accept-Ranges", "bytes")
            if asked:
                self.send_header("Content-Range", f"bytes {asked[1]}-{int(asked[1]) + len(body) - 1}/{len(data)}")
            self.send_header("ETag", '"one"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        engine = Inline(Store(tmp_path / "store"))
        source = WarcSource(paths=(f"http://127.0.0.1:{server.server_port}/crawl/a.warc.gz",))
        (manifest,) = engine.run(read.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (manifest.counts["kept"], manifest.counts["failed"]) == (2, 1)
    addresses = table(engine.store, manifest)["address"].to_pylist()
    assert all(address.startswith("a.warc.gz#bytes=") for address in addresses)


def test_real_files_are_read_to_their_end(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    """Counts found by warcio: responses but name servers' and robots.txt, resources but logs, revisits, conversions."""
    engine = Inline(Store(tmp_path))
    for name, records, more in [
        ("aut/example.warc.gz", 299 - 38 - 38, {"kept": range(80, 120), "failed": range(1)}),
        ("pywb/iana.warc.gz", 48 + 123, {"kept": range(14, 18), "failed": range(1)}),
        ("cc-whirlwind/whirlwind.warc.gz", 1, {"kept": range(1, 2)}),
        ("cc-whirlwind/whirlwind.warc.wet", 1, {"kept": range(1, 2)}),
        ("cc-whirlwind/whirlwind.warc.wat.gz", 0, {}),
        ("dolma/sample-0000.warc.gz", 22, {"kept": range(20, 23), "failed": range(1)}),
        ("gowarc/test-315k.warc.gz", 9, {"failed": range(1)}),
        ("warc2zim/netpreserve-twitter.warc", 151, {"failed": range(1)}),
        ("warcio/example-trunc.warc", 2, {"failed": range(1, 2)}),
        ("wcxb-dev/wcxb-dev-a.warc.wet.gz", 300, {"kept": range(285, 301), "failed": range(1)}),
    ]:
        source = WarcSource(paths=(str(shared_data("warc") / name),))
        (manifest,) = engine.run(read.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
        assert manifest.counts["in"] == records, name
        assert all(manifest.counts[verdict] in expected for verdict, expected in more.items()), name


def test_arc_files_and_packed_web_archives(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    """The same crawl as WARC and as ARC gives the same texts. A WACZ file holds one page."""
    engine = Inline(Store(tmp_path))

    def texts(name: str) -> dict[str, str]:
        source = WarcSource(paths=(str(shared_data("warc") / name),))
        (manifest,) = engine.run(read.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
        documents = table(engine.store, manifest).to_pylist()
        assert all(row["crawled"] for row in documents)
        return {row["url"]: row["text"] for row in documents}

    assert texts("aut/example.arc.gz") == texts("aut/example.warc.gz") != {}
    assert len(texts("pywb/valid_example_1.wacz")) == 1
    assert texts("pywb/invalid_example_1.wacz") == {}


def test_a_wacz_file_of_several_archives_and_hostile_ones(tmp_path: Path) -> None:
    good = members(*(record(str(i), http(page(f"Page {i}."))) for i in range(2)))

    def packed(**files: bytes) -> bytes:
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as out:
            for name, data in files.items():
                out.writestr(name, data)
        return (tmp_path / "a.zip").read_bytes()

    both = packed(**{"archive/b.warc.gz": good, "archive/a.warc": record("x", http(page("X"))), "pages/p.jsonl": b"{}"})
    _, documents, ledger = run(tmp_path, both)
    assert [row["address"].split(",")[0] for row in ledger] == [
        "0.warc.gz#archive/a.warc",
        "0.warc.gz#archive/b.warc.gz",
        "0.warc.gz#archive/b.warc.gz",
    ]
    assert len(documents) == 3
    source = WarcSource(paths=(f"{tmp_path}/raw/0.warc.gz",))
    for row in documents:
        assert row["url"].encode() in raw(row["address"], source).data
    bomb = packed(**{"archive/a.warc": bytes(300 << 20), "archive/b.warc.gz": good})
    outside = packed(**{"archive/../../b.warc.gz": good})
    damaged = both[:100] + b"\xff" * 50 + both[150:]
    manifests, _, _ = run(tmp_path, bomb, outside, damaged, both[:200])
    counts = [(m.counts["kept"], m.counts["failed"]) for m in manifests]
    assert counts[0] == (2, 1)
    assert counts[1] == (0, 1)
    assert counts[2][1] >= 1
    assert counts[3] == (0, 1)


@given(st.integers(0, 1 << 32).map(random.Random), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_whatever_bytes_a_wacz_file_holds_its_damage_is_said(chance: random.Random, way: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", way) as archive:
        for name in ("archive/a.warc.gz", "archive/b.warc", "archive/c.arc"):
            archive.writestr(name, members(record("1", http(chance.randbytes(300)))) * 3)
    data = bytearray(out.getvalue())
    for _ in range(chance.randint(1, 6)):
        # Most of the time in what zipfile itself reads: the directory at the end, and the first header.
        at = chance.choice([chance.randrange(len(data)), chance.randrange(-400, 0), chance.randrange(60)])
        data[at] = chance.choice([chance.randrange(256), data[at] ^ 1 << chance.randrange(8)])
    for _, content in wacz.archives(io.BytesIO(bytes(data))):
        if isinstance(content, wacz.Refused):
            assert str(content)
            continue
        with contextlib.suppress(wacz.Refused):
            list(warc.records(content, 1 << 20, {"response"}))


def test_a_wacz_file_packed_by_what_bounds_no_piece_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("archive/a.warc", record("1", http(b"a")) * 50)
    [(name, refused)] = wacz.archives(io.BytesIO(out.getvalue()))
    assert (name, str(refused)) == (
        "archive/a.warc",
        "archive/a.warc is packed otherwise than deflated: pack the file anew",
    )

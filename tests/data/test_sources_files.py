"""The source `files`: text, Markdown, HTML and JSON lines, whole and broken."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.core.hashing import document_id
from firn.core.store import Store
from firn.data import read
from firn.data.extract import ExtractSettings
from firn.data.layouts import Fields
from firn.data.sources import FilesSource, files

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline
from shards import read as table
from warcs import page

Rows = list[dict[str, Any]]


def run(store: Path, *paths: str | Path, **settings: Any) -> tuple[Rows, Rows]:
    """Documents and ledger rows, in the order of addresses."""
    engine = Inline(Store(store))
    source = FilesSource(paths=tuple(map(str, paths)), **settings)
    manifests = engine.run(read.tasks("mine", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    documents = [row for m in manifests for row in table(engine.store, m).to_pylist()]
    ledger = [row for m in manifests for row in table(engine.store, m, "ledger").to_pylist()]
    return documents, ledger


def test_every_kind_of_file(tmp_path: Path) -> None:
    root = tmp_path / "notes"
    (root / "deep").mkdir(parents=True)
    (root / "a.txt").write_bytes("Zeile eins\r\nZeile zwei é".encode("cp1252"))
    (root / "deep" / "b.md").write_text("# Title\n\nText.\n")
    (root / "c.html").write_bytes(page("A page."))
    (root / "d.txt.gz").write_bytes(gzip.compress(b"packed"))
    (root / "e.pdf").write_bytes(b"%PDF")
    (root / "f.txt").write_bytes(b"")
    (root / "g.txt").write_bytes(bytes(range(256)) * 50)
    (root / "h.txt").write_bytes(b"x" * 5000)
    (root / "i.html").write_bytes(b"<div>" * 100_000)
    (root / "j.txt.gz").write_bytes(gzip.compress(b"packed" * 1000)[:-9])
    (root / "k.txt.gz").write_bytes(gzip.compress(bytes(10 << 20)))
    (root / "l.txt").symlink_to("/etc/hostname")
    documents, ledger = run(tmp_path / "store", root, max_bytes=4 << 20)
    verdicts = {row["address"]: (row["verdict"], row["rule"]) for row in ledger}
    kept = {row["address"]: row["text"] for row in documents}
    assert kept["a.txt"] == "Zeile eins\nZeile zwei é"
    assert kept["deep/b.md"] == "# Title\n\nText.\n"
    assert "A page." in kept["c.html"]
    assert "<p>" not in kept["c.html"]
    assert kept["d.txt.gz"] == "packed"
    assert {name: verdict for name, verdict in verdicts.items() if verdict[0] != "kept"} == {
        "e.pdf": ("removed", "files.unknown"),
        "f.txt": ("removed", "files.no_text"),
        "g.txt": ("removed", "files.binary"),
        "i.html": ("failed", "files.refused"),
        "j.txt.gz": ("failed", None),
        "k.txt.gz": ("removed", "files.too_large"),
        "l.txt": ("removed", "files.link"),
    }
    (text,) = [row for row in documents if row["address"] == "a.txt"]
    assert text["id"] == document_id("a.txt", 0, (root / "a.txt").read_bytes())
    assert (text["group"], text["crawled"], text["published"]) == ("a.txt", None, None)
    assert ("removed", "files.too_large") in {
        (row["verdict"], row["rule"]) for row in run(tmp_path / "store", root / "h.txt", max_bytes=4999)[1]
    }


def test_every_line_of_json_has_a_row(tmp_path: Path) -> None:
    lines = [
        b'{"text": "one", "id": "a", "url": "http://www.x.org/1", "meta": {"when": "2020-02-03T04:05:06Z"}, "b.c": 3}',
        b"",
        b"{not json",
        b'["text"]',
        b'{"text": 5}',
        b'{"text": "  "}',
        b'{"text": "' + b"y" * 3000 + b'"}',
        b"[" * 100_000,
        b"\xff\xfe{}",
        b'{"text": "two \\ud800 end", "url": null, "id": 7}',
        '{"text": "drei é"}'.encode(),
    ]
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(lines)))
    fields = Fields(published="meta.when", group="b.c")
    documents, ledger = run(tmp_path / "store", path, max_bytes=2000, fields=fields)
    assert [(row["address"], row["verdict"], row["rule"]) for row in ledger] == [
        ("c.jsonl.gz#line=1", "kept", None),
        ("c.jsonl.gz#line=3", "failed", None),
        ("c.jsonl.gz#line=4", "failed", None),
        ("c.jsonl.gz#line=5", "failed", None),
        ("c.jsonl.gz#line=6", "removed", "files.no_text"),
        ("c.jsonl.gz#line=7", "removed", "files.too_large"),
        ("c.jsonl.gz#line=8", "removed", "files.too_large"),
        ("c.jsonl.gz#line=9", "failed", None),
        ("c.jsonl.gz#line=10", "kept", None),
        ("c.jsonl.gz#line=11", "kept", None),
    ]
    assert "line 3" in ledger[1]["error"]
    first, second, third = documents
    assert first["published"] == datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert (first["url"], first["group"], first["date_method"]) == ("http://www.x.org/1", "3", "field")
    assert ledger[0]["url"] == "http://www.x.org/1"
    assert second["text"] == "two \ufffd end"
    assert third["group"] == "c.jsonl.gz#11"
    deep = tmp_path / "deep.jsonl"
    deep.write_bytes(b'{"text": ' + b"[" * 100_000 + b"\n" + b'{"text": "after"}\n')
    assert [row["verdict"] for row in run(tmp_path / "store", deep)[1]] == ["failed", "kept"]


def test_a_cut_off_file_of_lines_keeps_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl.gz"
    lines = [json.dumps({"text": f"line {i} {hash(str(i))}"}).encode() + b"\n" for i in range(5000)]
    path.write_bytes(gzip.compress(b"".join(lines))[:-2000])
    documents, ledger = run(tmp_path / "store", path)
    assert 100 < len(documents) == len(ledger) - 1
    assert "cannot be decompressed" in ledger[-1]["error"]


def test_lines_before_damage_are_kept_however_many(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"line {number} {number * 0x9E3779B97F4A7C15 % 2**64}"}) for number in range(60_000)]
    packed = gzip.compress("\n".join(lines).encode())[:-100_000]
    (tmp_path / "cut.jsonl.gz").write_bytes(packed)
    whole = zlib.decompressobj(wbits=31).decompress(packed).count(b"\n")
    documents, ledger = run(tmp_path / "store", tmp_path / "cut.jsonl.gz")
    assert whole - 40_000 < len(documents) <= whole
    assert [row["verdict"] for row in ledger] == ["kept"] * len(documents) + ["failed"]
    assert ledger[-1]["address"] == f"cut.jsonl.gz#line={len(documents) + 1}"


_ODD_JSON = [
    b"-0", b"1E400", b"9" * 40, b"9" * 5000, b"NaN", b"-Infinity", b"nan", b"01", b"1.", b"[1,]", b"1 2", b"\x0c1", b"",
    b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\xed\xa0\x80"', b'"\xff"', b'"\x01"', b'"\\u0000"', b'\xef\xbb\xbf{"a": 1}',
    b'{"a": 1, "a": 2}', '{"a": 1}'.encode("utf-16"), b"1\x00", b"[" * 300 + b"]" * 300, b"2.4703282292062328e-324",
]  # fmt: skip


def _loaded(parse: Callable[[bytes], Any], line: bytes) -> str:
    try:
        return repr(parse(line))
    except ValueError as error:
        return f"{type(error)} {error}"


@pytest.mark.parametrize("line", _ODD_JSON)
def test_odd_json_is_read_as_python_reads_it(line: bytes) -> None:
    assert _loaded(files._parsed, line) == _loaded(json.loads, line)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.booleans(),
)
def test_any_json_is_read_as_python_reads_it(value: Any, escaped: bool) -> None:
    line = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    assert _loaded(files._parsed, line) == _loaded(json.loads, line)


def test_patterns_and_remote_folders(tmp_path: Path) -> None:
    for name in ("a/1.txt", "a/2.md", "a/b/3.txt", "a/.hidden/4.txt", "a/b/c/5.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)

    def names(*paths: str) -> list[str]:
        return sorted(row["address"] for row in run(tmp_path / "store", *(f"{tmp_path}/{p}" for p in paths))[0])

    assert names("a/*.txt") == ["1.txt"]
    assert names("a/**/*.txt") == ["1.txt", "b/3.txt", "b/c/5.txt"]
    assert names("a/*/*.txt") == ["b/3.txt"]
    assert names("*/b") == ["a/b/3.txt", "a/b/c/5.txt"]
    assert names("a/**") == names("a") == ["1.txt", "2.md", "b/3.txt", "b/c/5.txt"]
    assert names("a/**/c") == ["b/c/5.txt"]
    assert names("a/[12].*", "a/1.txt") == ["1.txt", "2.md"]
    memory = fsspec.filesystem("memory")
    memory.pipe({"/firn-test/x/1.txt": b"one", "/firn-test/x/y/2.jsonl": b'{"text": "two"}\n'})
    for path in ("memory://firn-test/x", "memory://firn-test/x/**"):
        documents, _ = run(tmp_path / "store", path)
        assert {row["address"]: row["text"] for row in documents} == {"1.txt": "one", "y/2.jsonl#line=1": "two"}


def test_real_lines(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    path = shared_data("text/c4/c4_sample.jsonl.gz")
    with gzip.open(path) as stream:
        expected = [json.loads(line) for line in stream]
    documents, ledger = run(tmp_path / "store", path, fields=Fields(crawled="timestamp"))
    assert len(documents) == len(ledger) == len(expected)
    assert [row["url"] for row in documents] == [line["url"] for line in expected]
    assert all(row["crawled"] and row["published"] is None for row in documents)

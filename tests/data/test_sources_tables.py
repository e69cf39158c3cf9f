"""The source `files`: CSV, Parquet, Arrow and JSON lines of published layouts, compressed, whole and hostile."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from firn.core.errors import InputError
from firn.core.store import Store
from firn.data import arrow_messages, compressed, read, sources, tables
from firn.data.extract import ExtractSettings
from firn.data.fetch import raw
from firn.data.layouts import LAYOUTS, Fields, columns_of
from firn.data.sources import FilesSource, fineweb
from firn.data.sources.fineweb import FinewebSource

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "sources"))
from hub_server import hub
from shards import Inline
from shards import read as table

Rows = list[dict[str, Any]]
FINEWEB = {
    "text": ["one", "zwei"],
    "id": ["<urn:uuid:1>", "<urn:uuid:2>"],
    "dump": ["CC-MAIN-2024-10"] * 2,
    "url": ["http://www.a.org/x", "http://b.org/"],
    "date": ["2024-02-21T05:00:00Z"] * 2,
    "file_path": ["s3://commoncrawl/crawl-data/CC-MAIN-2024-10/segments/1/warc/CC-MAIN-1.warc.gz"] * 2,
    "language": ["en", "de"],
    "language_score": [0.9, 0.8],
    "token_count": [1, 2],
}


def run(store: Path, source: Any) -> tuple[Rows, Rows]:
    """Documents and ledger rows."""
    engine = Inline(Store(store))
    manifests = engine.run(read.tasks("mine", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    documents = [row for m in manifests for row in table(engine.store, m).to_pylist()]
    ledger = [row for m in manifests for row in table(engine.store, m, "ledger").to_pylist()]
    return documents, ledger


def files(*paths: str | Path, **settings: Any) -> FilesSource:
    return FilesSource(paths=tuple(map(str, paths)), **settings)


def texts(documents: Rows) -> dict[str, str]:
    return {row["address"]: row["text"] for row in documents}


def zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


def write_arrow(path: Path, data: pa.Table, stream: bool, rows: int | None = None) -> None:
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(str(path), data.schema) as writer:
        writer.write_table(data, max_chunksize=rows)


def test_all_forms_of_a_table_give_the_same_documents(tmp_path: Path) -> None:
    rows = [
        {"text": f'line {i}, with "quotes"\nand more', "id": f"r{i}", "url": f"http://h{i}.org/"} for i in range(50)
    ]
    data = pa.Table.from_pylist(rows)
    pq.write_table(data, tmp_path / "a.parquet", row_group_size=7)
    write_arrow(tmp_path / "b.arrow", data, stream=False, rows=9)
    write_arrow(tmp_path / "c.ipc", data, stream=True, rows=11)
    csv = "\ufefftext,id,url\r\n" + "".join(
        '"{}",{},{}\r\n'.format(row["text"].replace('"', '""'), row["id"], row["url"]) for row in rows
    )
    (tmp_path / "d.csv").write_bytes(csv.encode())
    (tmp_path / "e.csv.gz").write_bytes(gzip.compress(csv.encode()))
    (tmp_path / "f.csv").write_bytes(csv.encode("utf-16"))
    (tmp_path / "g.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    forms = {}
    for path in sorted(tmp_path.glob("*.*")):
        documents, ledger = run(tmp_path / "store", files(path))
        assert len(ledger) == 50
        mark = "line" if path.name.startswith("g") else "row"
        assert [row["address"] for row in documents] == [f"{path.name}#{mark}={i}" for i in range(1, 51)]
        forms[path.name] = [(row["text"], row["url"], row["group"], json.loads(row["meta"])["id"]) for row in documents]
    expected = [(row["text"], row["url"], row["url"][7:-1], row["id"]) for row in rows]
    assert len(forms) == 7
    assert all(found == expected for found in forms.values())


def test_columns_are_what_the_recipe_says(tmp_path: Path) -> None:
    data = pa.table(
        {
            "body": ["one", None, "three"],
            "about": [{"link": "http://x.org/1", "when": datetime(2020, 1, 2, tzinfo=UTC)}, None, None],
            "lang": pa.array(["en", "en", None]).dictionary_encode(),
            "stars": [1, 2, 3],
            "raw": [b"\xff", None, None],
        }
    )
    pq.write_table(data, tmp_path / "a.parquet")
    write_arrow(tmp_path / "b.arrow", data, stream=True)
    fields = Fields(
        text="body",
        id=None,
        url="about.link",
        published="about.when",
        language="lang",
        meta={"stars": "stars", "r": "raw"},
    )
    for name in ("a.parquet", "b.arrow"):
        documents, ledger = run(tmp_path / "store", files(tmp_path / name, fields=fields, license="CC0-1.0"))
        assert [row["verdict"] for row in ledger] == ["kept", "failed", "kept"]
        assert "no text in the column 'body'" in ledger[1]["error"]
        assert (documents[0]["url"], documents[0]["language"]) == ("http://x.org/1", "en")
        assert (documents[0]["published"], documents[0]["date_method"]) == (datetime(2020, 1, 2, tzinfo=UTC), "field")
        meta = json.loads(documents[0]["meta"])
        assert (meta["stars"], meta["r"], documents[0]["license"]) == (1, "\ufffd", "CC0-1.0")
    with pytest.raises(InputError, match="has no column 'texts'; nearest: 'text'") as error:
        columns_of(Fields(text="texts"), (), ["id", "text"], "a.parquet")
    assert (error.value.where, error.value.key) == ("a.parquet", "fields.text")
    for wrong, key in ((Fields(text="body", url="links"), "url"), (Fields(text="body", meta={"x": "star"}), "meta.x")):
        with pytest.raises(InputError, match="has no column") as error:
            run(tmp_path / "store", files(tmp_path / "a.parquet", fields=wrong))
        assert error.value.key == f"fields.{key}"


def test_csv_that_is_not_as_it_should_be(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    long = "y" * 3000
    path.write_bytes(
        f'text;n\none;1\n\n"two\nlines";2\n{long};3\nafter;4\n"in\n{long}\nquotes";5\nsix;6\n'
        'a;b;c\nshort\n"open;9\n'.encode("cp1252")
        + "é".encode("cp1252") * 5
    )
    documents, ledger = run(tmp_path / "store", files(path, delimiter=";", fields=Fields(id="n"), max_bytes=2000))
    assert [(row["address"][6:], row["verdict"], row["rule"]) for row in ledger] == [
        ("row=1", "kept", None),
        ("row=2", "kept", None),
        ("row=3", "removed", "files.too_large"),
        ("row=4", "kept", None),
        ("row=5", "removed", "files.too_large"),
        ("row=6", "kept", None),
        ("row=7", "failed", None),
        ("row=8", "kept", None),
        ("row=9", "failed", None),
    ]
    assert [row["text"] for row in documents][:4] == ["one", "two\nlines", "after", "six"]
    (tmp_path / "t.tsv").write_text('text\tid\na, b\t1\n"c\td"\t2\n')
    assert [row["text"] for row in run(tmp_path / "store", files(tmp_path / "t.tsv"))[0]] == ["a, b", "c\td"]
    (tmp_path / "empty.csv").write_bytes(b"")
    assert run(tmp_path / "store", files(tmp_path / "empty.csv")) == ([], [])
    (tmp_path / "head.csv").write_bytes(b"id\n1\n")
    with pytest.raises(InputError, match="no column 'text'"):
        run(tmp_path / "store", files(tmp_path / "head.csv"))


def test_text_and_lines_under_every_compression(tmp_path: Path) -> None:
    line = b'{"text": "packed"}\n'
    for suffix, pack in (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zst", zstd)):
        (tmp_path / f"a.jsonl.{suffix}").write_bytes(pack(line) + pack(line))
        (tmp_path / f"a.txt.{suffix}").write_bytes(pack(b"plain"))
        (tmp_path / f"cut.jsonl.{suffix}").write_bytes(pack(line * 40_000)[:-12])
    documents, ledger = run(tmp_path / "store", files(tmp_path))
    found = texts(documents)
    for suffix in ("gz", "bz2", "xz", "zst"):
        assert found[f"a.txt.{suffix}"] == "plain"
        assert found[f"a.jsonl.{suffix}#line=2"] == "packed"
        last = [row for row in ledger if row["address"].startswith(f"cut.jsonl.{suffix}#")][-1]
        assert last["verdict"] == "failed"
        assert "cannot be decompressed" in last["error"]


def test_bombs_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "FREE", 1 << 20)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}\n' + bytes(64 << 20)))
    documents, ledger = run(tmp_path / "store", files(tmp_path / "a.jsonl.gz"))
    assert [row["verdict"] for row in ledger] == ["kept", "failed"]
    assert "times its size" in ledger[-1]["error"]
    assert len(documents) == 1


def test_damaged_tables_fail_from_where_they_are_damaged(tmp_path: Path) -> None:
    data = pa.table({"text": [f"text {i} " * 50 for i in range(3000)]})
    pq.write_table(
        data, tmp_path / "whole.parquet", row_group_size=1000, use_dictionary=False, write_page_checksum=True
    )
    whole = (tmp_path / "whole.parquet").read_bytes()
    middle = bytearray(whole)
    place = pq.ParquetFile(tmp_path / "whole.parquet").metadata.row_group(1).column(0).data_page_offset
    for at in range(place + 2000, place + 2030):
        middle[at] ^= 0xFF
    write_arrow(tmp_path / "whole.arrow", data, stream=False, rows=500)
    arrow = (tmp_path / "whole.arrow").read_bytes()
    for name, content, least in (
        ("cut.parquet", whole[: len(whole) // 2], 0),
        ("flipped.parquet", bytes(middle), 1000),
        ("no.parquet", b"nothing", 0),
        ("cut.arrow", arrow[: len(arrow) // 2], 1000),
        ("no.arrow", b"nothing at all", 0),
        ("huge.arrow", b"\xff\xff\xff\xff\xf0\xff\xff\x7f" + bytes(100), 0),
        ("noise.arrow", b"ARROW1\0\0" + bytes(range(256)) * 4, 0),
    ):
        (tmp_path / name).write_bytes(content)
        documents, ledger = run(tmp_path / "store", files(tmp_path / name))
        assert len(documents) >= least, name
        assert [row["verdict"] for row in ledger] == ["kept"] * len(documents) + ["failed"], name
        assert "cannot be read on" in ledger[-1]["error"]


def test_rows_and_batches_that_are_too_large_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pa.table({"text": ["a", "b", "x" * 100_000, "y" * 100_000, "c", "z" * 3000]})
    pq.write_table(data, tmp_path / "a.parquet", row_group_size=2, compression="none", use_dictionary=False)
    documents, ledger = run(tmp_path / "store", files(tmp_path / "a.parquet", max_bytes=2000))
    assert [(row["address"], row["rule"]) for row in ledger] == [
        ("a.parquet#row=1", None),
        ("a.parquet#row=2", None),
        ("a.parquet#row=3", "files.too_large"),
        ("a.parquet#row=4", "files.too_large"),
        ("a.parquet#row=5", None),
        ("a.parquet#row=6", "files.too_large"),
    ]
    assert [row["text"] for row in documents] == ["a", "b", "c"]
    monkeypatch.setattr(arrow_messages, "MAX_BATCH", 10_000)
    write_arrow(tmp_path / "b.arrow", data, stream=True, rows=2)
    documents, ledger = run(tmp_path / "store", files(tmp_path / "b.arrow"))
    assert [row["verdict"] for row in ledger] == ["kept", "kept", "failed"]
    assert "write smaller record batches" in ledger[-1]["error"]


def test_a_large_parquet_file_is_several_shards_of_the_same_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"text {n}" * (n % 50) for n in range(2000)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=90, compression="none")
    source = files(tmp_path / "a.parquet", max_bytes=300)
    whole = run(tmp_path / "store", source)
    (task,) = read.tasks("mine", source, ExtractSettings(), None)  # type: ignore[arg-type]
    for size in (200_000, 9_000):  # more bytes than a row group has, and fewer
        monkeypatch.setattr(sources.files, "PART_BYTES", size)
        parts = read.tasks("mine", source, ExtractSettings(), None)  # type: ignore[arg-type]
        assert len({part.fingerprint for part in parts} | {task.fingerprint}) == len(parts) + 1 > 2
        assert sum(part.bytes for part in parts) == task.bytes
        assert run(tmp_path / "store", source) == whole


def test_a_broken_connection_is_no_fault_of_the_file() -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["x" * 5000] * 100}), buffer, compression="none", use_dictionary=False)

    class Breaks(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() < 200_000:
                raise ConnectionResetError("gone")
            return super().read(size)

    with pytest.raises(ConnectionResetError):
        list(tables.rows(Breaks(buffer.getvalue()), "parquet", lambda names: names, 1 << 20, None))  # type: ignore[arg-type]

    class Stops(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise ConnectionResetError("gone")
            return super().read(min(size or 0, 1000))

    for pack in (gzip.compress, bz2.compress, lzma.compress, zstd):
        packed = pack(b"".join(b"%d" % (i * i) for i in range(100_000)))
        with pytest.raises(ConnectionResetError):
            compressed.Unpacked(Stops(packed)).read()


def test_what_describes_a_dataset_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "set" / "dataset_info.json").write_text("{}")
    pq.write_table(pa.table({"text": ["one"]}), tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "saved" / "train").mkdir(parents=True)
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (tmp_path / "saved" / "train" / "state.json").write_text("{}")
    write_arrow(tmp_path / "saved" / "train" / "data-00000-of-00001.arrow", pa.table({"text": ["two"]}), stream=True)
    (tmp_path / "lines" / "data").mkdir(parents=True)
    (tmp_path / "lines" / "README.md").write_text("# A card")
    (tmp_path / "lines" / "dataset_infos.json").write_text('{\n "default": {\n }\n}')
    (tmp_path / "lines" / "data" / "train.jsonl.gz").write_bytes(gzip.compress(b'{"text": "three"}\n'))
    (tmp_path / "lines" / "data" / "test.csv").write_text("text\nfour\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("kept")
    (tmp_path / "notes" / "other.txt").write_text("kept too")
    (tmp_path / "notes" / "figures.csv").write_text("text\nand this\n")
    found = {}
    for name in ("set", "saved", "lines", "notes"):
        documents, ledger = run(tmp_path / "store", files(tmp_path / name))
        found |= texts(documents)
        assert {row["rule"] for row in ledger} <= {None, "files.description"}
    assert found == {
        "data/train-00000-of-00001.parquet#row=1": "one",
        "train/data-00000-of-00001.arrow#row=1": "two",
        "data/train.jsonl.gz#line=1": "three",
        "data/test.csv#row=1": "four",
        "README.md": "kept",
        "other.txt": "kept too",
        "figures.csv#row=1": "and this",
    }


def test_an_object_as_python_prints_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    deep = "{'url': " * 5_000
    for meta in ("{'url': 'http://x.org/', 'license': \"it's\", 'timestamp': None}", deep, "{'url': __import__('os')}"):
        path.write_text(json.dumps({"text": "t", "meta": meta}) + "\n")
        (document,), _ = run(tmp_path / "store", files(path, layout="redpajama"))
        assert document["url"] == ("http://x.org/" if "it's" in meta else None)


def test_published_layouts(tmp_path: Path) -> None:
    crawled = datetime(2023, 2, 9, 1, 2, 3, tzinfo=UTC)
    records = {
        "c4": {"text": "t", "url": "http://x.org/", "timestamp": "2023-02-09T01:02:03Z"},
        "dolma": {
            "text": "t", "id": "1", "source": "peS2o", "added": "2023-02-09T01:02:03Z", "created": "1999-01-01",
            "metadata": {"url": "http://x.org/", "language": "en", "language_score": 0.5},
        },
        "redpajama": {"text": "t", "meta": '{"url": "http://x.org/", "license": "MIT"}', "red_pajama_subset": "github"},
        "redpajama-v2": {
            "raw_content": "t", "url": "http://x.org/", "date_download": "2023-02-09T01:02:03Z", "digest": "sha1:A",
            "language": "en", "language_score": 0.5, "perplexity": 3.5,
        },
    }  # fmt: skip
    for layout, record in records.items():
        path = tmp_path / f"{layout}.jsonl"
        path.write_text(json.dumps(record) + "\n")
        (document,), _ = run(tmp_path / "store", files(path, layout=layout))
        assert (document["text"], document["url"], document["published"]) == ("t", "http://x.org/", None)
        assert document["crawled"] == (None if layout == "redpajama" else crawled)
        assert document["language"] == (None if layout in ("c4", "redpajama") else "en")
        assert document["license"] == ("MIT" if layout == "redpajama" else None)
    assert json.loads(document["meta"])["perplexity"] == 3.5
    path = tmp_path / "dolma.jsonl"
    (document,), _ = run(tmp_path / "store", files(path, layout="dolma", fields=Fields(published="created")))
    assert document["published"] == datetime(1999, 1, 1, tzinfo=UTC)
    assert all(fields.published is None for fields in LAYOUTS.values())


def test_real_lines_of_dolma(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    documents, ledger = run(tmp_path, files(shared_data("text/cc-head"), layout="dolma"))
    assert len(documents) == len(ledger) == 20
    assert all(row["url"] and row["crawled"] and row["language"] == "en" for row in documents)
    assert all(row["published"] is None for row in documents)


def test_fineweb_by_dump_share_and_language(tmp_path: Path) -> None:
    dump = tmp_path / "base" / "data" / "CC-MAIN-2024-10"
    dump.mkdir(parents=True)
    for number in range(10):
        pq.write_table(pa.table(FINEWEB), dump / f"000_{number:05}.parquet")
    source = FinewebSource(dump="CC-MAIN-2024-10", base=str(tmp_path / "base"))
    documents, ledger = run(tmp_path / "store", source)
    assert len(documents) == len(ledger) == 20
    first = documents[0]
    assert first["address"].startswith("data/CC-MAIN-2024-10/000_")
    assert (first["crawled"], first["published"]) == (datetime(2024, 2, 21, 5, tzinfo=UTC), None)
    assert (first["group"], first["language"]) == ("a.org", "en")
    assert json.loads(first["meta"]) == {
        "dump": "CC-MAIN-2024-10",
        "format": "parquet",
        "id": "<urn:uuid:1>",
        "tokens": 1,
        "warc": FINEWEB["file_path"][0],
    }

    def names(**settings: Any) -> set[str]:
        tasks = fineweb.tasks("f", source.model_copy(update=settings), ExtractSettings())
        return {name for task in tasks for name, _ in task.extra["files"]}

    assert names(share=0.3) < names(share=0.5) < names()
    assert [len(names(share=share)) for share in (0.01, 0.3, 0.55)] == [1, 3, 6]
    assert names(share=0.3, seed=1) != names(share=0.3)

    (tmp_path / "two" / "data" / "fra_Latn" / "train").mkdir(parents=True)
    (tmp_path / "two" / "data" / "fra_Latn" / "test").mkdir()
    french = {**{k: v for k, v in FINEWEB.items() if k != "token_count"}, "language_script": ["Latn"] * 2}
    pq.write_table(pa.table(french), tmp_path / "two" / "data" / "fra_Latn" / "train" / "000_00000.parquet")
    pq.write_table(pa.table(french), tmp_path / "two" / "data" / "fra_Latn" / "test" / "000_00000.parquet")
    source = FinewebSource(dataset="fineweb-2", config="fra_Latn", base=str(tmp_path / "two"))
    documents, _ = run(tmp_path / "store", source)
    assert [json.loads(row["meta"])["script"] for row in documents] == ["Latn", "Latn"]
    assert FinewebSource(config="sample-10BT").folder == "sample/10BT"
    for wrong in ({}, {"dump": "CC-MAIN-2024-10", "config": "x"}, {"dataset": "fineweb-2", "dump": "CC-MAIN-2024-10"}):
        with pytest.raises(ValueError, match="name a"):
            FinewebSource(**wrong)  # type: ignore[arg-type]


def test_data_sets_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed and read by ranges through huggingface_hub, from a server of its kind."""
    buffer = io.BytesIO()
    pq.write_table(pa.table(FINEWEB), buffer)
    folder = "data/CC-MAIN-2024-10"
    held = {f"{folder}/000_00000.parquet": buffer.getvalue(), f"{folder}/000_00001.parquet": buffer.getvalue()}
    with hub("HuggingFaceFW/fineweb", {**held, "README.md": b"# FineWeb", "data/other/a.txt": b"x"}) as (
        address,
        asked,
    ):
        monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": address})
        source = FinewebSource(dump="CC-MAIN-2024-10")
        documents, ledger = run(tmp_path / "store", source)
        assert len(documents) == len(ledger) == 4
        assert documents[0]["address"].startswith(f"{folder}/000_0000")
        assert {name for name, _ in asked} == set(held)
        for document in documents:
            row = json.loads(raw(document["address"], source).data)
            assert (row["text"], row["url"]) == (document["text"], document["url"])
        path = f"hf://datasets/HuggingFaceFW/fineweb/{folder}/*.parquet"
        tasks = read.tasks("mine", files(path, layout="fineweb"), ExtractSettings(), None)  # type: ignore[arg-type]
        # The Hub says the hash of a file: none is read to know it.
        before = len(asked)
        assert {input.name for task in tasks for input in task.inputs} == {"000_00000.parquet", "000_00001.parquet"}
        assert len({input.identity for task in tasks for input in task.inputs}) == 1
        assert len(asked) == before
        with pytest.raises(InputError, match="holds no file"):
            run(tmp_path / "store", files("hf://datasets/HuggingFaceFW/fineweb/data/nothing/*.parquet"))


def test_a_json_list_is_one_row_that_says_how_to_mend_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"text": "one"}, {"text": "two"}], indent=1))
    documents, ledger = run(tmp_path / "store", files(path))
    assert not documents
    (only,) = ledger
    assert only["verdict"] == "failed"
    assert "a JSON list; one object on each line is read" in only["error"]


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("name", ["a b.json", "a.json.gz", "a.jsonl"])
@pytest.mark.parametrize("content", ['[{"text": "one"}, {"text": "two"}]', '{\n "text": "one"\n}\n{"text": "two"}\n'])
def test_the_command_that_mends_json_over_several_lines_does(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    _, (only,) = run(tmp_path / "store", files(path))
    command = only["error"].partition("is read: ")[2]
    before = path.read_bytes()
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert path.read_bytes() == before
    documents, _ = run(tmp_path / "store", files(*(each for each in tmp_path.glob("a*") if each != path)))
    assert [row["text"] for row in documents] == ["one", "two"]


def test_a_line_of_millions_of_values_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "before"}\n{"text": [' + '{"":0},' * 1_100_000 + '0]}\n{"text": "after"}\n')
    documents, ledger = run(tmp_path / "store", files(path))
    assert [document["text"] for document in documents] == ["before", "after"]
    assert "1,100,002 objects and lists in one record" in ledger[1]["error"]


def test_cells_divided_otherwise_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text;url\none;http://a\n")
    with pytest.raises(InputError, match=r"(?s)one column only.*delimiter: ';'"):
        run(tmp_path / "store", files(path))


def test_the_first_feather_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.feather"
    feather.write_feather(pa.table({"text": ["one"]}), path, version=1)
    _, ledger = run(tmp_path / "store", files(path))
    assert "Feather in its first version" in ledger[0]["error"]

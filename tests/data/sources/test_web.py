"""Files of web servers: folders, URLs with a query, servers that give whole files only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firn.core import remote
from firn.core.errors import InputError
from firn.core.store import Store
from firn.data import read
from firn.data.extract import ExtractSettings
from firn.data.fetch import raw
from firn.data.sources import FilesSource
from firn.data.sources.listing import find

sys.path.insert(0, str(Path(__file__).parents[1]))
from shards import Inline
from shards import read as table


class Web(ThreadingHTTPServer):
    """Serves a folder by the path of a URL, whole. length: whether it says how long a file is."""

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.length = folder, True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Web
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.server.folder / urlsplit(self.path).path.lstrip("/")
        if path.is_dir():
            names = [f"{each.name}/" if each.is_dir() else each.name for each in sorted(path.iterdir())]
            names += ["../", "../secret.jsonl", "?C=N;O=D", "/", "https://elsewhere.invalid/far.jsonl"]
            body, kind = "".join(f'<a href="{name}">x</a>' for name in names).encode(), "text/html"
        elif path.is_file():
            body, kind = path.read_bytes(), "application/octet-stream"
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if self.server.length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    folder = tmp_path / "web"
    (folder / "corpus" / "deep").mkdir(parents=True)
    (folder / "secret.jsonl").write_text('{"text": "Not below the folder."}\n')
    (folder / "corpus" / "a.jsonl").write_text('{"text": "First."}\n{"text": "Second."}\n')
    (folder / "corpus" / "deep" / "b.jsonl").write_text('{"text": "Third."}\n')
    pq.write_table(pa.table({"text": ["Fourth.", "Fifth."]}), folder / "corpus" / "c.parquet")
    server = Web(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(store: Path, source: FilesSource) -> list[dict[str, Any]]:
    engine = Inline(Store(store))
    manifests = engine.run(read.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    assert "token" not in "".join(manifest.to_json().decode() for manifest in manifests)
    return [row for manifest in manifests for row in table(engine.store, manifest).to_pylist()]


@pytest.mark.parametrize("length", [True, False])
def test_a_folder_is_what_its_page_links_to_and_each_record_is_found_again(
    tmp_path: Path, web: Web, length: bool
) -> None:
    web.length = length
    source = FilesSource(paths=(f"{web.url}/corpus/",))
    documents = run(tmp_path / "store", source)
    assert {row["address"]: row["text"] for row in documents} == {
        "a.jsonl#line=1": "First.",
        "a.jsonl#line=2": "Second.",
        "deep/b.jsonl#line=1": "Third.",
        "c.parquet#row=1": "Fourth.",
        "c.parquet#row=2": "Fifth.",
    }
    for row in documents:
        assert row["text"].encode() in raw(row["address"], source).data


def test_a_page_that_is_no_file_is_told_and_how_to_read_its_folder(web: Web) -> None:
    with pytest.raises(InputError, match="list of a folder") as refused:
        find([f"{web.url}/corpus"])
    assert f"write {web.url}/corpus/," in (refused.value.mend or "")


def test_a_pattern_finds_files_and_a_query_is_no_part_of_it(web: Web) -> None:
    assert [file.name for file in find([f"{web.url}/corpus/*.jsonl"])] == ["a.jsonl"]
    found = find([f"{web.url}/corpus/**/*.jsonl"])
    assert [file.name for file in found] == ["a.jsonl", "deep/b.jsonl"]
    # Shards are cut by sizes, which a list of links does not say.
    assert [file.bytes for file in found] == [(web.folder / "corpus" / file.name).stat().st_size for file in found]


def test_of_a_url_with_a_query_only_the_path_is_named(tmp_path: Path, web: Web) -> None:
    source = FilesSource(paths=(f"{web.url}/corpus/a.jsonl?token=s3cret&of=[1]/x.txt",))
    documents = run(tmp_path / "store", source)
    assert [row["address"] for row in documents] == ["a.jsonl#line=1", "a.jsonl#line=2"]
    found = raw("a.jsonl#line=2", source)
    assert b"Second." in found.data
    assert "token" not in found.where
    with pytest.raises(InputError, match="two sources") as refused:
        find([*source.paths, f"{web.url}/corpus/a.jsonl?token=other"])
    assert "token" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "mend"),
    [
        ("s3://bucket.invalid/corpus/", "FSSPEC_S3_ANON=true"),
        ("hf://datasets/owner/name/*.parquet", "HF_TOKEN"),
        ("http://127.0.0.1:9/corpus/", "the connection"),
    ],
)
def test_what_cannot_be_reached_is_told_and_what_to_look_at(
    monkeypatch: pytest.MonkeyPatch, path: str, mend: str
) -> None:
    def unreachable(ask: object, url: str, connections: int = 1) -> None:
        raise OSError("no route to it")

    monkeypatch.setattr("firn.data.sources.listing.patiently", unreachable)
    with pytest.raises(InputError, match="cannot be listed: no route to it") as refused:
        find([path])
    assert mend in (refused.value.mend or "")

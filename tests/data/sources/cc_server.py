"""A small crawl laid out as Common Crawl's are, and a server for it that can fail in every way that servers fail."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))
from warcs import http, members, page, record

CRAWL = "CC-MAIN-2024-22"
FILES, PAGES = 6, 5
# Of the pages of each file, in turn.
HOSTS = ("www.example.org", "snow.example.org", "fjall.is", "example.com", "www.notexample.org")
LANGUAGES = ("eng", "deu,eng", "isl,eng", "eng,isl", None)
MIME = ("text/html", "text/html", "text/html", "application/xhtml+xml", "application/pdf")


def surt(url: str) -> str:
    """The SURT key of a plain URL."""
    host, path = re.match(r"https?://(?:www\.)?([^/]+)(.*)", url).groups()  # type: ignore[union-attr]
    return f"{','.join(reversed(host.split('.')))}){path.lower()}"


def make(folder: Path) -> None:
    """Write the crawl: lists, WARC and WET files, columnar index."""
    base = f"crawl-data/{CRAWL}"
    warcs, wets, rows = [], [], []
    for number in range(FILES):
        name = f"CC-MAIN-20240517233122-20240518023122-{number:05}"
        warcs.append(f"{base}/segments/1715971057216.39/warc/{name}.warc.gz")
        wets.append(f"{base}/segments/1715971057216.39/wet/{name}.warc.wet.gz")
        data = members(record(f"info-{number}", b"isPartOf: x", "warcinfo", "application/warc-fields"))
        texts = data
        for at, host in enumerate(HOSTS):
            url = f"https://{host}/{number}/{at}"
            piece = members(record(f"{number}-{at}", http(page(f"Page {at} of file {number}.")), url=url))
            texts += members(record(f"t{number}-{at}", f"Text {at} of {number}.".encode(), "conversion", "text/plain"))
            rows.append(
                {
                    "url_surtkey": surt(url),
                    "url": url,
                    "url_host_name": host,
                    "fetch_status": 200,
                    "content_mime_detected": MIME[at],
                    "content_languages": LANGUAGES[at],
                    "warc_filename": warcs[-1],
                    "warc_record_offset": len(data),
                    "warc_record_length": len(piece),
                }
            )
            data += piece
        _write(folder / warcs[-1], data)
        _write(folder / wets[-1], texts)
    index = f"cc-index/table/cc-main/warc/crawl={CRAWL}"
    parts = [f"{index}/subset=warc/part-{number:05}-b13edba3.c000.gz.parquet" for number in range(2)]
    others = [f"{index}/subset=robotstxt/part-00000-b13edba3.c000.gz.parquet"]
    write_index(folder, parts, rows)
    _write(folder / others[0], b"never read")
    for listing, paths in (("warc", warcs), ("wet", wets), ("cc-index-table", others + parts)):
        _write(folder / f"{base}/{listing}.paths.gz", gzip.compress("".join(f"{p}\n" for p in paths).encode(), mtime=0))
    crawls = [("CC-MAIN-2024-26", "June 2024 Index"), (CRAWL, "May 2024 Index")]
    about = [{"id": i, "name": n, "timegate": "x", "cdx-api": "x", "from": "2024-05-17T23:31:22"} for i, n in crawls]
    _write(folder / "collinfo.json", json.dumps(about).encode())


def write_index(folder: Path, parts: Sequence[str], rows: list[dict[str, Any]]) -> None:
    """The rows, sorted by key, in so many Parquet files with small row groups."""
    rows = sorted(rows, key=lambda row: row["url_surtkey"])
    each = -(-len(rows) // len(parts))
    for number, part in enumerate(parts):
        table = pa.Table.from_pylist(rows[number * each : (number + 1) * each])
        for name, kind in (("warc_record_offset", pa.int32()), ("warc_record_length", pa.int32())):
            table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / part, row_group_size=4, compression="gzip")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


class CrawlServer(ThreadingHTTPServer):
    """Serves a folder, with ranges and ETags.

    failing: share of requests that fail, in one of `ways`, as the seed has it. slow: seconds that an answer takes.
    asked: (path, first byte asked for or None) of every GET. at_once: most answers that were on their way together.
    """

    ways: Sequence[str] = ("429", "503", "403", "dropped", "broken", "short", "elsewhere")
    daemon_threads = True

    def __init__(self, folder: Path, failing: float = 0.0, seed: int = 0, slow: float = 0.0):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.failing, self.slow = folder, failing, slow
        self.chance, self.lock = random.Random(seed), threading.Lock()
        self.asked: list[tuple[str, int | None]] = []
        self.failed: list[str] = []
        self.open = self.at_once = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def way(self) -> str | None:
        """How the request at hand fails, if it does."""
        with self.lock:
            if self.chance.random() >= self.failing:
                return None
            self.failed.append(self.chance.choice(list(self.ways)))
            return self.failed[-1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # those who hang up are expected to


@contextmanager
def serving(folder: Path, **how: Any) -> Iterator[CrawlServer]:
    """A server of the folder, running."""
    server = CrawlServer(folder, **how)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: CrawlServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        with self.server.lock:
            self.server.open += 1
            self.server.at_once = max(self.server.at_once, self.server.open)
            self.server.asked.append((self.path, int(asked[1]) if asked else None))
        try:
            time.sleep(self.server.slow)
            self._answer()
        finally:
            with self.server.lock:
                self.server.open -= 1

    def _answer(self) -> None:
        way = self.server.way()
        if way == "dropped":
            self.close_connection = True
            return
        if way in ("429", "503", "403"):
            body = b"<Error><Code>SlowDown</Code></Error>"
            self._head(int(way), len(body), **({} if way == "403" else {"Retry-After": "0"}))
            self._body(body)
            return
        path = self.server.folder / self.path.lstrip("/")
        data = path.read_bytes() if path.is_file() else None
        if data is None:
            self._head(404, 0)
            return
        headers = {"ETag": f'"{hashlib.md5(data).hexdigest()}"', "Accept-Ranges": "bytes"}
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            self._head(200, len(data), **headers)
            self._body(data, way)
            return
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if first >= len(data):
            self._head(416, 0)
            return
        if way == "elsewhere":
            first = (first + 7) % len(data)
        body = data[first : last + 1]
        if way == "short":
            body = body[: len(body) // 2]
        end = first + max(len(body), 1) - 1
        self._head(206, len(body), **headers, **{"Content-Range": f"bytes {first}-{end}/{len(data)}"})
        self._body(body, way)

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, body: bytes, way: str | None = None) -> None:
        if self.command == "HEAD":
            return
        if way == "broken":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return

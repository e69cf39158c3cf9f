"""A server that answers as the Hugging Face Hub does, for one data set."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


def entry(path: str, data: bytes) -> dict[str, Any]:
    """A file as the Hub lists it."""
    hash = hashlib.sha256(data).hexdigest()
    lfs = {"oid": hash, "size": len(data), "pointerSize": 130}
    return {"type": "file", "path": path, "size": len(data), "oid": hash[:40], "lfs": lfs}


@contextmanager
def hub(dataset: str, files: dict[str, bytes]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The address of a running server, and the ranges of files that it was asked for."""
    asked: list[tuple[str, str]] = []
    folders = {path.rsplit("/", depth)[0] for path in files for depth in range(1, path.count("/") + 1)}
    listed = [{"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in sorted(folders)]
    listed += [entry(path, data) for path, data in sorted(files.items())]

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            wanted = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body)["paths"]
            self._json([item for item in listed if item["path"] in wanted])

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if found := re.fullmatch(rf"/datasets/{dataset}/resolve/main/(.+)", path):
                self._file(found[1])
            elif found := re.fullmatch(rf"/api/datasets/{dataset}/tree/main/?(.*)", path):
                above = f"{found[1]}/" if found[1] else ""
                deep = "recursive=true" in self.path.lower()
                below = [item for item in listed if item["path"].startswith(above)]
                self._json([item for item in below if deep or "/" not in item["path"].removeprefix(above)])
            elif re.fullmatch(rf"/api/datasets/{dataset}(/revision/main)?", path):
                self._json({"id": dataset, "sha": "1" * 40, "private": False, "siblings": []})
            else:
                self.send_error(404)

        do_HEAD = do_GET

        def _json(self, value: Any) -> None:
            self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _file(self, name: str) -> None:
            data, headers = files[name], {"ETag": f'"{entry(name, files[name])["oid"]}"', "X-Repo-Commit": "1" * 40}
            if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                asked.append((name, found[0]))
                start, end = int(found[1]), min(int(found[2] or len(data)) + 1, len(data))
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
                self._send(206, data[start:end], headers)
            else:
                self._send(200, data, headers)

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

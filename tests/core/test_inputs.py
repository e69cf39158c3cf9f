"""Raw files, local and remote: URLs stay as they are, content names them, and a broken connection is no document's."""

from __future__ import annotations

import http.server
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from firn.core import remote
from firn.core.errors import InputError, StoreError
from firn.core.inputs import External, external, opened
from firn.core.stage import Stage, Task, Work, execute
from firn.core.store import Manifest, Store

PAGE = b"old snow " * 1000


class Pages(http.server.BaseHTTPRequestHandler):
    """Serves `content` by path, whole. more: what else it says. cut: it hangs up half-way; breaks: so often.
    asked: how often it sent some."""

    content: dict[str, bytes] = {}
    more: dict[str, str] = {}
    cut = False
    breaks = asked = 0

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        body = self.content.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        for name, value in self.more.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body and body:
            type(self).asked += 1
            type(self).breaks -= 1
            self.wfile.write(body[: len(body) // 2] if self.cut or self.breaks >= 0 else body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def pages() -> Iterator[type[Pages]]:
    class Fresh(Pages):
        content = {"/crawl/2024/a.warc.gz": PAGE, "/crawl/b.warc.gz?part=1": PAGE}
        more: dict[str, str] = {}

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fresh)
    Fresh.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Fresh
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSE", 0.0)


def read(work: Work) -> None:
    with work.stream() as stream, work.open("streamed") as out:
        while block := stream.read(1000):
            out.write(block)
    with work.open("fetched") as out:
        out.write(work.local().read_bytes())


def made(store: Store, raw: External) -> Manifest:
    return execute(Task(Stage("read", 1, read), None, (raw,), raw.name), store)


def test_a_file_in_memory_is_read_as_a_local_one(tmp_path: Path) -> None:
    local = tmp_path / "raw" / "deep" / "a.txt"
    local.parent.mkdir(parents=True)
    local.write_bytes(PAGE)
    fsspec.filesystem("memory").pipe_file("/inputs/deep/a.txt", PAGE)
    near, far = external(local, tmp_path / "raw"), external("memory://inputs/deep/a.txt", "memory://inputs")
    assert near.name == far.name == "deep/a.txt"
    assert near.bytes == far.bytes == len(PAGE)
    assert far.path == "memory://inputs/deep/a.txt"
    store = Store(tmp_path / "store")
    found = made(store, far)
    assert store.local(found, "streamed").read_bytes() == store.local(found, "fetched").read_bytes() == PAGE
    assert found.identity() == made(store, near).identity()


@pytest.mark.parametrize("path", ["/crawl/2024/a.warc.gz", "/crawl/b.warc.gz?part=1"])
def test_a_page_is_streamed_and_fetched(tmp_path: Path, pages: type[Pages], path: str) -> None:
    url = pages.url + path  # type: ignore[attr-defined]
    raw = external(url, pages.url + "/crawl")  # type: ignore[attr-defined]
    assert (raw.path, raw.name, raw.bytes) == (url, path.removeprefix("/crawl/").partition("?")[0], len(PAGE))
    store = Store(tmp_path / "store")
    found = made(store, raw)
    assert store.local(found, "streamed").read_bytes() == store.local(found, "fetched").read_bytes() == PAGE
    # What is in the cache is not fetched again.
    pages.content = {}
    assert raw.local().read_bytes() == PAGE


@pytest.mark.parametrize("header", ["ETag", "Last-Modified", None])
def test_another_content_has_another_identity(pages: type[Pages], header: str | None) -> None:
    url = pages.url + "/crawl/2024/a.warc.gz"  # type: ignore[attr-defined]
    pages.more = {header: "one"} if header else {}
    before = external(url).identity
    assert external(url).identity == before
    pages.content = {"/crawl/2024/a.warc.gz": PAGE[::-1]}
    pages.more = {header: "two"} if header else {}
    assert external(url).identity != before


def test_a_connection_that_breaks_off_is_tried_again_and_leaves_no_half_copy(
    tmp_path: Path, pages: type[Pages]
) -> None:
    pages.more = {"ETag": "a"}
    raw = external(pages.url + "/crawl/2024/a.warc.gz")  # type: ignore[attr-defined]
    pages.cut = True
    for read in (raw.stream, raw.local):
        pages.asked = 0
        with pytest.raises(StoreError, match=r"a\.warc\.gz: cannot be fetched") as given_up:
            read()
        assert "connection" in (given_up.value.mend or "")
        assert pages.asked >= remote.ATTEMPTS
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    pages.cut = False
    assert raw.local().read_bytes() == PAGE


@pytest.mark.parametrize("tag", ["a", ""])
def test_a_server_without_ranges_that_breaks_now_and_then_gives_whole_files_that_can_be_sought(
    tmp_path: Path, pages: type[Pages], tag: str
) -> None:
    pages.more = {"ETag": tag} if tag else {}
    pages.breaks = 3
    url = pages.url + "/crawl/2024/a.warc.gz"  # type: ignore[attr-defined]
    raw = external(url)
    for stream in (raw.stream(), opened(url)):
        with stream:
            stream.seek(-5, 2)
            assert stream.read() == PAGE[-5:]
            stream.seek(0)
            assert stream.read() == PAGE
    assert len(list((tmp_path / "cache").rglob("*a.warc.gz"))) == 1


@pytest.mark.parametrize("way", ["cut", "gone"])
def test_what_stands_in_a_query_is_in_no_error(pages: type[Pages], way: str) -> None:
    url = pages.url + "/crawl/b.warc.gz?part=1"  # type: ignore[attr-defined]
    pages.more = {"ETag": "a"}
    raw = external(url)
    assert "part" not in str(raw.describe())
    reads: list[Callable[[], object]] = [raw.local, raw.stream]
    if way == "cut":
        pages.cut = True
    else:
        pages.content = {}
        reads.append(lambda: external(url))
    for read in reads:
        with pytest.raises((OSError, StoreError, InputError)) as failed:
            read()
        told = "".join(traceback.format_exception(failed.value))
        assert "/crawl/b.warc.gz" in told
        assert "part=1" not in told


def test_a_file_that_became_shorter_is_refused(pages: type[Pages]) -> None:
    pages.more = {"ETag": "a"}
    raw = external(pages.url + "/crawl/2024/a.warc.gz")  # type: ignore[attr-defined]
    pages.content = {"/crawl/2024/a.warc.gz": PAGE[:-1]}
    with pytest.raises(InputError, match="changed while it was read"):
        raw.local()


@pytest.mark.parametrize("path", ["http://127.0.0.1:9/nothing", "memory://nowhere/a", "/nowhere/a", "nosuch://a/b"])
def test_what_is_not_there_is_a_clear_error(path: str) -> None:
    with pytest.raises(InputError) as refused:
        external(path)
    assert path in str(refused.value)
    assert refused.value.mend


def test_a_source_that_is_one_file_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(PAGE)
    assert external(tmp_path / "a.txt", tmp_path / "a.txt").name == "a.txt"

"""The source `commoncrawl`, against a server with Common Crawl's layout that throttles, breaks off and lies."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from firn.core import remote
from firn.core.engine import LocalEngine
from firn.core.errors import InputError
from firn.core.files import Files
from firn.core.inputs import external
from firn.core.progress import Progress
from firn.core.remote import Remote, RemoteFile
from firn.core.store import Manifest, Store
from firn.data import read
from firn.data.extract import ExtractSettings
from firn.data.fetch import raw
from firn.data.sources import CommonCrawlSource, WarcSource, commoncrawl
from firn.data.sources.crawls import Archive
from firn.data.sources.listing import chosen

sys.path.insert(0, str(Path(__file__).parent))
from cc_server import CRAWL, FILES, PAGES, CrawlServer, make, serving, write_index

sys.path.insert(0, str(Path(__file__).parents[1]))
from shards import Inline
from shards import read as table

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    make(folder)
    return folder


@pytest.fixture
def server(crawl: Path) -> Iterator[CrawlServer]:
    with serving(crawl) as running:
        yield running


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSE", 0.0)


def run(store: Path, base: str | Path, **settings: Any) -> tuple[list[Manifest], Rows, Rows]:
    """Manifests, documents and ledger rows."""
    source = CommonCrawlSource(crawl=CRAWL, base=str(base), **settings)
    engine = Inline(Store(store))
    engine.progress = Progress("plain")
    manifests = engine.run(read.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    documents: Rows = [row for m in manifests for row in table(engine.store, m).to_pylist()]
    ledger: Rows = [row for m in manifests for row in table(engine.store, m, "ledger").to_pylist()]
    return manifests, documents, ledger


def test_a_share_of_a_crawl_is_the_same_documents_from_a_server_and_from_a_folder(
    tmp_path: Path, server: CrawlServer, capsys: pytest.CaptureFixture[str]
) -> None:
    manifests, documents, _ = run(tmp_path / "a", server.url, files=2)
    assert len(manifests) == 2
    assert len(documents) == 2 * PAGES
    assert documents == run(tmp_path / "b", server.folder, files=2)[1]
    address, _, place = documents[0]["address"].partition("#")
    first, last = map(int, place.removeprefix("bytes=").split("-"))
    record = (server.folder / address).read_bytes()[first : last + 1]
    assert b"WARC-Target-URI: " + documents[0]["url"].encode() in gzip.decompress(record)
    source = CommonCrawlSource(crawl=CRAWL, base=server.url, files=2)
    assert raw(documents[0]["address"], source).data == gzip.decompress(record)
    # A larger share holds the smaller: what is there is not read again.
    _, more, _ = run(tmp_path / "a", server.url, files=0.5)
    assert len(more) == 3 * PAGES
    assert {row["id"] for row in documents} < {row["id"] for row in more}
    assert len(run(tmp_path / "a", server.url, files=1.0)[0]) == FILES
    assert len(run(tmp_path / "a", server.url, files=100)[0]) == FILES
    assert f"100 are asked for, and {CRAWL} has {FILES} files" in capsys.readouterr().out


def test_another_seed_chooses_other_files() -> None:
    paths = [f"crawl-data/{number}" for number in range(1000)]
    few, more = (set(chosen(paths, share, 0)) for share in (0.01, 0.1))
    assert (len(few), len(more)) == (10, 100)
    assert few < more
    assert set(chosen(paths[::-1], 0.1, 0)) == more
    assert len(more & set(chosen(paths, 0.1, 1))) < 40
    assert chosen(paths, 1e-9, 0) == sorted(chosen(paths, 1, 0))
    # 0.07 * 100 is 7.000000000000001 in floating point.
    assert [len(chosen(paths[:100], part / 100, 0)) for part in range(1, 101)] == list(range(1, 101))


def test_wet_files_give_texts(tmp_path: Path, server: CrawlServer) -> None:
    _, documents, _ = run(tmp_path, server.url, files=1.0, format="wet")
    texts = sorted(row["text"] for row in documents)
    assert texts == sorted(f"Text {at} of {number}." for number in range(FILES) for at in range(PAGES))


def test_a_server_that_fails_gives_the_same_documents(tmp_path: Path, crawl: Path) -> None:
    expected = run(tmp_path / "sound", crawl, files=1.0)
    where = {"domains": ["example.org"], "languages": ["eng", "deu"]}
    chosen = run(tmp_path / "sound", crawl, where=where)
    failed: Counter[str] = Counter()
    for seed in range(4):
        with serving(crawl, failing=0.2, seed=seed) as server:
            assert run(tmp_path / f"a{seed}", server.url, files=1.0)[1:] == expected[1:]
            assert (
                run(tmp_path / f"b{seed}", server.url, where={"domains": ["example.org"], "languages": ["eng", "deu"]})[
                    1:
                ]
                == chosen[1:]
            )
            failed += Counter(server.failed)
    assert set(failed) == set(CrawlServer.ways), "every kind of failure has happened"


def test_a_broken_connection_is_resumed_where_it_broke(tmp_path: Path) -> None:
    data = os.urandom(100_000)
    (tmp_path / "a").write_bytes(data)
    with serving(tmp_path, failing=0.5) as server:
        server.ways = ("broken", "short")
        with RemoteFile(Remote(Files(f"{server.url}/a")), block=30_000) as file:
            file.seek(10)
            assert file.readall() == data[10:]
        starts = [start for _, start in server.asked]
    resumed = [start for start in starts if start is not None and start % 30_000]
    assert resumed
    assert resumed == sorted(resumed), "no byte that came is asked for again"


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    with serving(tmp_path) as server:
        planned = external(f"{server.url}/a")
        file = RemoteFile(Remote(Files(planned.path)), block=100)
        assert file.read(100) == b"x" * 100
        for other in (b"y" * 1000, b"x" * 999):
            (tmp_path / "a").write_bytes(other)
            with pytest.raises(InputError, match="changed while it was read"):
                file.read(100)
            with pytest.raises(InputError, match="changed while it was read"):
                planned.stream()


def test_a_server_is_not_asked_for_ever_and_not_again_where_that_is_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    pauses: list[float] = []
    monkeypatch.setattr(remote, "PAUSE", 1.0)
    monkeypatch.setattr(remote, "CONNECTIONS", 1)
    monkeypatch.setattr(time, "sleep", lambda seconds: pauses.append(seconds))
    with serving(tmp_path) as server:
        known = Remote(Files(f"{server.url}/a"))
        with pytest.raises(FileNotFoundError):
            Remote(Files(f"{server.url}/b"))
        assert [path for path, _ in server.asked].count("/b") == 1
        server.failing, server.ways = 1.0, ("503",)
        server.asked.clear()
        with pytest.raises(OSError, match="503"):
            known.read(0, 10)
        assert len(server.asked) == remote.ATTEMPTS
    own = [pause for pause in pauses if pause >= 0.5]
    assert len(own) == remote.ATTEMPTS - 1
    assert all(0.5 * 2**n <= pause <= max(1.5 * 2**n, 0) for n, pause in enumerate(own[:6]))


def test_the_pause_that_the_server_asks_for_is_kept() -> None:
    import email.utils

    import aiohttp
    from multidict import CIMultiDict

    def refused(wait: str) -> float | None:
        error = aiohttp.ClientResponseError(None, (), status=429, headers=CIMultiDict({"Retry-After": wait}))  # type: ignore[arg-type]
        return remote._again(error)

    assert refused("120") == 120
    dated = refused(email.utils.formatdate(time.time() + 100, usegmt=True))
    assert dated is not None
    assert 90 < dated <= 100
    assert refused("soon") == 0


def test_records_are_found_in_the_index_and_fetched_by_their_places(tmp_path: Path, server: CrawlServer) -> None:
    _, everything, _ = run(tmp_path / "all", server.folder, files=1.0)
    by_url = {row["url"]: row for row in everything}

    def found(**where: Any) -> set[str]:
        manifests, documents, ledger = run(tmp_path / "some", server.url, where=where)
        assert all(row == by_url[row["url"]] for row in documents), "the same document, whichever way it was read"
        assert len(ledger) == sum(m.counts["in"] for m in manifests)
        return {row["url"] for row in documents}

    def those(*at: int) -> set[str]:
        return {row["url"] for row in everything if int(row["url"].rsplit("/", 1)[1]) in at}

    assert found(domains=["example.org"]) == those(0, 1)
    assert found(domains=["www.example.org"]) == those(0)
    assert found(domains=["org"]) == those(0, 1, 4)
    assert found(domains=["fjall.is", "example.com"]) == those(2, 3)
    assert found(domains=["nowhere.net"]) == set()
    assert found(languages=["isl"]) == those(2)
    assert found(languages=["eng", "deu"]) == those(0, 1, 3)
    assert found(mime=["application/xhtml+xml"]) == those(3)
    assert found(domains=["example.org"], languages=["deu"], mime=["text/html"]) == those(1)
    half, less = (found(mime=["text/html"], share=share) for share in (0.5, 0.25))
    assert less < half < those(0, 1, 2)
    assert not any("robotstxt" in path for path, _ in server.asked)
    assert not any(path.endswith(".warc.gz") and start is None for path, start in server.asked)


def test_row_groups_that_cannot_hold_a_domain_are_not_read(tmp_path: Path, crawl: Path) -> None:
    from firn.data.sources import crawl_index

    (part, _) = sorted((crawl / "cc-index").rglob("*subset=warc/*.parquet"))
    metadata = pq.ParquetFile(part).metadata
    keys = [key.as_py() for key in pq.read_table(part)["url_surtkey"]]
    for domain in ("example.com", "example.org", "fjall.is", "www.notexample.org", "zzz.org", "org"):
        key = ",".join(reversed(domain.removeprefix("www.").split(".")))
        for group in range(metadata.num_row_groups):
            holds = any(k.startswith((f"{key})", f"{key},")) for k in keys[group * 4 : group * 4 + 4])
            may = crawl_index._may_hold(metadata.row_group(group), (domain,))
            assert may or not holds
    assert sum(crawl_index._may_hold(metadata.row_group(g), ("zzz.org",)) for g in range(metadata.num_row_groups)) == 0
    assert crawl_index._may_hold(metadata.row_group(0), ("192.168.0.1",))


def test_neighbours_are_fetched_together_within_bounds() -> None:
    places = [
        ("a", 0, 100, "1"),
        ("a", 100, 100, "2"),
        ("a", 10_000_000, 5, "3"),
        ("b", 200, 5, "4"),
        ("b", 90, 5, "5"),
    ]
    ranges = list(commoncrawl.merged(places))
    assert [(r.file, r.start, r.end, len(r.records)) for r in ranges] == [
        ("a", 0, 200, 2),
        ("a", 10_000_000, 10_000_005, 1),
        ("b", 200, 205, 1),
        ("b", 90, 95, 1),
    ]
    many = [("a", 1000 * n, 1000, str(n)) for n in range(100_000)]
    ranges = list(commoncrawl.merged(many))
    assert all(r.end - r.start <= commoncrawl._MERGED for r in ranges)
    assert sum(len(r.records) for r in ranges) == len(many)


def test_an_index_that_lies_costs_the_records_it_lies_about(tmp_path: Path, crawl: Path) -> None:
    make(tmp_path / "crawl")
    parts = sorted((tmp_path / "crawl/cc-index").rglob("*subset=warc/*.parquet"))
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    rows = [row for row in rows if "/0/" in row["url"] and row["content_mime_detected"] == "text/html"]
    lies = [
        {"warc_record_length": rows[0]["warc_record_length"] - 20},
        {"warc_record_offset": rows[0]["warc_record_offset"] + 3},
        {"warc_record_offset": 10_000_000},
        {"warc_record_length": 1_000_000},
        {"warc_record_offset": -5},
        {"warc_record_length": 0},
        {"warc_filename": "crawl-data/nowhere.warc.gz"},
        {"warc_filename": "../../../etc/passwd"},
        {"warc_filename": "/etc/passwd"},
        {"warc_record_length": 40 << 20},
    ]
    false = [rows[0] | lie | {"url": f"https://lie.org/{n}", "url_surtkey": "z"} for n, lie in enumerate(lies)]
    write_index(tmp_path / "crawl", [str(p.relative_to(tmp_path / "crawl")) for p in parts], rows + false)
    with serving(tmp_path / "crawl") as server:
        for base in (tmp_path / "crawl", server.url):
            _, documents, ledger = run(tmp_path / f"{base!s:.4}", base, where={"mime": ["text/html"]})
            assert {row["url"] for row in documents} == {row["url"] for row in rows}
            others = Counter(row["verdict"] for row in ledger)
            assert others["failed"] + others["removed"] == len(lies)
            assert others["removed"] == 1


def test_each_row_of_the_index_is_a_row_of_the_ledger_and_its_own_page_or_none(tmp_path: Path, crawl: Path) -> None:
    make(tmp_path / "crawl")
    parts = sorted((tmp_path / "crawl/cc-index").rglob("*subset=warc/*.parquet"))
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    rows.sort(key=lambda row: row["url"])
    first, second, third, fourth, *_ = (row for row in rows if row["url_host_name"] == "fjall.is")
    other = next(row for row in rows if row["url_host_name"] == "example.com")
    begin = min(r["warc_record_offset"] for r in rows if r["warc_filename"] == first["warc_filename"])
    lies = [
        first | {key: other[key] for key in other if key.startswith("warc_")},  # another page
        first | {"warc_record_offset": 0, "warc_record_length": begin},  # the warcinfo record
        second | {"url": None},  # the index does not say of which page
        third | {"url": third["url"].replace("fjall", "%66jall")},  # the same URL, escaped
        fourth, fourth,  # twice
        first | {"warc_record_offset": None},
        first | {"warc_filename": None, "url": None},
    ]  # fmt: skip
    write_index(tmp_path / "crawl", [str(p.relative_to(tmp_path / "crawl")) for p in parts[:1]], lies)
    (tmp_path / "crawl" / parts[1].relative_to(tmp_path / "crawl")).write_bytes(parts[0].read_bytes())
    pq.write_table(pq.read_table(parts[0]).slice(0, 0), parts[1])
    _, documents, ledger = run(tmp_path / "store", tmp_path / "crawl", where={"domains": ["fjall.is"]})
    assert sorted(row["url"] for row in documents) == [second["url"], third["url"], fourth["url"]]
    errors = sorted(row["error"] for row in ledger if row["verdict"] == "failed")
    assert len(ledger) == len(lies) - 1
    assert [error.split(" (page")[0].split(":")[0] for error in errors] == [
        "what the index names is no page, but a record of the type warcinfo",
        "what the index names is no place in a file",
        "what the index names is no place in a file",
        "what the index names is the record of another page",
    ]
    searched = Store(tmp_path / "store").manifests()
    assert sum(m.notes["named_again"] for m in searched if m.stage == "crawl-index") == 1


def test_no_more_connections_than_allowed_of_all_workers_together(tmp_path: Path, crawl: Path) -> None:
    source = {"crawl": CRAWL, "files": 1.0, "format": "wet", "connections": 2}
    with serving(crawl, slow=0.02) as server, LocalEngine(Store(tmp_path), workers=4) as engine:
        tasks = read.tasks("web", CommonCrawlSource(base=server.url, **source), ExtractSettings(), engine)
        documents = sum(m.counts["kept"] for m in engine.run(tasks))
        assert documents == FILES * PAGES
        assert server.at_once <= 2


def test_workers_wait_for_a_server_that_fails(tmp_path: Path, crawl: Path) -> None:
    expected = run(tmp_path / "sound", crawl, files=3, format="wet")[1]
    with serving(crawl, failing=0.2, seed=1) as server, LocalEngine(Store(tmp_path / "a"), workers=2) as engine:
        source = CommonCrawlSource(crawl=CRAWL, base=server.url, files=3, format="wet")
        manifests = engine.run(read.tasks("web", source, ExtractSettings(), engine))
        assert [row for m in manifests for row in table(engine.store, m).to_pylist()] == expected
        assert server.failed


def test_a_process_that_is_killed_lets_its_connection_go(tmp_path: Path) -> None:
    held = "import time, sys; from firn.core.remote import _connection\nwith _connection('http://held.invalid/a', 1):\n"
    held += "    print('held', flush=True); time.sleep(60)\n"
    process = subprocess.Popen([sys.executable, "-c", held], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    process.kill()
    process.wait()
    with remote._connection("http://held.invalid/b", 1):
        pass


def test_cached_files_are_read_from_the_folder(tmp_path: Path, server: CrawlServer) -> None:
    expected = run(tmp_path / "a", server.url, files=2, cache=str(tmp_path / "kept"))[1]
    assert len(list((tmp_path / "kept").iterdir())) == 2
    server.asked.clear()
    assert run(tmp_path / "b", server.url, files=2, cache=str(tmp_path / "kept"))[1] == expected
    assert not any(path.endswith(".warc.gz") for path, _ in server.asked)


def test_crawls_are_listed_and_a_wrong_name_is_told(tmp_path: Path, server: CrawlServer) -> None:
    assert [(c.id, c.name, c.begin) for c in Archive(server.url).crawls()] == [
        ("CC-MAIN-2024-26", "June 2024 Index", "2024-05-17"),
        (CRAWL, "May 2024 Index", "2024-05-17"),
    ]
    source = CommonCrawlSource(crawl="CC-MAIN-2024-23", files=1, base=server.url)
    with pytest.raises(InputError, match=f"no crawl 'CC-MAIN-2024-23'.*\n.*{CRAWL}"):
        read.tasks("web", source, ExtractSettings(), Inline(Store(tmp_path)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"files": 1, "where": {"mime": ["text/html"]}},
        {"files": 0},
        {"files": 1.5},
        {"files": True},
        {"where": {}},
        {"where": {"languages": ["en"]}},
        {"where": {"domains": ["https://a.org/"]}},
        {"where": {"mime": ["text/html"]}, "format": "wet"},
        {"files": 1, "crawl": "../x"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CommonCrawlSource(**{"crawl": CRAWL, **wrong})


def test_a_list_that_is_none_or_leads_out_of_the_archive_is_refused(tmp_path: Path) -> None:
    listing = tmp_path / f"crawl-data/{CRAWL}/warc.paths.gz"
    listing.parent.mkdir(parents=True)
    bad = [b"<html>", gzip.compress(b""), gzip.compress(b"../../etc/passwd\n"), gzip.compress(b"a\n" * 99)[:-9]]
    for data in bad:
        listing.write_bytes(data)
        with pytest.raises(InputError):
            run(tmp_path, tmp_path, files=1)


def test_a_warc_source_reads_urls(tmp_path: Path, server: CrawlServer) -> None:
    path = next((server.folder / "crawl-data").rglob("*.warc.gz")).relative_to(server.folder)
    server.failing = 0.4
    source = WarcSource(paths=(f"{server.url}/{path}",))
    for number in range(5):
        engine = Inline(Store(tmp_path / str(number)))
        (manifest,) = engine.run(read.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
        assert manifest.counts["kept"] == PAGES
    assert len(server.failed) > 5

"""Pages that robots.txt keeps from robots: where robots.txt are read from, which copy counts, and what goes by it."""

from __future__ import annotations

import gzip
import io
import json
import sys
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.core.errors import InputError, RecipeError
from firn.core.store import Manifest, Store
from firn.data import read as reading
from firn.data.extract import ExtractSettings
from firn.data.robots.read import paths_of, unpack
from firn.data.robots.settings import RobotsRules
from firn.data.robots.stage import RULE, _Copies, obey
from firn.data.sources import CommonCrawlSource, FilesSource, WarcSource

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline, row, shard
from shards import read as table
from warcs import http, members, page, record

sys.path.insert(0, str(Path(__file__).parent / "sources"))
from cc_server import CRAWL, write_index

NO_GPT = "User-agent: GPTBot\nDisallow: /private/\n\nUser-agent: *\nDisallow:\n"
NOBODY = "User-agent: *\nDisallow: /\n"
AGENTS = ("CCBot", "GPTBot")


def robots(url: str, body: str | bytes, status: str = "200 OK", *headers: str, date: str = "2024-05-18") -> bytes:
    """A WARC record of a robots.txt."""
    data = body.encode() if isinstance(body, str) else body
    made = record(f"robots of {url}", http(data, status, "text/plain", *headers), url=f"{url}/robots.txt")
    return made.replace(b"2024-05-18T01:58:10Z", f"{date}T00:00:00Z".encode())


def document(url: str | None, day: str | None = "2024-05-18", text: str = "Snow.") -> dict[str, Any]:
    crawled = datetime.fromisoformat(f"{day}T12:00:00+00:00") if day else None
    return row(f"{url} {day}", text, url=url, crawled=crawled)


def obeyed(folder: Path, shards: list[Manifest], store: Store, settings: RobotsRules | None = None) -> list[Manifest]:
    """The stage over these shards, with the robots.txt below `folder`/robots."""
    rules = settings or RobotsRules(paths=(str(folder / "robots"),), agents=AGENTS)
    return obey(Inline(store), shards, rules, FilesSource(paths=(".",)))  # type: ignore[arg-type]


def whys(folder: Path, documents: list[dict[str, Any]], **more: Any) -> dict[str, str | None]:
    """URL -> why its document goes, None where it stays."""
    store = Store(folder / "store")
    made = shard(store, documents)
    (manifest,) = obeyed(folder, [made], store, more.get("settings"))
    ledger = table(store, manifest, "ledger").to_pylist()
    kept = [entry["id"] for entry in ledger if entry["verdict"] == "kept"]
    assert [d["id"] for d in table(store, manifest).to_pylist()] == kept
    assert {entry["rule"] for entry in ledger if entry["verdict"] == "removed"} <= {RULE}
    assert manifest.counts["in"] == len(documents) == manifest.counts["kept"] + manifest.counts["removed"]
    return {d["url"]: entry["error"] for d, entry in zip(documents, ledger, strict=True)}


def put(folder: Path, name: str, data: bytes) -> None:
    path = folder / "robots" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_a_page_goes_by_the_line_of_its_own_site(tmp_path: Path) -> None:
    put(tmp_path, "a.warc.gz", members(robots("https://a.example", NO_GPT), robots("http://b.example:8080", NOBODY)))
    found = whys(
        tmp_path,
        [
            document("https://a.example/private/x"),
            document("https://a.example/public"),
            document("http://a.example/private/x"),
            document("https://www.a.example/private/x"),
            document("http://b.example:8080/"),
            document("http://b.example/"),
            document("https://nowhere.example/"),
            document("file:///private/x"),
            document(None),
        ],
    )
    assert {url: why for url, why in found.items() if why} == {
        "https://a.example/private/x": "not for GPTBot, by `Disallow: /private/`, line 2 of "
        "https://a.example/robots.txt of 2024-05-18",
        "http://b.example:8080/": "not for CCBot, by `Disallow: /`, line 2 of "
        "http://b.example:8080/robots.txt of 2024-05-18",
    }


def test_the_copy_counts_that_was_fetched_last_before_the_page_or_else_first_after_it(tmp_path: Path) -> None:
    dates = {"2024-02-01": "/b", "2024-03-01": "/c", "2024-01-01": "/a"}
    copies = [robots("https://a.example", f"User-agent: *\nDisallow: {p}\n", date=day) for day, p in dates.items()]
    put(tmp_path, "one.warc", b"".join(copies[:2]))
    put(tmp_path, "two.warc.gz", members(copies[2]))
    put(tmp_path, "a.example.txt", b"User-agent: *\nDisallow: /undated\n")
    days = {"2023-12-31": "/a", "2024-01-01": "/a", "2024-01-31": "/a", "2024-02-28": "/b", "2025-01-01": "/c"}
    documents = [document(f"https://a.example{p}?{day}", day) for day in days for p in ("/a", "/b", "/c", "/undated")]
    documents += [document("https://a.example/c?unknown", None), document("https://a.example/a?unknown", None)]
    found = whys(tmp_path, documents)
    gone = sorted(url.removeprefix("https://a.example") for url, why in found.items() if why)
    assert gone == sorted([*(f"{p}?{day}" for day, p in days.items()), "/c?unknown"])


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([200, 404, 503])), max_size=6),
    st.integers(0, 9) | st.none(),
)
def test_copies_by_brute_force(copies: list[tuple[int, int]], time: int | None) -> None:
    rows = [
        {"authority": "https://a.example", "time": at, "status": status, "redirect": None,
         "body": str(index).encode() if status == 200 else None}
        for index, (at, status) in enumerate(copies)
    ]  # fmt: skip
    found = _Copies(rows).of("https://a.example", time)
    sound = [at for at, status in copies if status != 503]
    before = [at for at in sound if time is None or at <= time]
    if not sound:
        assert (found is None) == (not copies)
        assert found is None or found.rules is None
    else:
        assert found is not None
        assert found.time == (max(before) if before else min(sound))
        assert found.rules is not None


def test_statuses_and_redirects(tmp_path: Path) -> None:
    to = "Location: https://www.r.example/robots.txt"
    put(
        tmp_path,
        "all.warc.gz",
        members(
            robots("https://gone.example", NOBODY, "404 Not Found"),
            robots("https://down.example", NOBODY, "503 Service Unavailable"),
            robots("https://once.example", NOBODY, "200 OK", date="2024-01-01"),
            robots("https://once.example", "", "500 Oops", date="2024-05-01"),
            robots("http://r.example", "", "301 Moved", "Location: https://r.example/robots.txt"),
            robots("https://r.example", "", "302 Found", to),
            robots("https://www.r.example", NOBODY),
            robots("https://loop.example", "", "301 Moved", "Location: /robots.txt"),
            robots("https://away.example", "", "301 Moved", "Location: https://other.example/robots.txt"),
            robots("https://home.example", "", "302 Found", "Location: https://home.example/"),
        ),
    )
    hosts = "gone down once r loop away home".split()
    documents = [document(f"https://{host}.example/") for host in hosts] + [document("http://r.example/")]
    found = whys(tmp_path, documents)
    assert {url for url, why in found.items() if why} == {
        "https://once.example/", "https://r.example/", "http://r.example/"
    }  # fmt: skip
    assert "https://www.r.example/robots.txt" in str(found["http://r.example/"])

    strict = RobotsRules(paths=(str(tmp_path / "robots"),), agents=AGENTS, unreachable="remove")
    found = whys(tmp_path, documents, settings=strict)
    assert (
        found["https://down.example/"] == "nobody could have https://down.example/robots.txt of 2024-05-18: status 503"
    )
    assert found["https://gone.example/"] is None


def test_robots_txt_in_folders_json_lines_and_wacz(tmp_path: Path) -> None:
    put(tmp_path, "wget/a.example/robots.txt", NOBODY.encode())
    put(tmp_path, "wget/b.example:8080/robots.txt", NOBODY.encode())
    put(tmp_path, "c.example.txt", NOBODY.encode())
    rows: list[Any] = [
        {"url": "https://d.example/robots.txt", "text": NOBODY, "fetched": "2024-05-01T00:00:00Z"},
        {"url": "https://e.example/robots.txt", "text": NOBODY, "status": 404},
        {"url": "https://f.example/", "text": NOBODY},
        {"url": 1}, [], {"url": "https://g.example/robots.txt", "text": 7},
    ]  # fmt: skip
    lines = "\n".join(map(json.dumps, rows)) + "\n{broken\n\n"
    put(tmp_path, "some.jsonl.gz", gzip.compress(lines.encode()))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.warc.gz", members(robots("https://w.example", NOBODY)))
    put(tmp_path, "crawl.wacz", packed.getvalue())
    hosts = ["a.example", "b.example:8080", "c.example", "d.example", "e.example", "f.example", "w.example"]
    found = whys(tmp_path, [document(f"https://{host}/x") for host in hosts])
    gone = [url.split("/")[2] for url, why in found.items() if why]
    assert gone == ["a.example", "b.example:8080", "c.example", "d.example", "w.example"]
    store = Store(tmp_path / "store")
    tables = [m for m in store.manifests() if m.stage == "robots-read"]
    assert {m.label: m.notes["unreadable"] for m in tables}["robots/some.jsonl.gz"] == 5
    assert sum(m.files["robots"].rows or 0 for m in tables) == 9


def test_hostile_files_cost_themselves_alone(tmp_path: Path) -> None:
    good = robots("https://a.example", NOBODY)
    bomb = robots("https://b.example", gzip.compress(b"Disallow: /\n" * (8 << 20)), "200 OK", "Content-Encoding: gzip")
    long = robots("https://c.example", NOBODY + "#" * 700_000)
    put(tmp_path, "one.warc.gz", members(good, bomb, long) + b"\x1f\x8b\x08garbage")
    put(tmp_path, "two.jsonl", b"[" * 200_000 + b"\n" + b"\x00" * 1000 + b"\n")
    put(tmp_path, "binary.example.txt", b"\x00\xff" * 1_000_000)
    found = whys(tmp_path, [document(f"https://{host}.example/") for host in ("a", "b", "c", "binary")])
    assert [url for url, why in found.items() if why] == ["https://a.example/", "https://c.example/"]
    store = Store(tmp_path / "store")
    notes = {m.label: m.notes["unreadable"] for m in store.manifests() if m.stage == "robots-read"}
    assert notes == {"robots/one.warc.gz": 2, "robots/two.jsonl": 2, "robots/binary.example.txt": 0}
    tables = [table(store, m, "robots") for m in store.manifests() if m.stage == "robots-read"]
    rules = [packed for each in tables for packed in each.column("rules").to_pylist()]
    assert max(len(unpack(each)) for each in rules) < 1000


def test_the_notes_say_how_many_are_known_and_whom_they_are_not_for(tmp_path: Path) -> None:
    put(tmp_path, "a.warc.gz", members(robots("https://a.example", NO_GPT)))
    store = Store(tmp_path / "store")
    documents = [document(f"https://{url}") for url in ("a.example/private/", "a.example/", "b.example/")]
    (manifest,) = obeyed(tmp_path, [shard(store, documents)], store)
    assert manifest.notes == {"robots_known": 2, "agents": {"GPTBot": 1}}


def test_the_order_of_files_and_shards_changes_nothing(tmp_path: Path) -> None:
    put(tmp_path, "a.warc.gz", members(robots("https://a.example", NO_GPT), robots("https://b.example", NOBODY)))
    put(tmp_path, "b.jsonl", json.dumps({"url": "https://c.example/robots.txt", "text": NOBODY}).encode())
    names = [["a.example/private/x", "c.example/"], ["b.example/", "a.example/x"], ["d.example/"]]
    rows = [[document(f"https://{url}") for url in urls] for urls in names]
    ordered = [str(tmp_path / "robots" / name) for name in ("a.warc.gz", "b.jsonl")]
    source = FilesSource(paths=(".",))
    made = []
    for order in (1, -1):
        store = Store(tmp_path / f"store{order}")
        shards = [shard(store, each) for each in rows][::order]
        rules = RobotsRules(paths=tuple(ordered[::order]), agents=AGENTS)
        manifests = obey(Inline(store), shards, rules, source)[::order]  # type: ignore[arg-type]
        made.append([(m.fingerprint, m.identity("documents", "ledger"), m.counts["removed"]) for m in manifests])
    assert made[0] == made[1]
    assert [removed for _, _, removed in made[0]] == [2, 1, 0]


def test_one_more_file_makes_no_shard_again_whose_documents_it_does_not_touch(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    shards = [shard(store, [document(f"https://{host}.example/")]) for host in "ab"]
    put(tmp_path, "a.warc.gz", members(robots("https://a.example", NOBODY)))
    before = obeyed(tmp_path, shards, store)
    put(tmp_path, "b.warc.gz", members(robots("https://b.example", NOBODY)))
    after = obeyed(tmp_path, shards, store)
    assert before[0].fingerprint == after[0].fingerprint
    assert [m.counts["removed"] for m in (*before, *after)] == [1, 0, 1, 1]


def test_robots_txt_of_a_crawl_are_no_documents(tmp_path: Path) -> None:
    pages = [record("one", http(page("One.")), url="https://a.example/x"), robots("https://a.example", NO_GPT)]
    # A name that says nothing of its format, which the source tells by the content.
    (tmp_path / "crawl.dat").write_bytes(members(*pages, robots("https://b.example", "", "404 Not Found")))
    engine = Inline(Store(tmp_path / "store"))
    source = WarcSource(paths=(str(tmp_path / "crawl.dat"),))
    (manifest,) = engine.run(reading.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    assert [d["url"] for d in table(engine.store, manifest).to_pylist()] == ["https://a.example/x"]
    assert manifest.notes["records_of_other_types"] == {"robots.txt": 2}
    assert manifest.counts["in"] == 1
    # The crawl itself is where its robots.txt are.
    rules = RobotsRules(agents=AGENTS)
    (obeyed,) = obey(engine, [manifest], rules, source)  # type: ignore[arg-type]
    assert (obeyed.counts["kept"], obeyed.notes["robots_known"]) == (1, 1)


def common_crawl(folder: Path, bodies: dict[str, str]) -> CommonCrawlSource:
    """A crawl of which there are robots.txt alone: their list, file and index."""
    base = f"crawl-data/{CRAWL}"
    name = f"{base}/segments/1/robotstxt/CC-MAIN-1-00000.warc.gz"
    part = f"cc-index/table/cc-main/warc/crawl={CRAWL}/subset=robotstxt/part-00000-b13edba3.c000.gz.parquet"
    data, rows = b"", []
    for url, body in bodies.items():
        piece = members(robots(url, body))
        host = url.split("//")[1].partition(":")[0]
        place = {"warc_filename": name, "warc_record_offset": len(data), "warc_record_length": len(piece)}
        rows.append({"url_surtkey": host, "url_host_name": host, "url": f"{url}/robots.txt", **place})
        data += piece
    write_index(folder, [part], rows)
    for path, content in {
        name: data,
        f"{base}/robotstxt.paths.gz": gzip.compress(f"{name}\n".encode()),
        f"{base}/cc-index-table.paths.gz": gzip.compress(f"{part}\n".encode()),
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return CommonCrawlSource(crawl=CRAWL, files=1, base=str(folder))


def test_of_common_crawl_the_robots_txt_of_the_documents_sites_are_fetched(tmp_path: Path) -> None:
    others = {f"https://other{n}.example": NOBODY for n in range(20)}
    bodies = {"https://www.a.example": NO_GPT, "https://a.example:8443": NOBODY, "http://b.example": NOBODY}
    source = common_crawl(tmp_path / "crawl", {**others, **bodies})
    urls = ["https://www.a.example/private/x", "https://a.example:8443/", "http://b.example/", "https://c.example/"]
    made = []
    for rules in (
        RobotsRules(agents=AGENTS),
        RobotsRules(agents=AGENTS, paths=(f"{source.base}/crawl-data/{CRAWL}/robotstxt.paths.gz",)),
    ):
        store = Store(tmp_path / f"store{len(made)}")
        shards = [shard(store, [document(url) for url in half]) for half in (urls[:2], urls[2:])]
        manifests = obey(Inline(store), shards, rules, source)  # type: ignore[arg-type]
        made.append([m.identity("documents", "ledger") for m in manifests])
        assert [m.counts["removed"] for m in manifests] == [2, 1]
        assert [m.notes["robots_known"] for m in manifests] == [2, 1]
        rows = [m.files["robots"].rows for m in store.manifests() if "robots" in m.files]
        # The index leads to three of them, the list to all.
        assert rows == [[3], [23]][len(made) - 1]
    assert made[0] == made[1]


def test_a_crawl_whose_index_is_damaged_or_has_no_robots_txt(tmp_path: Path) -> None:
    source = common_crawl(tmp_path / "crawl", {"https://a.example": NOBODY})
    store = Store(tmp_path / "store")
    made = shard(store, [document("https://a.example/")])
    (part,) = (tmp_path / "crawl" / "cc-index").rglob("*.parquet")
    whole = part.read_bytes()
    part.write_bytes(whole[:100])
    with pytest.raises(InputError, match="damaged"):
        obey(Inline(store), [made], RobotsRules(), source)  # type: ignore[arg-type]
    part.write_bytes(whole)
    (warc,) = (tmp_path / "crawl").rglob("*.warc.gz")
    warc.write_bytes(b"")
    with pytest.raises(InputError, match=r"no robots\.txt was found"):
        obey(Inline(store), [made], RobotsRules(), source)  # type: ignore[arg-type]
    listing = tmp_path / "crawl" / "crawl-data" / CRAWL / "cc-index-table.paths.gz"
    listing.write_bytes(gzip.compress(b"cc-index/subset=warc/part-00000.parquet\n"))
    with pytest.raises(InputError, match="index has no"):
        obey(Inline(store), [made], RobotsRules(), source)  # type: ignore[arg-type]


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"hold no robots\.txt"):
        paths_of(RobotsRules(), FilesSource(paths=("texts",)))
    store = Store(tmp_path / "store")
    made = shard(store, [document("https://a.example/")])
    put(tmp_path, "a.warc.gz", members(record("one", http(page("One.")))))
    with pytest.raises(InputError, match=r"no robots\.txt was found"):
        obeyed(tmp_path, [made], store)
    put(tmp_path, "robots.txt", NOBODY.encode())
    with pytest.raises(InputError, match="nobody knows which host"):
        obeyed(tmp_path, [made], store)

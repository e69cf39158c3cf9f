"""The documentation of the running Python: the same bytes wherever and however it is rendered, and nothing leaks."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from firn.core.store import Store
from firn.data import read
from firn.data.extract import ExtractSettings
from firn.data.sources import CodeSource, PydocsSource, pydocs
from firn.data.warc import records

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline
from shards import read as rows

RENDERER = Path(pydocs.__file__).with_name("pydocs_render.py")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Inline:
    return Inline(Store(tmp_path_factory.mktemp("store")))


def test_rendering_depends_on_nothing_but_the_version_of_python(engine: Inline, tmp_path: Path) -> None:
    odd = {
        "HOME": str(tmp_path / "secret-home"),
        "PYTHONHASHSEED": "4242",
        "TZ": "Asia/Kolkata",
        "LANG": "de_DE.UTF-8",
        "LC_ALL": "tr_TR.UTF-8",
        "PATH": "/secret/bin",
        "SECRET_TOKEN": "hunter2-secret",
        "EDITOR": "secret-editor",
        "PAGER": "secret-pager",
        "BROWSER": "secret-browser",
        "TMPDIR": str(tmp_path),
        "COLUMNS": "33",
    }
    command = [sys.executable, "-s", "-S", "-P", "-X", "utf8", str(RENDERER)]
    done = subprocess.run(command, cwd=tmp_path, env=odd, capture_output=True, check=True)
    pages = [json.loads(line) for line in done.stdout.splitlines()]
    (crawl,) = engine.run([pydocs.crawl()])
    with open(engine.store.local(crawl, "crawl"), "rb") as stream:
        found = [(r.headers["warc-target-uri"], r.block) for r in records(stream, 1 << 25, {"response"})][1:]
    expected = [(f"http://pydoc.invalid/{page['path']}", page["html"].encode()) for page in pages]
    assert [(url, (block or b"").split(b"\r\n\r\n", 1)[1]) for url, block in found] == expected
    assert len({page["path"] for page in pages}) == len(pages) > 300
    html = "".join(page["html"] for page in pages)
    for value in [*odd.values(), sys.prefix, sys.base_prefix, sys.executable, os.path.expanduser("~"), os.getcwd()]:
        assert len(value) < 6 or value not in html, value
    assert " at 0x" not in html


def test_the_crawl_is_a_warc_file_that_any_gzip_reads(engine: Inline) -> None:
    (manifest,) = engine.run([pydocs.crawl()])
    whole = gzip.decompress(engine.store.local(manifest, "crawl").read_bytes())
    assert whole.startswith(b"WARC/1.1\r\nWARC-Type: warcinfo\r\n")
    assert whole.count(b"\r\nWARC-Type: response\r\n") == manifest.notes["pages"] > 300
    (task,) = read.tasks("web", PydocsSource(), ExtractSettings(), engine)  # type: ignore[arg-type]
    (documents,) = engine.run([task])
    assert documents.counts["in"] == documents.counts["kept"] == manifest.notes["pages"]
    assert documents.notes["records_of_other_types"] == {"warcinfo": 1}


def test_page_and_source_of_a_module_share_their_group(engine: Inline) -> None:
    web = read.tasks("web", PydocsSource(), ExtractSettings(), engine)  # type: ignore[arg-type]
    code = CodeSource(paths=("stdlib:",), group=r"^Lib/(.+?)(?:/__init__)?\.py$")
    manifests = engine.run([*web, *read.tasks("code", code, ExtractSettings(), engine)])  # type: ignore[arg-type]
    groups: dict[str, set[str]] = {"web": set(), "code": set()}
    for manifest in manifests:
        assert not manifest.counts["failed"]
        for row in rows(engine.store, manifest).select(["source", "group", "address", "url", "crawled"]).to_pylist():
            groups[row["source"]].add(row["group"])
            assert row["crawled"] is None
            if row["group"] == "asyncio/events":
                assert "asyncio/events" in (row["url"] or row["address"])
    assert {"asyncio", "asyncio/events", "email/message", "json"} <= groups["web"] & groups["code"]
    # Modules within packages are written in Python; all but the generated ones have both.
    alone = {group for group in groups["web"] - groups["code"] if "/" in group}
    assert len(alone) < 0.05 * len(groups["web"]), alone

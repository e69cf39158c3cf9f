"""The source `commoncrawl` over s3, against moto's server: the same documents as over https."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from firn.core import remote
from firn.core.errors import InputError
from firn.core.files import Files
from firn.core.inputs import external
from firn.core.remote import Remote, RemoteFile
from firn.core.store import Store
from firn.data import read
from firn.data.extract import ExtractSettings
from firn.data.sources import CommonCrawlSource, WarcSource

sys.path.insert(0, str(Path(__file__).parent))
from cc_server import CRAWL, PAGES, make

sys.path.insert(0, str(Path(__file__).parents[1]))
from shards import Inline
from shards import read as table

pytest.importorskip("s3fs", reason="reading s3:// needs s3fs: install firn[s3]")
moto = pytest.importorskip("moto.server", reason="the server that stands for S3 is moto: install firn[dev]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def bucket(folder: Path) -> Iterator[str]:
    """A bucket with the crawl in it, which credentials and settings from the environment lead to."""
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "PAUSE", 0.0)
        environment = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        fs = fsspec.filesystem("s3", use_listings_cache=False)
        fs.mkdir("commoncrawl")
        for path in folder.rglob("*"):
            if path.is_file():
                fs.pipe_file(f"commoncrawl/{path.relative_to(folder)}", path.read_bytes())
        yield "s3://commoncrawl"
        fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


def documents(store: Path, base: str | Path, **settings: Any) -> list[dict[str, Any]]:
    engine = Inline(Store(store))
    source = CommonCrawlSource(crawl=CRAWL, base=str(base), **settings)
    manifests = engine.run(read.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    return [row for manifest in manifests for row in table(engine.store, manifest).to_pylist()]


def test_the_documents_are_those_of_the_same_crawl_elsewhere(tmp_path: Path, folder: Path, bucket: str) -> None:
    share = documents(tmp_path / "a", bucket, files=0.5)
    assert len(share) == 3 * PAGES
    assert share == documents(tmp_path / "b", folder, files=0.5)
    where = {"domains": ["example.org"], "mime": ["text/html"]}
    assert documents(tmp_path / "a", bucket, where=where) == documents(tmp_path / "b", folder, where=where) != []


def test_patterns_name_files_of_a_bucket(tmp_path: Path, bucket: str) -> None:
    engine = Inline(Store(tmp_path))
    source = WarcSource(paths=(f"{bucket}/crawl-data/{CRAWL}/segments/*/warc/*-0000[12].warc.gz",))
    manifests = engine.run(read.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    assert [manifest.counts["kept"] for manifest in manifests] == [PAGES, PAGES]


def test_an_object_is_known_by_its_etag_and_read_under_the_condition_that_it_is_the_same(bucket: str) -> None:
    fs = fsspec.filesystem("s3", use_listings_cache=False)
    data = os.urandom(100_000)
    fs.pipe_file("commoncrawl/a", data)
    raw = external(f"{bucket}/a")
    assert raw.bytes == len(data)
    with raw.stream() as stream:
        stream.seek(50_000)
        assert stream.read() == data[50_000:]
    file = RemoteFile(Remote(Files(raw.path)), block=1000)
    assert file.read(1000) == data[:1000]
    fs.pipe_file("commoncrawl/a", data[::-1])
    with pytest.raises(InputError, match="changed while it was read"):
        file.read(1000)
    with pytest.raises(InputError, match="changed while it was read"):
        raw.stream()
    assert external(f"{bucket}/a").identity != raw.identity


def test_what_is_not_there_is_a_clear_error(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(InputError, match="No such file"):
        external(f"{bucket}/nothing")
    source = CommonCrawlSource(crawl="CC-MAIN-2024-23", files=1, base=bucket)
    with pytest.raises(InputError, match="no crawl 'CC-MAIN-2024-23'"):
        read.tasks("web", source, ExtractSettings(), Inline(Store(tmp_path)))  # type: ignore[arg-type]

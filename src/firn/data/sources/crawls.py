"""Common Crawl's own lists, as it publishes them: which crawls there are, and which files each of them has."""

from __future__ import annotations

import difflib
import gzip
import io
import json
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from firn.core.errors import InputError
from firn.core.files import Files
from firn.core.inputs import External, external, opened
from firn.core.remote import CONNECTIONS, advice

#: Where Common Crawl lies; s3://commoncrawl holds the same.
BASE = "https://data.commoncrawl.org"
# The list of crawls lies elsewhere.
_COLLECTIONS = "https://index.commoncrawl.org/collinfo.json"
_PUBLISHED = (BASE, "s3://commoncrawl")
# Bytes of a list, once inflated. The longest has 100,000 lines of 140 bytes.
_LONGEST = 256 << 20


@dataclass(frozen=True)
class Crawl:
    """id: as recipes name it, `CC-MAIN-2024-22`. begin, end: days of its first and last page, where it says so."""

    id: str
    name: str
    begin: str | None = None
    end: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Archive:
    """A copy of Common Crawl. base: its URL or folder. connections: to its server at once."""

    base: str = BASE
    connections: int = CONNECTIONS

    def url(self, path: str) -> str:
        """Where a file of the archive lies. Raises InputError for a path that leads out of it."""
        if path.startswith("/") or "://" in path or "\\" in path or ".." in path.split("/"):
            raise InputError(f"names a file outside of the archive: {path[:200]!r}", where=self.base)
        return f"{self.base.rstrip('/')}/{path}"

    def crawls(self) -> list[Crawl]:
        """Every crawl, the newest first. Raises InputError."""
        url = _COLLECTIONS if self.base.rstrip("/") in _PUBLISHED else self.url("collinfo.json")
        try:
            return [
                Crawl(str(each["id"]), str(each.get("name", "")), _day(each.get("from")), _day(each.get("to")))
                for each in json.loads(self._read(url))
            ]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError("is no list of crawls", where=url, mend="check the base URL") from error

    def paths(self, crawl: str, listing: str) -> list[str]:
        """The files of a crawl that one of its lists names: `warc`, `wet`, `cc-index-table`. Raises InputError."""
        url = self.url(f"crawl-data/{crawl}/{listing}.paths.gz")
        try:
            data = self._read(url)
        except InputError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise self._unknown(crawl, listing, url) from error
            raise
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                lines = packed.read(_LONGEST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"is no list of files: {error}", where=url, mend="check the base URL") from error
        if len(lines) > _LONGEST:
            raise InputError(f"is longer than {_LONGEST >> 20} MiB", where=url, mend="check the base URL")
        found = [line.strip() for line in lines.decode("utf-8", "replace").split("\n") if line.strip()]
        if not found:
            raise InputError("names no file", where=url, mend="take another crawl")
        for path in found:
            self.url(path)
        return found

    def files(self, paths: Sequence[str], cache: str | None = None) -> list[External]:
        """The files at these paths, known by their ETags; a few are asked for at once. Raises InputError."""

        def known(path: str) -> External:
            file = external(self.url(path), connections=self.connections, cache=cache)
            return External(file.path, path, file.identity, file.bytes, file.connections, file.cache)

        with ThreadPoolExecutor(self.connections) as threads:
            return list(threads.map(known, paths))

    def _read(self, url: str) -> bytes:
        try:
            with opened(url, self.connections) as stream:
                return stream.read(_LONGEST + 1)
        except OSError as error:
            raise InputError(
                f"cannot be read: {error.strerror or error}",
                where=Files(url).root,
                mend=advice(url),
            ) from error

    def _unknown(self, crawl: str, listing: str, url: str) -> InputError:
        try:
            known = [each.id for each in self.crawls()]
        except InputError:
            known = []
        near = difflib.get_close_matches(crawl, known, 3)
        problem = f"has no list of {listing} files" if crawl in known else f"there is no crawl {crawl!r}"
        meant = f"; did you mean {', '.join(near)}?" if near and crawl not in known else ""
        return InputError(
            problem, where=url, key="crawl", mend=f"`firn sources commoncrawl list` shows the crawls{meant}"
        )


def _day(time: Any) -> str | None:
    return str(time)[:10] if time else None

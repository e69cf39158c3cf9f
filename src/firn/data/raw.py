"""The stage `read`, seen from a source: raw records go in, each leaves as a document or with a reason."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator

from firn.core.parquet import from_tuples
from firn.core.schema import DOCUMENT
from firn.core.stage import Work
from firn.data.normalise import normalise


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


#: A regular expression in settings, for `grouping`.
Pattern = Annotated[str, AfterValidator(_compiles)]

# Documents are handed to the writer when there are so many, or so many characters.
_ROWS, _CHARACTERS = 512, 16 << 20
# What `urlsplit` would find too, in most URLs: no user, no brackets, nothing to be cleaned or brought to lower case.
_HOST = re.compile(r"https?://([a-z0-9.-]+)(?::[0-9]*)?(?:[/?#]|\Z)")
_META = json.JSONEncoder(ensure_ascii=False, sort_keys=True)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Rows:
    """Ledger and documents of one shard. `enter` begins a row; `keep`, `remove` or `fail` ends it.

    kind: what the names of rules begin with. `Work.rows_in` is the number of rows entered, so a source that enters one
    and forgets to end it breaks the conservation law.
    """

    def __init__(self, work: Work, kind: str):
        self.work, self.kind, self.source = work, kind, work.extra["source"]
        self._writer = work.writer("documents", DOCUMENT)
        self._pending: list[tuple[Any, ...]] = []
        self._characters = 0
        self._address = ""
        self._url: str | None = None
        work.rows_in = 0

    def enter(self, address: str, url: str | None = None, id: bytes | None = None) -> bool:
        """A raw record is at hand. False: it is quarantined and accounted for; take the next one.

        address: the file's name, with the place in it behind a `#`; enough to fetch the record again.
        """
        row = self.work.rows_in or 0
        self.work.rows_in = row + 1
        self._address, self._url = address, url
        return self.work.enter(row, id, url=url, address=address)

    def keep(
        self,
        id: bytes,
        text: str,
        group: str,
        meta: Mapping[str, Any],
        *,
        part: int = 0,
        parent: bytes | None = None,
        url: str | None = None,
        crawled: datetime | None = None,
        published: datetime | None = None,
        date_method: str | None = None,
        language: str | None = None,
        language_score: float | None = None,
        license: str | None = None,
    ) -> None:
        """The record becomes a document, unless there is no text in it.

        text: is brought into normal form here. meta: None and empty values are left out. url: where `enter` did not
        know it. The others are columns of DOCUMENT.
        """
        if url is None:
            url = self._url
        self._url = url
        text = normalise(text)
        if not text.strip():
            self.remove("no_text", id=id)
            return
        # In the order of DOCUMENT.
        self._pending.append(
            (
                id, part, parent, group, text, self.source, url, self._address, crawled, published, date_method,
                language, language_score, license, 1, _json(meta),
            )
        )  # fmt: skip
        self.work.ledger.kept(id, url=url, address=self._address)
        self._characters += len(text)
        if len(self._pending) >= _ROWS or self._characters >= _CHARACTERS:
            self._write()

    def remove(
        self, rule: str, value: float | None = None, bound: float | None = None, id: bytes | None = None
    ) -> None:
        """The record is no document, by `<kind>.<rule>`, which measured `value` against `bound`."""
        name = f"{self.kind}.{rule}"
        self.work.ledger.removed(id, name, value=value, bound=bound, url=self._url, address=self._address)

    def fail(self, error: str, rule: str | None = None, id: bytes | None = None) -> None:
        """The record cannot be read, and this is why."""
        name = f"{self.kind}.{rule}" if rule else None
        self.work.ledger.failed(id, error[:500], rule=name, url=self._url, address=self._address)

    def leave(self) -> None:
        """Between two records: what is done now is no row's fault."""
        self.work.leave()

    def close(self) -> None:
        """All records are done."""
        self.work.leave()
        self._write()

    def _write(self) -> None:
        if self._pending:
            self._writer.write(from_tuples(self._pending, DOCUMENT))
        self._pending, self._characters = [], 0


def extra(source: str, **more: Any) -> dict[str, Any]:
    """What enters a shard's fingerprint beside settings and inputs.

    source: the recipe's name of the source, which stands in every document. The normal form of a text depends on the
    Unicode database.
    """
    return {"source": source, "unicode": unicodedata.unidata_version, **more}


def grouping(pattern: str | None, path: str, default: str) -> str:
    """The group that `pattern`, a regular expression, finds in `path`: its first group, or else the whole match.

    default: where there is no pattern, or it matches nothing.
    """
    found = re.search(pattern, path) if pattern else None
    return ((found[1] if found.re.groups else found[0]) if found else None) or default


def host_of(url: str | None) -> str | None:
    """The host of a URL without its `www.`; None where there is none."""
    if not url:
        return None
    if plain := _HOST.match(url):
        return plain[1].removeprefix("www.") or None
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.") or None
    except ValueError:
        return None


def path_of(url: str | None) -> str:
    """The path of a URL; empty where there is none."""
    try:
        return urlsplit(url or "").path
    except ValueError:
        return ""


def timestamp(text: str | None) -> datetime | None:
    """An ISO 8601 time in UTC; None where it is none, or 1970's first second, which stands for a time not known."""
    try:
        time = datetime.fromisoformat((text or "").strip())
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time if time != _EPOCH else None


def _json(meta: Mapping[str, Any]) -> str:
    text = _META.encode({k: v for k, v in meta.items() if v not in (None, "")})
    return text if text.isascii() else text.encode("utf-8", "replace").decode()

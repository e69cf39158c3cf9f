"""The source `wikipedia`: the articles of a MediaWiki XML dump, of any language and of Wikipedia's sister projects too.

Every page of the dump is a row of the ledger, and so is every place where none can be read: a dump that breaks off
gives all its whole pages and one failed row. Of a page with many revisions the last in the dump is read.
Rules: `wikipedia.namespace` (not an article), `wikipedia.redirect`, `wikipedia.disambiguation`, `wikipedia.model` (its
content is no wikitext), `wikipedia.too_large`, `wikipedia.no_text`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field

from firn.core.errors import InputError
from firn.core.hashing import document_id
from firn.core.inputs import External
from firn.core.settings import Settings
from firn.core.stage import Stage, Task, Work
from firn.data.raw import Pattern, Rows, grouping, timestamp
from firn.data.sources.listing import find
from firn.data.wikitext import Site, to_text
from firn.data.wikitext.dump import Broken, Dump, Page, site_of
from firn.data.wikitext.packed import begins
from firn.data.wikitext.site import is_disambiguation, is_redirect

# `enwiki-20240501-pages-articles.xml.bz2`: language and project.
_FILE = re.compile(
    r"(?:^|/)([a-z][a-z_]{1,20}?)(wiki|wiktionary|wikisource|wikibooks|wikinews|wikiquote|wikiversity|wikivoyage)-"
)
_INDEX = re.compile(r"-multistream-index\d*\.txt(?:-p\d+p\d+)?(?:\.bz2)?$")
#: Bytes of a part of a packed dump, at least; five times as many of XML.
PART_BYTES = 64 << 20
# What MediaWiki leaves unescaped in the address of a page (wfUrlencode).
_SAFE = ";@$!*(),/~:"


class WikipediaSettings(Settings):
    """What changes the documents of a dump."""

    group: Pattern | None = None
    """Regular expression on the page's title: its first group, or the whole match, names what must stay together in
    training or in validation. None, or no match: the page."""
    license: str | None = "CC-BY-SA-4.0"
    """Licence of the wiki's text, as an SPDX identifier; a dump does not say it."""
    max_bytes: int = Field(default=8 << 20, ge=1)
    """Largest page, in bytes of XML. MediaWiki itself allows 2 MiB of markup."""


class WikipediaSource(WikipediaSettings):
    """Articles out of MediaWiki XML dumps."""

    kind: Literal["wikipedia"] = "wikipedia"
    paths: tuple[str, ...] = Field(min_length=1)
    """Dumps, folders or patterns, local or fsspec URLs: `dumps/enwiki-*-pages-articles-multistream*.xml*.bz2`. Plain,
    bz2, xz or gzip."""


def tasks(name: str, source: WikipediaSource) -> list[Task]:
    """One shard per file, or per part of a large multistream one. Raises InputError.

    An index that lies beside a multistream dump is passed over: where its streams begin, they say themselves.
    """
    own = WikipediaSettings(**{key: getattr(source, key) for key in WikipediaSettings.model_fields})
    shards = []
    for found in find(source.paths):
        if _INDEX.search(found.name):
            continue
        dump = found.external()
        more: dict[str, Any] = {"source": name, "file": found.name}
        for number, (start, stop) in enumerate(_parts(dump)):
            if (start, stop) == (0, None):
                shards.append(Task(STAGE, own, (dump,), f"{name}/{found.name}", more))
            else:
                part = replace(dump, bytes=(stop or dump.bytes) - start)
                label = f"{name}/{found.name}-{number:05}"
                shards.append(Task(STAGE, own, (part,), label, {**more, "start": start, "stop": stop}))
    return shards


def _parts(dump: External) -> list[tuple[int, int | None]]:
    """Where the parts of a dump begin and end: each with some PART_BYTES, if it can be divided."""
    if dump.bytes <= PART_BYTES or not dump.name.endswith(".bz2"):
        return [(0, None)]
    try:
        with dump.stream(block=1 << 20) as stream:  # little is read, here and there
            places = begins(stream, dump.bytes, PART_BYTES)
            stream.seek(0)
            if len(places) == 1 or site_of(stream) is None:
                return [(0, None)]
    except OSError as error:
        mend = "check the file, or the connection"
        raise InputError(f"cannot be read: {error}", where=dump.path, mend=mend) from error
    return list(zip(places, [*places[1:], None], strict=True))


def run(work: Work) -> None:
    """Read one dump, or a part of it."""
    file: str = work.extra["file"]
    start, stop = work.extra.get("start", 0), work.extra.get("stop")
    rows, read = Rows(work, "wikipedia"), 0
    with work.stream() as stream:
        known = (site_of(stream) if start else None) or Site()
        stream.seek(start)
        dump = Dump(stream, work.settings.max_bytes, start, stop, known)
        site, wiki = dump.site, Wiki(dump.site, file)
        for page in dump:
            if dump.site is not site:  # known from the first page on
                site, wiki = dump.site, Wiki(dump.site, file)
            place = f"bytes={page.block}-" + ("" if page.id is None else f",page={page.id}")
            if rows.enter(f"{file}#{place}", wiki.url(page.title)):
                if isinstance(page, Broken):
                    _lose(rows, page, work.settings)
                else:
                    _read(rows, page, wiki, work.settings)
            rows.leave()
            work.advance(1, dump.position - read)
            read = dump.position
    rows.close()


def _lose(rows: Rows, page: Broken, settings: WikipediaSettings) -> None:
    """End the row of what could not be read."""
    if page.too_large:
        rows.remove("too_large", page.bytes, settings.max_bytes)
    else:
        rows.fail(page.error if page.title is None else f"{page.error} (page {page.title!r})")


def _read(rows: Rows, page: Page, wiki: Wiki, settings: WikipediaSettings) -> None:
    """End the row of a page."""
    remove = partial(rows.remove, id=document_id(wiki.locator(page), 0, page.text.encode("utf-8", "replace")))
    if (space := wiki.namespace(page)) != 0:
        remove("namespace", space, 0)
    elif page.redirect or is_redirect(page.text):
        remove("redirect")
    elif page.model != "wikitext":
        remove("model")
    elif is_disambiguation(page.title, page.text):
        remove("disambiguation")
    else:
        text = to_text(page.text, wiki.site, page.title)
        published = timestamp(page.timestamp)
        rows.keep(
            remove.keywords["id"],
            f"{page.title}\n\n{text}" if text else "",
            grouping(settings.group, page.title, f"{wiki.name}:{page.id}"),
            {
                "declared_language": wiki.site.language,
                "page": page.id,
                "revision": page.revision,
                "title": page.title,
                "wiki": wiki.name,
            },
            published=published,
            date_method="revision" if published else None,
            license=settings.license,
        )


class Wiki:
    """The wiki that a dump is of: as the dump says, else as its file's name does."""

    def __init__(self, site: Site, file: str):
        named = _FILE.search(file)
        code = named[1].replace("_", "-") if named else None
        self.site = site
        self.name = site.dbname or (named[1] + named[2] if named else "")
        if not site.language and code:
            self.site = Site(site.dbname, site.base, code, site.spaces)
        self._base = None
        if site.base:
            self._base = site.base[: site.base.rindex("/") + 1] if "/" in site.base else None
            if "/wiki/" in site.base:
                self._base = site.base[: site.base.index("/wiki/") + len("/wiki/")]
        elif named:
            project = "wikipedia" if named[2] == "wiki" else named[2]
            self._base = f"https://{code}.{project}.org/wiki/"

    def url(self, title: str | None) -> str | None:
        """Address of a page."""
        if not title or self._base is None:
            return None
        return self._base + quote(title.replace(" ", "_"), safe=_SAFE)

    def locator(self, page: Page) -> str:
        """What names this revision of this page, whichever dump it is in."""
        return f"{self.name}:{page.id}:{page.revision}"

    def namespace(self, page: Page) -> int:
        """Number of the page's namespace; of old dumps by the title's prefix."""
        if page.namespace is not None:
            return page.namespace
        prefix, colon, _ = page.title.partition(":")
        return self.site.numbers.get(prefix.lower(), 0) if colon else 0


# The version rises with whatever changes the text of a page, tables of templates and words too.
STAGE = Stage("read", 4, run, ledger=True)

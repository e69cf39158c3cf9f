"""What a page says of itself: title, author, date, address, language, licence, opt-outs.

Only declarations are read (meta, link, JSON-LD, microdata, time, byline classes); nothing is guessed from running text.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import numpy as np
from numpy.typing import NDArray

from firn.data.extract import dates
from firn.data.extract.scan import END, KIND, LAST, PARENT, START
from firn.data.extract.tags import TAGS, TEXT
from firn.data.rights import opts_out

_ATTRIBUTE = re.compile(r"""([^\s=/>"']+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_NO_CHARACTER = re.compile(r"&#[0-9]{8,};?")
_LICENSE = re.compile(
    r"(?:https?:)?//(?:www\.)?(creativecommons\.org/(?:licenses|publicdomain)/[a-z+-]+(?:/\d\.\d)?)", re.I
)
_BY = re.compile(r"^(?:by|von|par|por)\s+", re.IGNORECASE)
_NO_NAME = re.compile(r"://|^@|^(?:admin|unknown|null|none)$", re.IGNORECASE)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")

# JSON-LD that is longer, or has more members, describes something else than the page.
_MAX_JSON, _MAX_MEMBERS = 1 << 18, 20_000
# Elements are looked at up to these numbers: a page that has more is a list of them.
_MOST_META, _MOST_TIMES, _MOST_BYLINES = 500, 50, 20_000
_LONGEST_NAME, _MOST_NAMES = 120, 10

# JSON-LD types that stand for the page itself, best first.
_TYPES = """
    article newsarticle blogposting techarticle scholarlyarticle reportagenewsarticle analysisnewsarticle
    opinionnewsarticle discussionforumposting socialmediaposting question recipe howto review product videoobject
    podcastepisode book creativework webpage aboutpage qapage itempage
""".split()

_ARTICLES = """
    article newsarticle blogposting techarticle scholarlyarticle reportagenewsarticle opinionnewsarticle recipe
"""
# The types behind the first of PAGE_KINDS.
_KINDS = (
    set(_ARTICLES.split()),
    {"product", "productgroup", "individualproduct"},
    {"discussionforumposting", "socialmediaposting", "qapage", "question"},
    {"itemlist", "collectionpage", "searchresultspage", "offercatalog"},
    {"faqpage"},
)

_DATE_KEYS = (
    "article:published_time", "og:article:published_time", "datepublished", "date", "dc.date.issued",
    "dcterms.created", "dc.date",
    "dcterms.date", "dcterms.issued", "citation_publication_date", "citation_date", "publish-date", "publish_date",
    "pubdate",
    "publication_date", "parsely-pub-date", "sailthru.date", "article.published", "published-date", "displaydate",
    "article_date_original", "bt:pubdate", "cxenseparse:recs:publishtime", "og:published_time", "published_time",
    "datecreated",
)  # fmt: skip
# Attributes of time elements that mark a date of publication, and words in them; at last any time element.
_TIME_MARKS = (
    ("pubdate", ("",)),
    ("itemprop", ("published", "created")),
    ("class", ("publish", "entry-date", "posted", "created")),
    ("", ()),
)
_CHANGED = re.compile("updated|modified", re.IGNORECASE)
_AUTHOR_KEYS = (
    "author", "article:author", "og:article:author", "parsely-author", "sailthru.author", "dc.creator",
    "dcterms.creator",
    "citation_author", "byl", "article.author", "twitter:creator:name", "book:author", "og:author",
)  # fmt: skip


@dataclass(frozen=True)
class Metadata:
    """Fields of `Extracted`; kinds: bool [PAGE_KINDS], what the page says it is; dates: (how found, text) of its
    publication, best first; late_dates: of its last change, which stand in where no other is found."""

    title: str | None
    author: str | None
    canonical: str | None
    language: str | None
    license: str | None
    opt_out: tuple[str, ...]
    kinds: NDArray[np.bool_]
    dates: list[tuple[str, str]]
    late_dates: list[tuple[str, str]]


class Page:
    """Attributes and text of the nodes of a scanned page."""

    def __init__(self, data: bytes, nodes: NDArray[np.int32]):
        self.data, self.nodes = data, nodes

    def all(self, tag: str, most: int) -> list[int]:
        return [int(i) for i in np.flatnonzero(self.nodes[KIND] == TAGS[tag])[:most]]

    def holding(self, tag: str, word: bytes, most: int) -> list[int]:
        """Elements of a tag in whose attributes `word` is written."""
        found = np.flatnonzero(self.nodes[KIND] == TAGS[tag])[:most]
        spans = zip(found.tolist(), self.nodes[START, found].tolist(), self.nodes[END, found].tolist(), strict=True)
        return [node for node, start, end in spans if self.data.find(word, start, end) >= 0]

    def attributes(self, node: int) -> dict[str, str]:
        """Names in lower case; of an attribute given twice the first counts."""
        found: dict[str, str] = {}
        span = self.data[self.nodes[START, node] : self.nodes[END, node]][:10_000].decode("utf-8", "replace")
        for match in _ATTRIBUTE.finditer(span):
            value = match[2] or match[3] or match[4] or ""
            found.setdefault(match[1].lower(), unescape(value))
        return found

    def text(self, node: int, limit: int = 1_000) -> str:
        """Text within a node, white space collapsed, at most so many bytes of it."""
        pieces, size = [], 0
        for i in range(node, self.nodes[LAST, node]):
            if self.nodes[KIND, i] == TEXT and self.nodes[KIND, self.nodes[PARENT, i]] not in _NO_TEXT:
                piece = self.data[self.nodes[START, i] : self.nodes[END, i]][:limit]
                pieces.append(piece.decode("utf-8", "replace"))
                size += len(piece)
                if size > limit or len(pieces) > 100:
                    break
        return clean("".join(pieces))

    def raw(self, node: int, limit: int) -> str:
        """The content of a script, or nothing where it is longer than `limit` bytes."""
        if self.nodes[LAST, node] <= node + 1:
            return ""
        start, end = self.nodes[START, node + 1], self.nodes[END, node + 1]
        return "" if end - start > limit else self.data[start:end].decode("utf-8", "replace")


_NO_TEXT = {TAGS["script"], TAGS["style"]}


def unescape(text: str) -> str:
    """Character references read, as HTML does."""
    if "&" not in text:
        return text
    # Numbers that are no characters: Python refuses to read one of more than 4,300 digits.
    return html.unescape(_NO_CHARACTER.sub("\ufffd", text))


def clean(text: str) -> str:
    """Character references read, white space collapsed."""
    return " ".join(unescape(text).split())


def read_metadata(page: Page, url: str | None) -> Metadata:
    metas: dict[str, str] = {}
    opt_out: set[str] = set()
    for node in page.all("meta", _MOST_META):
        attributes = page.attributes(node)
        key = attributes.get("property") or attributes.get("name") or attributes.get("itemprop")
        if key and (content := attributes.get("content", "").strip()):
            key = key.strip().lower()
            metas.setdefault(key, content)
            if opts_out(key, content):
                opt_out.add(f"html:{key}")
        elif attributes.get("http-equiv", "").lower() == "content-language":
            metas.setdefault("content-language", attributes.get("content", ""))
    links = [
        page.attributes(node)
        for word in (b"canon", b"creativecommons")
        for node in page.holding("link", word, _MOST_META)
    ]
    entity, types = _entity(page)
    return Metadata(
        title=_title(page, metas),
        author=_author(page, metas, entity),
        canonical=_canonical(links, metas, url),
        language=_language(page, metas),
        license=_license(page, links),
        opt_out=tuple(sorted(opt_out)),
        dates=list(_dates(page, metas, entity, url)),
        late_dates=list(_late_dates(metas, entity)),
        kinds=_kinds(types, metas.get("og:type", "").lower()),
    )


# -- JSON-LD


def _kinds(types: set[str], social: str) -> NDArray[np.bool_]:
    found = [bool(types & names) for names in _KINDS] + [word in social for word in ("article", "product", "website")]
    return np.array(found, np.bool_)


def _entity(page: Page) -> tuple[dict[str, Any], set[str]]:
    """The JSON-LD object that speaks of the page itself (empty where there is none), and the types of all objects."""
    types: set[str] = set()
    best: dict[str, Any] = {}
    best_rank = len(_TYPES)
    for node in page.holding("script", b"ld+json", _MOST_META):
        try:
            tree = json.loads(page.raw(node, _MAX_JSON) or "null", strict=False)
        except (ValueError, RecursionError):
            continue
        for found in _objects(tree):
            kinds = found.get("@type")
            for kind in kinds if isinstance(kinds, list) else [kinds]:
                name = kind.lower() if isinstance(kind, str) else ""
                types.add(name)
                rank = _TYPES.index(name) if name in _TYPES else len(_TYPES)
                if rank < best_rank:
                    best, best_rank = found, rank
    return best, types


def _objects(tree: Any) -> Iterator[dict[str, Any]]:
    """Objects at the top and in @graph, mainEntity and the like, not those that articles merely mention."""
    waiting = [tree]
    for item in waiting:  # which grows meanwhile
        if len(waiting) > _MAX_MEMBERS:
            return
        if isinstance(item, list):
            waiting.extend(item[:1_000])
        elif isinstance(item, dict):
            yield item
            waiting.extend(item[key] for key in ("@graph", "mainEntity", "mainEntityOfPage") if key in item)


def _names(value: Any) -> list[str]:
    """Names of persons or organisations in a JSON-LD value: a name, an object with one, or a list of these."""
    names = []
    for item in value[:_MOST_NAMES] if isinstance(value, list) else [value]:
        name = item.get("name") if isinstance(item, dict) else item
        if isinstance(name, list) and name:
            name = name[0]
        if isinstance(name, str):
            names.append(name)
    return names


def _string(entity: dict[str, Any], key: str) -> str:
    value = entity.get(key)
    return value if isinstance(value, str) else ""


# -- the fields


def _dates(page: Page, metas: dict[str, str], entity: dict[str, Any], url: str | None) -> Iterator[tuple[str, str]]:
    yield "json-ld", _string(entity, "datePublished")
    for key in _DATE_KEYS:
        if key in metas:
            yield "meta", metas[key]
    yield "json-ld", _string(entity, "dateCreated") or _string(entity, "uploadDate")
    if url and (date := dates.in_address(url)):
        yield "url", date.isoformat()
    times = [(page.attributes(node), node) for node in page.all("time", _MOST_TIMES)]
    for wanted, words in _TIME_MARKS:
        for attributes, node in times:
            mark = attributes.get(wanted, "").lower() if wanted in attributes else None
            if wanted and (mark is None or not any(word in mark for word in words)):
                continue
            if not _CHANGED.search(attributes.get("class", "") + attributes.get("itemprop", "")):
                yield "time", attributes.get("datetime") or page.text(node)


def _late_dates(metas: dict[str, str], entity: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("article:modified_time", "og:updated_time", "last-modified", "datemodified"):
        if key in metas:
            yield "modified", metas[key]
    yield "modified", _string(entity, "dateModified")


def _title(page: Page, metas: dict[str, str]) -> str | None:
    declared = next((t for node in page.all("title", 1) if (t := page.text(node))), "")
    social = clean(metas.get("og:title", "") or metas.get("twitter:title", ""))
    headings = [t for node in page.all("h1", 5) if (t := page.text(node))]
    for heading in headings:  # the headline that the page's title repeats, without the name of the site
        if len(heading) > 3 and (heading.lower() in declared.lower() or heading.lower() in social.lower()):
            return heading
    if social:
        return social
    if len(headings) == 1:
        return headings[0]
    return declared or (headings[0] if headings else None)


def _author(page: Page, metas: dict[str, str], entity: dict[str, Any]) -> str | None:
    for names in (_names(entity.get("author")), *([metas.get(key, "")] for key in _AUTHOR_KEYS)):
        if author := _tidy(names):
            return author
    for node in page.holding("a", b"author", _MOST_BYLINES):
        attributes = page.attributes(node)
        declared = "author" in attributes.get("rel", "") + attributes.get("itemprop", "")
        if declared and (author := _tidy([page.text(node, 200)])):
            return author
    return None


def _tidy(names: list[str]) -> str | None:
    kept: list[str] = []
    for name in names:
        name = _BY.sub("", clean(name))
        if name and len(name) <= _LONGEST_NAME and name not in kept and not _NO_NAME.search(name):
            kept.append(name)
    return ", ".join(kept[:_MOST_NAMES]) or None


def _canonical(links: list[dict[str, str]], metas: dict[str, str], url: str | None) -> str | None:
    found = next((link.get("href", "") for link in links if "canonical" in link.get("rel", "").lower().split()), "")
    return _absolute(found or metas.get("og:url", ""), url)


def _absolute(address: str, url: str | None) -> str | None:
    try:
        whole = urljoin(url or "", address.strip())
        parts = urlsplit(whole)
    except ValueError:
        return None
    return whole if parts.scheme in ("http", "https") and parts.netloc and not re.search(r"\s", whole) else None


def _language(page: Page, metas: dict[str, str]) -> str | None:
    declared = [page.attributes(node) for node in page.all("html", 1)]
    told = declared[0].get("lang") or declared[0].get("xml:lang") if declared else None
    for value in (told, metas.get("content-language"), metas.get("og:locale")):
        if value and (found := _LANGUAGE.fullmatch(value.split(",")[0].strip())):
            return found[0].replace("_", "-")
    return None


def _license(page: Page, links: list[dict[str, str]]) -> str | None:
    """The one Creative Commons licence that the page names as its own, or links without naming another."""
    if b"creativecommons.org/" not in page.data:
        return None
    named: set[str] = set()
    linked: set[str] = set()
    anchors = [page.attributes(node) for node in page.holding("a", b"creativecommons.org/", _MOST_BYLINES)]
    for attributes in (*links, *anchors):
        if found := _LICENSE.search(attributes.get("href", "")):
            address = f"https://{found[1].lower()}/"
            linked.add(address)
            if "license" in attributes.get("rel", "").lower().split():
                named.add(address)
    choice = named or linked
    return choice.pop() if len(choice) == 1 else None

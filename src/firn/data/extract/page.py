"""One page: its limits, its tree, the blocks that are its main text, what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from firn.data.extract import dates, peers
from firn.data.extract.blocks import DIGITS, FINAL, FIRST, WORDS, read_blocks, read_elements
from firn.data.extract.features import features_of
from firn.data.extract.hints import LOOK_CLOSER
from firn.data.extract.listings import mark_listings
from firn.data.extract.maths import latex, mark_images
from firn.data.extract.metadata import Metadata, Page, read_metadata, unescape
from firn.data.extract.model import Forest, best_set, load, probabilities
from firn.data.extract.scan import KIND, scan
from firn.data.extract.settings import Extracted, ExtractSettings, Refused
from firn.data.extract.tags import TEXT
from firn.data.extract.write import MARK, write_blocks
from firn.data.normalise import normalise

_FORMULA = re.compile(f"{MARK}(\\d+){MARK}")
# Dates in the text: in lines of at most so many words and with a day's and a year's digits, so many blocks from the
# main text's beginning and end.
_DATE_WORDS, _DATE_DIGITS, _BEFORE, _AFTER, _MOST_DATES = 20, 5, 25, 10, 50
# The features of so many blocks are in memory at once; few pages have more.
_AT_ONCE = 1 << 15
# Code may have two empty lines in a row.
_EMPTY_LINES = re.compile(r"\n{4,}")


@dataclass(frozen=True)
class Blocks:
    """The blocks of a page. Per node: within, hints, path (see `read_elements`); table: int64 [4, blocks]; counts:
    float32 [blocks, COUNTS]; kinds: what the page says it is."""

    page: Page
    within: NDArray[np.uint64]
    hints: NDArray[np.int64]
    path: NDArray[np.uint32]
    table: NDArray[np.int64]
    counts: NDArray[np.float32]
    kinds: NDArray[np.bool_]

    @property
    def words(self) -> NDArray[np.float64]:
        return self.counts[:, WORDS].astype(np.float64)

    def features(self, low: int, high: int) -> NDArray[np.float32]:
        """float32 [high - low, FEATURES]: of the blocks from `low` to `high`."""
        nodes, table = self.page.nodes, self.table
        found: NDArray[np.float32] = features_of(
            nodes, self.within, self.hints, self.path, table, self.counts, self.kinds, low, high
        )
        return found

    def kept(self, trees: Forest) -> NDArray[np.bool_]:
        """bool [blocks]: which are the main text."""
        found = np.empty(len(self.counts))
        for low in range(0, found.size, _AT_ONCE):
            high = min(low + _AT_ONCE, found.size)
            found[low:high] = probabilities(self.features(low, high), *trees)
        return best_set(found, self.words)


def extract_page(html: str | bytes, settings: ExtractSettings, url: str | None) -> Extracted:
    data = html if isinstance(html, bytes) else html.encode("utf-8", "replace")
    if len(data) > settings.max_bytes:
        raise Refused(f"max_bytes is {settings.max_bytes:,}, the page has {len(data):,}")
    text = np.frombuffer(data, np.uint8)
    nodes, count, depth = scan(text, settings.max_nodes, settings.max_depth)
    if count > settings.max_nodes:
        raise Refused(f"max_nodes is {settings.max_nodes:,}, the page has at least {count:,}")
    if depth > settings.max_depth:
        raise Refused(f"max_depth is {settings.max_depth:,}, the page is nested at least {depth:,} deep")
    page = Page(data, nodes)
    said = read_metadata(page, url)
    blocks = _blocks(page, text, said)
    kept = blocks.kept(load())
    if settings.method == "firn":
        written, _ = write_blocks(text, nodes, blocks.within, blocks.table, kept)
        main = finish(written.tobytes(), page)
    else:
        whole = html if isinstance(html, str) else html.decode("utf-8", "replace")
        main = peers.METHODS[settings.method](whole, page, depth)
    published, method = dates.first(chain(said.dates, _dates_beside(blocks, kept), said.late_dates))
    return Extracted(
        text=_EMPTY_LINES.sub("\n\n\n", normalise(main)).strip(),  # references may name ends of lines
        title=_field(said.title),
        author=_field(said.author),
        published=published,
        date_method=method,
        canonical=said.canonical,
        language=said.language,
        license=said.license,
        opt_out=said.opt_out,
    )


def _dates_beside(blocks: Blocks, kept: NDArray[np.bool_]) -> Iterator[tuple[str, str]]:
    """Short lines with a date in and around the main text, the nearest to its beginning first."""
    places = np.flatnonzero(kept)
    if not places.size:
        return
    first, last = int(places[0]), int(places[-1])
    short = (blocks.words <= _DATE_WORDS) & (blocks.counts[:, DIGITS] >= _DATE_DIGITS)
    found = np.flatnonzero(short)
    found = found[(found >= first - _BEFORE) & (found <= last + _AFTER)]
    for b in found[np.argsort(np.abs(found - first), kind="stable")][:_MOST_DATES]:
        start, end = blocks.table[FIRST, b], blocks.table[FINAL, b]
        texts = [i for i in range(start, end + 1) if blocks.page.nodes[KIND, i] == TEXT]
        yield "text", " ".join(blocks.page.text(i, 100) for i in texts[:20])


def _field(value: str | None) -> str | None:
    return (normalise(value).strip() or None) if value else None


def _blocks(page: Page, text: NDArray[np.uint8], metadata: Metadata) -> Blocks:
    container, within, hints, path = read_elements(text, page.nodes)
    closer = np.flatnonzero(hints & LOOK_CLOSER)
    if closer.size:
        mark_listings(text, page.nodes, container, within, hints)
        mark_images(page, container, within, closer)
    table, counts, number = read_blocks(text, page.nodes, container, within)
    return Blocks(page, within, hints, path, table[:, :number].copy(), counts[:number].copy(), metadata.kinds)


def read_page(html: str, url: str | None = None) -> Blocks:
    """The blocks of a page, whatever its size."""
    data = html.encode("utf-8", "replace")
    text = np.frombuffer(data, np.uint8)
    nodes, _, _ = scan(text, len(data) + 1, len(data) + 1)
    page = Page(data, nodes)
    return _blocks(page, text, read_metadata(page, url))


def block_texts(blocks: Blocks) -> list[str]:
    """The text of every block, with what separates it from the one before."""
    text = np.frombuffer(blocks.page.data, np.uint8)
    everything = np.ones(blocks.words.size, np.bool_)
    written, ends = write_blocks(text, blocks.page.nodes, blocks.within, blocks.table, everything)
    data, starts = written.tobytes(), [0, *ends.tolist()]
    return [finish(data[start:end], blocks.page) for start, end in zip(starts, ends.tolist(), strict=False)]


def finish(written: bytes, page: Page) -> str:
    """What `write_blocks` wrote, as text: entities read, formulas put in their places, spaces plain."""
    found = unescape(written.decode("utf-8", "replace"))
    if MARK in found:
        found = _FORMULA.sub(lambda mark: latex(page, int(mark[1]), _is_alone(mark)).replace(MARK, ""), found)
    found = found.replace("\xa0", " ")
    return _EMPTY_LINES.sub("\n\n\n", "\n".join([line.rstrip(" \t") for line in found.split("\n")]))


def _is_alone(mark: re.Match[str]) -> bool:
    """Whether a formula has its line to itself."""
    text, start, end = mark.string, mark.start(), mark.end()
    return text[start - 1 : start] in ("", "\n") and text[end : end + 1] in ("", "\n")

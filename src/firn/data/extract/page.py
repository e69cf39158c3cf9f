"""One page: its limits, its tree, the blocks that are its main text, what it says of itself."""

from __future__ import annotations

import html as entities
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firn.data.extract.blocks import WORDS, read_blocks, read_elements
from firn.data.extract.features import features_of
from firn.data.extract.maths import latex
from firn.data.extract.metadata import Metadata, Page, read_metadata
from firn.data.extract.model import keep
from firn.data.extract.scan import scan
from firn.data.extract.settings import Extracted, ExtractSettings, Refused
from firn.data.extract.write import MARK, write_blocks
from firn.data.normalise import normalise

_FORMULA = re.compile(f"{MARK}(\\d+){MARK}")
_LINE_END = re.compile(r"[ \t]+$", re.MULTILINE)
_EMPTY_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class Blocks:
    """The blocks of a page. within: uint64 [nodes]; table: int64 [4, blocks]; features: float32 [blocks, features];
    words: float64 [blocks]."""

    page: Page
    within: NDArray[np.uint64]
    table: NDArray[np.int64]
    features: NDArray[np.float32]
    words: NDArray[np.float64]


def extract_page(html: str, settings: ExtractSettings, url: str | None) -> Extracted:
    data = html.encode("utf-8", "replace")
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
    if settings.method == "firn":
        main = _main_text(page, text, said)
    else:
        from firn.data.extract import peers

        main = peers.METHODS[settings.method](html)
    return Extracted(
        text=normalise(main).strip(),
        title=_field(said.title),
        author=_field(said.author),
        published=said.published,
        date_method=said.date_method,
        canonical=said.canonical,
        language=said.language,
        license=said.license,
    )


def _field(value: str | None) -> str | None:
    return (normalise(value).strip() or None) if value else None


def _main_text(page: Page, text: NDArray[np.uint8], metadata: Metadata) -> str:
    blocks = _blocks(page, text, metadata)
    written, _ = write_blocks(text, page.nodes, blocks.within, blocks.table, keep(blocks.features, blocks.words))
    return finish(written.tobytes(), page)


def _blocks(page: Page, text: NDArray[np.uint8], metadata: Metadata) -> Blocks:
    container, within, hints, path = read_elements(text, page.nodes)
    table, counts = read_blocks(text, page.nodes, container, within)
    features = features_of(page.nodes, within, hints, path, table, counts, metadata.kinds)
    return Blocks(page, within, table, features, counts[:, WORDS].astype(np.float64))


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
    found = written.decode("utf-8", "replace")
    if "&" in found:
        found = entities.unescape(found)
    if MARK in found:
        found = _FORMULA.sub(lambda mark: latex(page, int(mark[1])).replace(MARK, ""), found)
    found = found.replace("\xa0", " ")
    return _EMPTY_LINES.sub("\n\n", _LINE_END.sub("", found))

"""Dumps to pages: every whole page once, whatever else the file holds, in memory that the largest page bounds."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data.wikitext.dump import Broken, Dump, Page
from firn.data.wikitext.site import is_disambiguation, is_redirect

LIMIT = 1 << 20
HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">\n<siteinfo>'
    "<dbname>xwiki</dbname><base>https://x.org/wiki/Main</base><namespaces>"
    "<namespace key='6' case='x'>Plurr</namespace>"
    "<namespace key='0' case='x' /></namespaces></siteinfo>\n"
)
TAIL = "</mediawiki>\n"


def page(number: int, text: str = "text &amp; more ü", extra: str = "") -> str:
    return (
        f"  <page>\n    <title>Page {number}</title>\n    <ns>0</ns>\n    <id>{number}</id>\n{extra}    <revision>\n"
        f"      <id>{number + 1000}</id>\n      <timestamp>2020-01-02T03:04:05Z</timestamp>\n"
        f"      <contributor><username>u</username><id>7</id></contributor>\n      <model>wikitext</model>\n"
        f'      <text bytes="9" xml:space="preserve">{text}</text>\n    </revision>\n  </page>\n'
    )


PAGES = [page(i, f"text {i} " * (i % 7) + "&lt;b&gt; ü 字") for i in range(1, 31)]
WHOLE = (HEAD + "".join(PAGES) + TAIL).encode()


def read(data: bytes, limit: int = LIMIT) -> tuple[list[Page], list[Broken], Dump]:
    dump = Dump(io.BytesIO(data), limit)
    found = list(dump)
    return [p for p in found if isinstance(p, Page)], [p for p in found if isinstance(p, Broken)], dump


def multistream(parts: list[str]) -> tuple[bytes, list[int]]:
    out, offsets = b"", []
    for part in parts:
        offsets.append(len(out))
        out += bz2.compress(part.encode())
    return out, offsets


@pytest.mark.parametrize("pack", [bytes, bz2.compress, lzma.compress, gzip.compress])
def test_every_page_once_in_order(pack: Callable[[bytes], bytes]) -> None:
    pages, broken, dump = read(pack(WHOLE))
    assert [p.id for p in pages] == list(range(1, 31))
    assert not broken
    assert dump.site.dbname == "xwiki"
    assert dump.site.base == "https://x.org/wiki/Main"
    assert dump.site.files >= {"plurr", "file"}
    first = pages[0]
    assert (first.title, first.namespace, first.revision, first.redirect) == ("Page 1", 0, 1001, False)
    assert first.timestamp == "2020-01-02T03:04:05Z"
    assert first.text == "text 1 <b> ü 字"
    assert dump.position == len(pack(WHOLE))


def test_a_block_of_a_multistream_dump_can_be_read_alone() -> None:
    data, offsets = multistream([HEAD, *("".join(PAGES[i : i + 5]) for i in range(0, 30, 5)), TAIL])
    pages, broken, _ = read(data)
    assert [p.id for p in pages] == list(range(1, 31))
    assert not broken
    assert [p.block for p in pages] == [offsets[1 + i // 5] for i in range(30)]
    again = bz2.BZ2Decompressor().decompress(data[pages[17].block :])
    assert again.decode() == "".join(PAGES[15:20])


def test_a_page_of_a_plain_dump_begins_at_its_offset() -> None:
    for found in read(WHOLE)[0]:
        assert WHOLE[found.block :].startswith(b"<page>\n    <title>" + found.title.encode() + b"<")


def test_a_plain_dump_cut_anywhere_gives_every_whole_page_and_one_failure() -> None:
    for cut in range(len(HEAD) - 50, len(WHOLE) - len(TAIL), 97):
        pages, broken, _ = read(WHOLE[:cut])
        assert len(pages) == WHOLE[:cut].count(b"</page>")
        assert len(broken) == 1
        assert broken[0].error


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, gzip.compress])
def test_a_packed_dump_cut_anywhere_says_so_once(pack: Callable[[bytes], bytes]) -> None:
    data = pack(WHOLE)
    for cut in range(20, len(data) - 1, 41):
        pages, broken, _ = read(data[:cut])
        assert [p.id for p in pages] == list(range(1, len(pages) + 1))
        assert len(broken) == 1


def test_a_damaged_stream_costs_its_own_pages_only() -> None:
    data, offsets = multistream([HEAD, *("".join(PAGES[i : i + 5]) for i in range(0, 30, 5)), TAIL])
    middle = (offsets[3] + offsets[4]) // 2
    damaged = data[:middle] + bytes([data[middle] ^ 0xFF]) * 8 + data[middle + 8 :]
    pages, broken, _ = read(damaged)
    assert {p.id for p in pages} >= {*range(1, 11), *range(16, 31)}
    assert len(broken) == 1
    assert broken[0].block == offsets[3]


@given(
    st.integers(0, 1 << 32).map(random.Random),
    st.integers(0, 7),
    st.sampled_from(["flip", "cut", "zeros", "noise", "insert"]),
    st.sampled_from([bz2.compress, lzma.compress, gzip.compress]),
)
def test_any_damage_to_a_stream_costs_its_own_pages_only(
    chance: random.Random, where: int, how: str, pack: Callable[[bytes], bytes]
) -> None:
    parts = [HEAD, *("".join(PAGES[i : i + 5]) for i in range(0, 30, 5)), TAIL]
    streams = [pack(part.encode()) for part in parts]
    damaged = bytearray(streams[where])
    at = chance.randrange(len(damaged))
    if how == "flip":
        damaged[at] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del damaged[at:]
    elif how == "zeros":
        damaged[at : at + 30] = bytes(len(damaged[at : at + 30]))
    elif how == "noise":
        damaged[:] = chance.randbytes(len(damaged))
    else:
        damaged[at:at] = chance.randbytes(10)
    begin = sum(map(len, streams[:where]))
    streams[where] = bytes(damaged)
    data = b"".join(streams)
    pages, broken, _ = read(data)
    others = [i for i in range(1, 31) if (i - 1) // 5 != where - 1]
    assert [p.id for p in pages if p.id in others] == others
    assert len({p.id for p in pages}) == len(pages)
    for page_ in pages:
        again = Dump(io.BytesIO(data[page_.block :]), LIMIT, start=page_.block)
        assert any(isinstance(p, Page) and (p.id, p.text) == (page_.id, page_.text) for p in again)
    assert len(broken) <= 1
    # What hides behind the end of the dump is not missed.
    if len(pages) < 30:
        assert f"at bytes {begin}-{begin + len(damaged) - 1} is damaged" in broken[0].error


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "iso-8859-1"])
def test_other_encodings(encoding: str) -> None:
    declaration = f'<?xml version="1.0" encoding="{encoding}"?>\n' if encoding.startswith("iso") else ""
    text = declaration + HEAD + page(1, "über") + page(2) + TAIL
    pages, broken, dump = read(text.encode(encoding))
    assert [p.id for p in pages] == [1, 2]
    assert pages[0].text == "über"
    assert dump.site.language == "en"
    assert not broken


def test_of_many_revisions_the_last_is_read_in_bounded_memory() -> None:
    revision = "<revision><id>{}</id><timestamp>2020-01-02T03:04:05Z</timestamp><text>{}</text></revision>\n"
    history = "".join(revision.format(i, f"state {i} " + "x" * 50_000) for i in range(1, 400))
    data = (HEAD + f"<page><title>H</title><ns>0</ns><id>5</id>{history}</page>" + page(6) + TAIL).encode()
    packed = bz2.compress(data)
    tracemalloc.start()
    pages, broken, _ = read(packed, limit=1 << 18)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(p.id, p.revision) for p in pages] == [(5, 399), (6, 1006)]
    assert pages[0].text.startswith("state 399 ")
    assert not broken
    assert peak < 16 << 20 < len(data)


def test_a_page_that_is_too_large_is_passed_over_in_bounded_memory() -> None:
    data = bz2.compress((HEAD + page(1) + page(2, "x" * (64 << 20)) + page(3) + TAIL).encode())
    tracemalloc.start()
    pages, broken, _ = read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [p.id for p in pages] == [1, 3]
    assert [(b.title, b.id, b.too_large) for b in broken] == [("Page 2", 2, True)]
    assert broken[0].bytes > 64 << 20
    assert peak < 16 << 20


BOMB = (
    '<!DOCTYPE mediawiki [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY x SYSTEM '
    '"file:///etc/passwd">]>\n'
)


def test_entities_of_a_document_type_are_never_expanded() -> None:
    pages, broken, _ = read((BOMB + HEAD + page(1, "&b;") + page(2, "&x;") + page(3) + TAIL).encode())
    assert [p.id for p in pages] == [3]
    assert [b.title for b in broken] == ["Page 1", "Page 2"]
    inside = page(1).replace("  <page>\n", "  <page>\n" + BOMB)
    assert [p.id for p in read((HEAD + inside + page(2) + TAIL).encode())[0]] == [2]


@pytest.mark.parametrize(
    "bad",
    [
        page(2, "a < b"),
        page(2, "\x01"),
        page(2, "<a>" * 5000),
        page(2).replace("<id>2</id>", ""),
        page(2).replace("<id>2</id>", "<id>two</id>"),
        page(2).replace("<id>2</id>", f"<id>{'9' * 5000}</id>"),
        page(2).replace("revision>", "version>"),
        page(2).replace("<title>", "<title"),
    ],
)
def test_a_broken_page_fails_alone(bad: str) -> None:
    pages, broken, _ = read((HEAD + page(1) + bad + page(3) + TAIL).encode())
    assert [p.id for p in pages] == [1, 3]
    assert len(broken) == 1


@pytest.mark.parametrize(
    "data", [b"", b"BZ", b"<html></html>" * 100_000, b"\x00" * 5000, b"PK\x03\x04", b"\xfd7zXZ\x00"]
)
def test_what_is_no_dump_fails_once(data: bytes) -> None:
    pages, broken, _ = read(data)
    assert not pages
    assert len(broken) == 1


def test_a_file_of_nothing_but_damaged_streams_is_given_up() -> None:
    (broken,) = read(b"BZh91AY&SY" * 5000)[1]
    assert "1000 places" in broken.error
    assert len(read(bz2.compress(b"") * 50_000)[1]) == 1


@pytest.mark.parametrize("header", ["<siteinfo>", "<mediawiki ", " ", "<a>"])
def test_a_header_of_any_kind_and_length_is_read_once(header: str) -> None:
    pages, broken, _ = read((header * (3_000_000 // len(header)) + page(1) + TAIL).encode())
    assert [p.id for p in pages] == [1]
    assert not broken


def test_redirects_that_only_the_markup_tells() -> None:
    for markup in (
        "#REDIRECT [[A]]",
        "#redirect:[[A#b]] {{R}}",
        " \n#ПЕРЕНАПРАВЛЕННЯ [[А]]",
        "#đổi [[Á]]",
        "#転送[[あ]]",
    ):
        assert is_redirect(markup), markup
    for markup in (
        "#a" + " " * 1_000_000 + "x",
        "#" + "a" * 1_000_000,
        "# one [[A]]",
        "#1 [[A]]",
        "text #REDIRECT [[A]]",
        "# [[A]]",
    ):
        assert not is_redirect(markup), markup


def test_disambiguation_pages_are_told_in_many_languages() -> None:
    for title, markup in (
        ("A", "x {{Disambig}}"),
        ("A", "x {{ disambiguation |geo}}"),
        ("A", "{{Begriffsklärung}}"),
        ("A", "{{曖昧さ回避}}"),
        ("A", "{{trang định hướng}}"),
        ("A", "x __DISAMBIG__"),
        ("A (disambiguation)", "x"),
        ("А (значення)", "x"),
        ("あ（曖昧さ回避）", "x"),
    ):
        assert is_disambiguation(title, markup), (title, markup)
    assert not is_disambiguation("A (film)", "{{other uses|A (disambiguation)}} x {{disambiguation needed}}")


def test_dumps_of_five_languages_page_by_page(shared_data: Callable[[str], Path]) -> None:
    for name, language, whole, lost in (
        ("gensim/bgwiki-latest-pages-articles-shortened.xml.bz2", "bg", 3, 0),
        ("gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", "en", 206, 0),
        ("gensim/enwiki-table-markup.xml.bz2", "en", 5, 0),
        ("truncated/jawiki-truncated-100k.xml.xz", "ja", 238, 1),
        ("truncated/ukwiki-truncated-100k.xml.xz", "uk", 532, 1),
        ("wikiextractor/test.xml", "vi", 10, 1),
    ):
        path = shared_data(f"wiki/{name}")
        pages, broken, dump = read(path.read_bytes(), limit=8 << 20)
        assert (len(pages), len(broken), dump.site.language) == (whole, lost, language), name
        raw = path.read_bytes()
        for magic, unpack in ((b"BZh", bz2.decompress), (b"\xfd7zXZ", lzma.decompress)):
            raw = unpack(raw) if raw.startswith(magic) else raw
        text = raw.decode("utf-16" if raw.startswith(b"\xff\xfe") else "utf-8", "replace")
        assert text.count("</page>") == len(pages)

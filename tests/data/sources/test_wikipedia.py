"""The source `wikipedia`: every page of a dump is a row, articles become documents with their dates and addresses."""

from __future__ import annotations

import bz2
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from firn.core.engine import LocalEngine
from firn.core.hashing import document_id
from firn.core.store import Manifest, Store
from firn.data.fetch import raw
from firn.data.sources import wikipedia
from firn.data.sources.wikipedia import WikipediaSource

sys.path.insert(0, str(Path(__file__).parent.parent))
from shards import Inline
from shards import read as rows

HEAD = (
    '<mediawiki xml:lang="fr"><siteinfo><dbname>frwiki</dbname><base>https://fr.wikipedia.org/wiki/Accueil</base>'
    "<namespaces><namespace key='4'>Projet</namespace></namespaces></siteinfo>\n"
)


def page(number: int, title: str, text: str, head: str = "<ns>0</ns>", model: str = "wikitext") -> str:
    return (
        f"<page><title>{title}</title>{head}<id>{number}</id><revision><id>{number}0</id><timestamp>2021-02-03T04:05:06Z"
        f"</timestamp><model>{model}</model><text>{text}</text></revision></page>\n"
    )


def dump(path: Path, *pages: str, head: str = HEAD, end: str = "</mediawiki>") -> WikipediaSource:
    path.write_bytes(bz2.compress((head + "".join(pages) + end).encode()))
    return WikipediaSource(paths=(str(path),))


def run(source: WikipediaSource, folder: Path) -> tuple[Manifest, list[dict[str, Any]], list[dict[str, Any]]]:
    engine = Inline(Store(folder / "store"))
    (manifest,) = engine.run(wikipedia.tasks("wiki", source))
    return (
        manifest,
        rows(engine.store, manifest).to_pylist(),
        rows(engine.store, manifest, "ledger").to_pylist(),
    )


def test_an_article(tmp_path: Path) -> None:
    source = dump(tmp_path / "d.xml.bz2", page(7, "Été (saison)?", "'''L'été''' est [[x|une]] saison."))
    manifest, (document,), (row,) = run(source, tmp_path)
    assert manifest.counts["kept"] == 1
    assert document["text"] == "Été (saison)?\n\nL'été est une saison."
    assert document["url"] == row["url"] == "https://fr.wikipedia.org/wiki/%C3%89t%C3%A9_(saison)%3F"
    assert document["published"] == datetime(2021, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert document["crawled"] is None
    assert document["date_method"] == "revision"
    assert document["license"] == "CC-BY-SA-4.0"
    assert document["group"] == "frwiki:7"
    assert document["address"] == row["address"] == "d.xml.bz2#bytes=0-,page=7"
    raw = "'''L'été''' est [[x|une]] saison.".encode()
    assert document["id"] == row["id"] == document_id("frwiki:7:70", 0, raw)
    assert json.loads(document["meta"]) == {
        "declared_language": "fr",
        "page": 7,
        "revision": 70,
        "title": "Été (saison)?",
        "wiki": "frwiki",
    }


def test_what_is_no_article_is_a_row_with_its_reason(tmp_path: Path) -> None:
    source = dump(
        tmp_path / "d.xml.bz2",
        page(1, "Projet:A", "x", head="<ns>4</ns>"),
        page(2, "Projet:B", "x", head=""),  # old dumps have no numbers of namespaces
        page(3, "C", "#REDIRECT [[D]]", head='<ns>0</ns><redirect title="D" />'),
        page(4, "D", "#REDIRECTION [[E]]"),
        page(5, "E", "* x\n{{homonymie}}"),
        page(6, "F", "{}", model="json"),
        page(7, "G", "{{foo}}"),
        page(8, "H", "x" * 5000),
        page(9, "I", "&nope;"),
        page(10, "J", "x"),
    ).model_copy(update={"max_bytes": 4000})
    manifest, documents, ledger = run(source, tmp_path)
    kind = "wikipedia."
    assert [row["rule"] for row in ledger] == [
        kind + "namespace", kind + "namespace", kind + "redirect", kind + "redirect", kind + "disambiguation",
        kind + "model", kind + "no_text", kind + "too_large", None, None,
    ]  # fmt: skip
    assert [d["text"] for d in documents] == ["J\n\nx"]
    assert ledger[8]["verdict"] == "failed"
    assert ledger[8]["url"] == "https://fr.wikipedia.org/wiki/I"
    assert ledger[7]["value"] > 4000 == ledger[7]["bound"]
    assert manifest.counts["in"] == 10


def test_a_dump_that_breaks_off_gives_its_whole_pages_and_one_failed_row(tmp_path: Path) -> None:
    source = dump(tmp_path / "d.xml.bz2", page(1, "A", "x"), page(2, "B", "y"), page(3, "C", "z")[:-30], end="")
    manifest, documents, ledger = run(source, tmp_path)
    assert [d["text"] for d in documents] == ["A\n\nx", "B\n\ny"]
    assert [row["verdict"] for row in ledger] == ["kept", "kept", "failed"]
    assert ledger[2]["url"] == "https://fr.wikipedia.org/wiki/C"
    assert "breaks off" in ledger[2]["error"]
    assert manifest.counts["failed"] == 1


@pytest.mark.parametrize("place", [2, 100, 150_000, -100, -8])
def test_a_damaged_dump_of_one_stream_gives_the_pages_before_and_behind(tmp_path: Path, place: int) -> None:
    """Blocks of 100 kB, and pages of 13 kB; each page is fetched again by its address. place: of the damage."""
    words = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(10_000)]
    pages = [page(number, f"T{number}", " ".join(words[number * 200 : number * 200 + 200])) for number in range(50)]
    packed = bytearray(bz2.compress((HEAD + "".join(pages) + "</mediawiki>").encode(), 1))
    packed[place] ^= 8
    (tmp_path / "d.xml.bz2").write_bytes(packed)
    source = WikipediaSource(paths=(str(tmp_path / "d.xml.bz2"),))
    manifest, documents, ledger = run(source, tmp_path)
    kept = [json.loads(document["meta"])["page"] for document in documents]
    lost = sorted(set(range(50)) - set(kept))
    assert kept == sorted(set(kept))
    assert len(lost) < 10
    assert lost == list(range(lost[0], lost[-1] + 1)) if lost else place in (2, -8)
    assert manifest.counts["failed"] == bool(lost)
    assert all("bz2 stream at bytes" in row["error"] for row in ledger if row["verdict"] == "failed")
    for document, number in zip(documents, kept, strict=True):
        assert document["text"] == f"T{number}\n\n" + " ".join(words[number * 200 : number * 200 + 200])
        again = raw(document["address"], source).data.decode()
        assert again.strip() == pages[number].strip()


@pytest.mark.parametrize("cut", ["pages", "anywhere"])
def test_a_dump_of_many_streams_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str) -> None:
    """Streams that hold whole pages, as Wikipedia's do, or that end anywhere, as those of pbzip2."""
    words = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(2_000)]
    pages = [page(number, f"T{number}", " ".join(words[number * 5 : number * 5 + 5])) for number in range(400)]
    plain = (HEAD + "".join(pages) + "</mediawiki>").encode()
    if cut == "pages":
        streams = [HEAD, *("".join(pages[start : start + 9]) for start in range(0, 400, 9)), "</mediawiki>"]
        pieces = [stream.encode() for stream in streams]
    else:
        pieces = [plain[start : start + 3_001] for start in range(0, len(plain), 3_001)]
    path = tmp_path / "frwiki-20240101-pages-articles-multistream.xml.bz2"
    path.write_bytes(b"".join(map(bz2.compress, pieces)))
    (tmp_path / "frwiki-20240101-pages-articles-multistream-index.txt.bz2").write_bytes(bz2.compress(b"1:2:T"))
    source = WikipediaSource(paths=(str(tmp_path / "*.bz2"),))

    def read_all(store: str) -> tuple[list[Any], int]:
        engine = Inline(Store(tmp_path / store))
        manifests = engine.run(wikipedia.tasks("fr", source))
        assert sum(m.counts["failed"] for m in manifests) == 0
        return [row for m in manifests for row in rows(engine.store, m).to_pylist()], len(manifests)

    whole, count = read_all("store")
    assert (len(whole), count) == (400, 1)
    for part in (1_500, 10_000, 70_000):
        monkeypatch.setattr(wikipedia, "PART_BYTES", part)
        parts, count = read_all(f"store{part}")
        assert parts == whole
        assert count > 1


def test_a_dump_of_one_stream_is_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wikipedia, "PART_BYTES", 100)
    source = dump(tmp_path / "x.xml", *(page(number, f"T{number}", "text") for number in range(50)))
    assert len(wikipedia.tasks("x", source)) == 1
    (tmp_path / "x.xml.bz2").write_bytes(bz2.compress((tmp_path / "x.xml").read_bytes()))
    assert len(wikipedia.tasks("x", WikipediaSource(paths=(str(tmp_path / "x.xml.bz2"),)))) == 1


def test_the_name_of_the_file_tells_the_wiki_where_the_dump_does_not(tmp_path: Path) -> None:
    for name, wiki, url in (
        ("zh_min_nanwiki-20240101-pages.xml.bz2", "zh_min_nanwiki", "https://zh-min-nan.wikipedia.org/wiki/A_b"),
        ("dewiktionary-latest.xml.bz2", "dewiktionary", "https://de.wiktionary.org/wiki/A_b"),
        ("dump.xml.bz2", None, None),
    ):
        source = dump(tmp_path / name, page(1, "A b", "x"), head="<mediawiki>")
        _, (document,), _ = run(source, tmp_path)
        assert document["url"] == url
        assert json.loads(document["meta"]).get("wiki") == wiki


def test_settings_change_documents_and_shards(tmp_path: Path) -> None:
    source = dump(tmp_path / "d.xml.bz2", page(1, "Game/1", "x"), page(2, "Game/2", "y"))
    other = source.model_copy(update={"group": r"^(\w+)/", "license": None})
    assert wikipedia.tasks("w", source)[0].fingerprint != wikipedia.tasks("w", other)[0].fingerprint
    _, documents, _ = run(other, tmp_path)
    assert {d["group"] for d in documents} == {"Game"}
    assert {d["license"] for d in documents} == {None}


def test_the_dumps_of_five_wikis_are_accounted_for(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    source = WikipediaSource(
        paths=tuple(str(shared_data(f"wiki/{d}")) for d in ("gensim", "truncated", "wikiextractor"))
    )
    tasks = wikipedia.tasks("wiki", source)
    with LocalEngine(Store(tmp_path / "two"), workers=2) as engine:
        manifests = engine.run(tasks)
    few = [index for index, task in enumerate(tasks) if task.bytes < 1 << 20]
    with LocalEngine(Store(tmp_path / "one"), workers=1) as alone:
        for index, again in zip(few, alone.run([tasks[index] for index in few]), strict=True):
            for file in ("documents", "ledger"):
                assert again.files[file].hash == manifests[index].files[file].hash

    total = sum((Counter(m.counts["rules"]) for m in manifests), Counter[str]())
    assert sum(m.counts["in"] for m in manifests) == 994 + 3  # pages, and places where a dump breaks off
    assert sum(m.counts["failed"] for m in manifests) == 3
    assert sum(m.counts["kept"] for m in manifests) == 801
    assert total == {
        "wikipedia.namespace": 45,
        "wikipedia.redirect": 130,
        "wikipedia.disambiguation": 17,
        "wikipedia.no_text": 1,
    }

    dirty = paragraphs = 0
    for manifest in manifests:
        for row in rows(engine.store, manifest).to_pylist():
            assert row["url"].startswith("https://")
            assert row["published"].year >= 2010
            title, _, text = row["text"].partition("\n\n")
            assert title == json.loads(row["meta"])["title"]
            for line in text.split("\n"):
                # Formulas and code may hold braces of their own.
                if line and "$" not in line and not line.startswith((" ", "\t")):
                    paragraphs += 1
                    dirty += bool(
                        re.search(r"\{\{|\}\}|\[\[|\]\]|\|\}|'''|</?(?:ref|br|div|span|table|small)\b|style=", line)
                    )
    assert paragraphs > 80_000
    assert dirty / paragraphs < 0.0001


@pytest.mark.parametrize(
    "word", ["Algeria is the tenth-largest country", "$F = \\frac{MS_\\text{Treatments}}", "- Owen K. Garriott"]
)
def test_what_a_reader_looks_for_is_there(shared_data: Callable[[str], Path], tmp_path: Path, word: str) -> None:
    name = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
    source = WikipediaSource(paths=(str(shared_data(f"wiki/gensim/{name}")),))
    _, documents, _ = run(source, tmp_path)
    assert sum(word in d["text"] for d in documents) == 1

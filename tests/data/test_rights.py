"""Opt-outs from mining and licences: what pages declare, what the stage filter does about it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from firn.core.hashing import fingerprint
from firn.core.stage import Input, Task, execute
from firn.core.store import Store
from firn.data import filter as filtering
from firn.data import measure, read
from firn.data.extract import ExtractSettings
from firn.data.rights import header_opt_outs, spdx
from firn.data.rules import RulesSettings
from firn.data.sources import FilesSource, WarcSource

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline, row, shard
from shards import read as table
from warcs import http, members, page, record

Rows = list[dict[str, Any]]


def declaring(*elements: str) -> bytes:
    return page("Text.").replace(b"<title>", "".join(elements).encode() + b"<title>")


#: Header lines and elements of the head of a page, and what it is told to declare.
PAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...], list[str] | None]] = {
    "silent": ((), (), None),
    "tdm": (("TDM-Reservation: 1",), (), ["http:tdm-reservation"]),
    "tdm allowed": (("tdm-reservation: 0",), ('<meta name="tdm-reservation" content="0">',), None),
    "robots": (("X-Robots-Tag: noindex, NoAI",), (), ["http:x-robots-tag"]),
    "one robot": (("X-Robots-Tag: all", "X-Robots-Tag: somebot: noai"), (), ["http:x-robots-tag"]),
    "pictures": (("X-Robots-Tag: noimageai",), ('<meta name="robots" content="noindex,noimageai">',), None),
    "meta tdm": ((), ('<meta name="tdm-reservation" content="1">',), ["html:tdm-reservation"]),
    "meta robots": ((), ('<meta content="nofollow, noai" name="ROBOTS">',), ["html:robots"]),
    "second meta": (
        (),
        ('<meta name="robots" content="index">', '<meta name="robots" content="noai">'),
        ["html:robots"],
    ),
    "told twice": (
        ("tdm-reservation: 1",),
        ('<meta name="robots" content="noai">', '<meta name="tdm-reservation" content="1">'),
        ["http:tdm-reservation", "html:robots", "html:tdm-reservation"],
    ),
}


def crawled(folder: Path) -> tuple[Store, Any]:
    """A shard of PAGES, and of a plain text that opts out."""
    html = "text/html; charset=utf-8"
    records = [
        record(name.replace(" ", "-"), http(declaring(*head), "200 OK", html, *lines))
        for name, (lines, head, _) in PAGES.items()
    ]
    records.append(record("plain", http(b"Plain text.", "200 OK", "text/plain", "tdm-reservation: 1")))
    (folder / "raw.warc.gz").write_bytes(members(*records))
    engine = Inline(Store(folder / "store"))
    source = WarcSource(paths=(str(folder / "raw.warc.gz"),))
    (manifest,) = engine.run(read.tasks("web", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    return engine.store, manifest


def filtered(store: Store, documents: Any, rules: RulesSettings) -> tuple[dict[str, Any], Rows, Rows]:
    """Counts, ledger and documents of the filter."""
    given = Input(documents, ("documents",))
    signals = Input(execute(Task(measure.STAGE, rules.measure, (given,), "test"), store), ("signals",))
    manifest = execute(Task(filtering.STAGE, rules.filter, (given, signals), "test"), store)
    return manifest.counts, table(store, manifest, "ledger").to_pylist(), table(store, manifest).to_pylist()


def test_opt_outs_of_headers_and_html_are_kept_and_obeyed_where_asked(tmp_path: Path) -> None:
    store, shard = crawled(tmp_path)
    metas = [json.loads(document["meta"]) for document in table(store, shard).to_pylist()]
    expected = [*(said for _, _, said in PAGES.values()), ["http:tdm-reservation"]]
    assert [meta.get("opt_out") for meta in metas] == expected
    assert "opt_out" not in metas[0]

    counts, ledger, documents = filtered(store, shard, RulesSettings(opt_out="remove"))
    assert [entry["rule"] for entry in ledger] == ["rights.opt_out" if said else None for said in expected]
    assert [entry["error"] for entry in ledger] == [said and f"it opts out by {', '.join(said)}" for said in expected]
    assert [d["id"] for d in documents] == [e["id"] for e in ledger if e["verdict"] == "kept"]
    assert counts["in"] == len(expected) == counts["kept"] + counts["removed"]
    assert counts["rules"] == {"rights.opt_out": sum(said is not None for said in expected)}

    counts, _, _ = filtered(store, shard, RulesSettings())
    assert counts["kept"] == len(expected), "unless a recipe asks, everything stays"


def test_an_html_file_opts_out_as_a_crawled_page_does(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(declaring('<meta name="tdm-reservation" content="1">'))
    engine = Inline(Store(tmp_path / "store"))
    source = FilesSource(paths=(str(tmp_path / "*.html"),))
    (manifest,) = engine.run(read.tasks("mine", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    (document,) = table(engine.store, manifest).to_pylist()
    assert json.loads(document["meta"])["opt_out"] == ["html:tdm-reservation"]


NESTED = "MIT AND (MIT OR GPL-2.0-only)"
BY, BY_SA = "https://creativecommons.org/licenses/by/4.0/", "https://creativecommons.org/licenses/by-sa/3.0/"


@pytest.mark.parametrize(
    ("licenses", "stay"),
    [
        ({"allow": ["cc-by-4.0", "MIT"], "unknown": "remove"}, {BY, "MIT", "MIT OR GPL-2.0-only", NESTED}),
        ({"allow": ["CC-BY-*"], "unknown": "keep"}, {BY, BY_SA, None}),
        (
            {"deny": ["GPL-*", "CC-BY-SA-*"], "unknown": "keep"},
            {BY, "MIT", "MIT OR GPL-2.0-only", NESTED, "custom", None},
        ),
        ({"deny": ["*"], "unknown": "keep"}, {None}),
    ],
)
def test_licences_that_stay(tmp_path: Path, licenses: dict[str, Any], stay: set[str | None]) -> None:
    with_exception = "GPL-2.0-only WITH Classpath-exception-2.0"
    both, neither = "MIT AND GPL-2.0-only", "MIT AND (GPL-3.0-only OR GPL-2.0-only)"
    under = [BY, BY_SA, "MIT", "MIT OR GPL-2.0-only", both, NESTED, neither, with_exception, "custom", None]
    store = Store(tmp_path)
    rows = [row(str(number), f"Text {number}.", license=license) for number, license in enumerate(under)]
    counts, ledger, documents = filtered(store, shard(store, rows), RulesSettings(licenses=licenses))
    assert {document["license"] for document in documents} == stay
    rules = [None if each in stay else "rights.license" if each else "rights.no_license" for each in under]
    assert [entry["rule"] for entry in ledger] == rules
    words = [f"its licence is {each}" if each and each not in stay else None for each in under]
    assert [entry["error"] for entry in ledger] == words
    assert counts["in"] == len(under) == counts["kept"] + counts["removed"]


def test_a_document_that_breaks_other_rules_too_goes_by_rights_and_the_ledger_has_all(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = [row("one", "Too short.", language="en", language_score=0.9, meta='{"opt_out": ["http:tdm-reservation"]}')]
    documents = shard(store, rows)
    _, (plain,), _ = filtered(store, documents, RulesSettings(preset="fineweb"))
    _, (asked,), _ = filtered(store, documents, RulesSettings(preset="fineweb", opt_out="remove"))
    assert (plain["rule"], asked["rule"]) == ("gopher.min_words", "rights.opt_out")
    assert asked["rules"] == plain["rules"] != 0
    assert (asked["value"], asked["bound"]) == (None, None)


def test_what_rights_ask_measures_nothing_again() -> None:
    plain, asked = RulesSettings(preset="fineweb"), RulesSettings(preset="fineweb", opt_out="remove")
    assert fingerprint(plain.measure) == fingerprint(asked.measure)
    assert fingerprint(plain.filter) != fingerprint(asked.filter)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"opt_out": "drop"}, "'keep' or 'remove'"),
        ({"optout": "remove"}, "optout"),
        ({"licenses": {"allow": ["MIT"]}}, "unknown"),
        ({"licenses": {"unknown": "keep"}}, "exactly one of allow and deny"),
        ({"licenses": {"allow": ["MIT"], "deny": ["GPL-*"], "unknown": "keep"}}, "exactly one of allow and deny"),
        ({"licenses": {"allow": [], "unknown": "keep"}}, "at least 1 item"),
        ({"licenses": {"allowed": ["MIT"], "unknown": "keep"}}, "allowed"),
    ],
)
def test_mistakes_in_a_recipe(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        RulesSettings(**settings)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (BY, "CC-BY-4.0"),
        ("http://creativecommons.org/licenses/by-nc-nd/2.5/de", "CC-BY-NC-ND-2.5"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("https://creativecommons.org/licenses/by", "CC-BY"),
        ("https://creativecommons.org/licenses/", "https://creativecommons.org/licenses/"),
        ("MIT", "MIT"),
    ],
)
def test_licences_by_address_have_the_names_of_spdx(address: str, name: str) -> None:
    assert spdx(address) == name


@given(st.dictionaries(st.sampled_from(["tdm-reservation", "x-robots-tag", "robots"]), st.text()))
def test_any_header_is_read(headers: dict[str, str]) -> None:
    for name in header_opt_outs(headers):
        value = headers[name.removeprefix("http:")].lower()
        assert ("1" if name == "http:tdm-reservation" else "noai") in value

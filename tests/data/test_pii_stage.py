"""The stage `pii`: what becomes of documents, what the ledger says, and that no value is written down."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from firn.core.store import Manifest, Store
from firn.data.pii import stage
from firn.data.pii.settings import KINDS, PiiSettings

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline, read, row, shard

TEXTS = {
    "mail": "Écrivez à jane@example.org ou john@example.org, 93.184.216.34.",
    "plain": "Nobody is named here.",
    "card": "4111 1111 1111 1111",
    "key": 'token = "a1b2c3d4e5f6"',
}


def clean(folder: Path, **settings: Any) -> tuple[Store, Manifest]:
    store = Store(folder)
    made = shard(store, [row(name, text) for name, text in TEXTS.items()])
    return store, Inline(store).run([stage.task(PiiSettings(**settings), made)])[0]


def test_placeholders_and_ledger(tmp_path: Path) -> None:
    store, manifest = clean(tmp_path)
    assert read(store, manifest)["text"].to_pylist() == [
        "Écrivez à [e-mail] ou [e-mail], [IP address].",
        "Nobody is named here.",
        "[card number]",
        'token = "[key]"',
    ]
    ledger = read(store, manifest, "ledger").to_pylist()
    assert [entry["verdict"] for entry in ledger] == ["changed", "kept", "changed", "changed"]
    assert [entry["rule"] for entry in ledger] == ["pii.email", None, "pii.card", "pii.key"]
    first = ledger[0]
    assert first["value"] == 3
    assert {kind for bit, kind in enumerate(KINDS) if first["rules"] >> bit & 1} == {"email", "ip"}
    data = TEXTS["mail"].encode()
    cut = [data[span["start"] : span["end"]] for span in first["spans"]]
    assert cut == [b"jane@example.org", b"john@example.org", b"93.184.216.34"]
    found = read(store, manifest, "found").to_pylist()
    assert [(entry["row"], entry["kind"]) for entry in found] == [
        (0, "email"), (0, "email"), (0, "ip"), (2, "card"), (3, "key"),
    ]  # fmt: skip
    assert [(e["start"], e["end"]) for e in found[:3]] == [(s["start"], s["end"]) for s in first["spans"]]
    assert manifest.notes == {"found": {"card": 1, "email": 2, "ip": 1, "key": 1}}
    assert manifest.counts["changes"] == {"pii.card": 1, "pii.email": 1, "pii.key": 1}
    assert manifest.counts["rules"] == {}


def test_values_are_written_nowhere(tmp_path: Path) -> None:
    store, manifest = clean(tmp_path)
    for entry in manifest.files.values():
        content = (tmp_path / entry.path).read_bytes()
        assert b"jane@" not in content
        assert b"4111" not in content
    for file in manifest.files:
        assert "jane@" not in str(read(store, manifest, file).to_pylist())


def test_kinds_may_be_removed_or_left(tmp_path: Path) -> None:
    store, manifest = clean(tmp_path, email="", ip=None, card=None, key="<KEY>")
    assert read(store, manifest)["text"].to_pylist() == [
        "Écrivez à  ou , 93.184.216.34.",
        "Nobody is named here.",
        "4111 1111 1111 1111",
        'token = "<KEY>"',
    ]


@pytest.mark.parametrize(("most", "stay"), [(2, 3), (3, 4)])
def test_documents_with_more_than_most_go(tmp_path: Path, most: int, stay: int) -> None:
    store, manifest = clean(tmp_path, most=most)
    assert read(store, manifest).num_rows == stay
    entry = read(store, manifest, "ledger").to_pylist()[0]
    assert (entry["verdict"], entry["rule"], entry["value"], entry["bound"]) == (
        ("removed", stage.MOST, 3, 2) if most == 2 else ("changed", "pii.email", 3, None)
    )


def test_a_second_pass_finds_nothing(tmp_path: Path) -> None:
    store, manifest = clean(tmp_path)
    again = Inline(store).run([stage.task(PiiSettings(), manifest)])[0]
    assert again.counts["kept"] == len(TEXTS)


def test_nothing_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path)
    manifest = Inline(store).run([stage.task(PiiSettings(), shard(store, []))])[0]
    assert manifest.counts["in"] == read(store, manifest).num_rows == read(store, manifest, "found").num_rows == 0

"""The bytes of a shard depend on its rows alone; identity is content."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firn.core import ledger as ledger_module
from firn.core import parquet
from firn.core.errors import FormatError
from firn.core.ledger import LEDGER, VERDICTS, LedgerWriter
from firn.core.parquet import from_rows
from firn.core.split import is_validation
from firn.core.store import Manifest, Store

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.large_string()), ("kind", pa.dictionary(pa.int32(), pa.string()))])
DESCRIPTION: dict[str, Any] = {
    "stage": "s",
    "version": 1,
    "label": "",
    "settings": None,
    "libraries": {},
    "inputs": [],
    "counts": {},
    "notes": {},
}


def write(store: Store, fingerprint: str, parts: list[pa.Table]) -> Manifest:
    with store.attempt("s", fingerprint) as attempt:
        writer = attempt.writer("rows", SCHEMA)
        for part in parts:
            writer.write(part)
        return attempt.commit(fingerprint=fingerprint, **DESCRIPTION)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.text(max_size=20), st.sampled_from("abc")), max_size=40),
    st.lists(st.integers(0, 40), max_size=5),
)
def test_bytes_do_not_depend_on_how_rows_are_handed_over(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, str]], cuts: list[int]
) -> None:
    table = from_rows([{"n": n, "text": t, "kind": k} for n, t, k in rows], SCHEMA)
    bounds = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    parts = [table.slice(a, b - a) for a, b in pairwise(bounds)]
    store = Store(tmp_path_factory.mktemp("store"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "ROW_GROUP_ROWS", 8)
        patch.setattr(parquet, "ROW_GROUP_BYTES", 60)
        whole, pieces = write(store, "a" * 32, [table]), write(store, "b" * 32, parts)
    assert whole.identity() == pieces.identity()
    assert pq.read_table(store.local(pieces, "rows")).to_pylist() == table.to_pylist()


def test_the_same_store_on_another_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    table = from_rows([{"n": 1, "text": "snow", "kind": "a"}], SCHEMA)
    local, remote = Store(tmp_path / "store"), Store("memory://bucket/store")
    made = write(remote, "c" * 32, [table])
    assert made.identity() == write(local, "c" * 32, [table]).identity()
    assert remote.lookup("s", "c" * 32) == made
    assert list(remote.manifests()) == [made]
    assert pq.read_table(remote.local(made, "rows")).to_pylist() == table.to_pylist()


def test_an_unknown_file_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = write(store, "d" * 32, [])
    with pytest.raises(FormatError, match="holds no file 'signals', only \\['rows'\\]"):
        store.local(made, "signals")


def test_a_ledger_too_long_to_be_held_is_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = []
    for chunks in (1, 64):
        monkeypatch.setattr(ledger_module, "_CHUNKS", chunks)
        with Store(tmp_path / str(chunks)).attempt("s", "0" * 32) as attempt:
            ledger = LedgerWriter(lambda attempt=attempt: attempt.writer("ledger", LEDGER))
            for number in range(10_000):
                if number % 3:
                    ledger.kept(number.to_bytes(16, "big"))
                else:
                    ledger.removed(number.to_bytes(16, "big"), f"rule.{number % 7}")
            ids = [id.as_py() for id in ledger.ids()]
            ledger.finish()
            attempt._open["ledger"][1].close()
            hashes.append(attempt._open["ledger"][0].hash)
        assert ids == [number.to_bytes(16, "big") for number in range(10_000)]
    assert hashes[0] == hashes[1]


def test_the_ledger_counts_by_verdict_and_rule() -> None:
    ledger = LedgerWriter()
    ledger.kept(b"a" * 16)
    ledger.changed(b"b" * 16, spans=[(3, 9)], rule="c4.policy", rules=0b10)
    ledger.split(b"c" * 16, 3, url="https://a.example")
    ledger.merged(b"d" * 16, b"a" * 16, "exact")
    ledger.removed(b"e" * 16, "gopher.words", value=3, bound=50, rules=0b101)
    ledger.failed(None, "cut off", address="a.warc#0")
    counts = ledger.counts()
    assert [counts[v] for v in VERDICTS] == [1] * 6
    assert (counts["in"], counts["out"]) == (6, 5)
    assert counts["rules"] == {"exact": 1, "gopher.words": 1}
    assert counts["changes"] == {"c4.policy": 1}
    table = ledger.table()
    assert table.schema.equals(LEDGER)
    assert table.column("verdict").to_pylist() == list(VERDICTS)
    assert table.column("spans").to_pylist()[1] == [{"start": 3, "end": 9}]


@given(st.text(), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_group_once_held_out_stays_held_out_as_the_share_grows(group: str, a: float, b: float) -> None:
    assert is_validation(group, min(a, b)) <= is_validation(group, max(a, b))


def test_the_share_of_groups_held_out_is_about_the_fraction() -> None:
    held = sum(is_validation(f"module{n}", 0.05) for n in range(20_000))
    # Binomial: mean 1000, standard deviation 31.
    assert abs(held - 1000) < 5 * 31

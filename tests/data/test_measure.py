"""The stage measure: rows aligned with documents, and the same whatever runs it."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from firn.core.engine import LocalEngine
from firn.core.stage import Input, Quiet, Task, execute
from firn.core.store import Manifest, Store
from firn.data import measure
from firn.data.measure import Edit, MeasureSettings, Point
from firn.data.rules import RulesSettings

sys.path.insert(0, str(Path(__file__).parent))
import plain_signals as plain
from shards import read, row, shard

FINEWEB = RulesSettings(preset="fineweb").measure
TEXTS = [
    "",
    "\n\n",
    "An ordinary text of a few words. It has two sentences.\n",
    "  One line [3] of words here  \nno\nturn javascript on here please",
    "Это обычный русский текст, в котором несколько предложений. Вот второе из них.",
    "这是一个普通的中文句子。这是另一个句子。",
    "ภาษาไทยเป็นภาษาที่ใช้ในประเทศไทย",
    "🙂 🙃 " * 50,
    "word " * 4_000,
    "x" * 50_000,
]


def task(manifest: Manifest, settings: MeasureSettings) -> Task:
    return Task(measure.STAGE, settings, (Input(manifest, ("documents",)),), "test")


def signals(store: Store, rows: list[dict[str, Any]], settings: MeasureSettings = FINEWEB) -> pa.Table:
    return read(store, execute(task(shard(store, rows), settings), store), "signals")


def test_every_column_is_what_the_steps_say(tmp_path: Path) -> None:
    table = signals(Store(tmp_path), [row(str(n), text) for n, text in enumerate(TEXTS)])
    assert table.num_rows == len(TEXTS)
    assert table.schema.remove_metadata() == measure.schema(FINEWEB).remove_metadata()
    for text, found in zip(TEXTS, table.to_pylist(), strict=True):
        assert found["error"] is None
        edited = found["edited"] if found["edited"] is not None else text
        before, after = plain.signals(text), plain.signals(edited)
        for name in FINEWEB.columns:
            point, signal = name.split("/")
            if point in ("extracted", "edited"):
                assert found[name] == pytest.approx((before if point == "extracted" else after)[signal], abs=1e-12)
        kept = bytearray(text.encode())
        for cut in reversed(found["cuts"] or []):
            del kept[cut["start"] : cut["end"]]
        assert kept.decode() == edited
        assert (found["cuts"] is None) == (found["edited"] is None)


def test_a_point_measures_the_text_of_its_place(tmp_path: Path) -> None:
    """C4 looks for brackets in lines without javascript, and for lorem ipsum in those with it."""
    found = signals(Store(tmp_path), [row("a", "javascript { lorem ipsum here\nsome { other line\nplain line here")])
    assert found["lines/characters.curly.count"].to_pylist() == [2]
    assert found["lines/phrases.lorem_ipsum.count"].to_pylist() == [1]
    assert found["prose/characters.curly.count"].to_pylist() == [1]
    assert found["edited"].to_pylist() == ["some { other line\nplain line here"]


def test_language(tmp_path: Path) -> None:
    rows = [row(str(n), text) for n, text in enumerate(TEXTS[2:7:2])]
    rows.append(row("known", TEXTS[2], language="de", language_score=0.5))
    found = signals(Store(tmp_path), rows)
    assert found["language"].to_pylist() == ["en", "ru", "th", "de"]
    assert found["language_score"].to_pylist()[3] == 0.5
    assert all(0 <= score <= 1.001 for score in found["language_score"].to_pylist())


def test_language_is_told_by_the_beginning_or_not_at_all(tmp_path: Path) -> None:
    store, text = Store(tmp_path), TEXTS[2] * 5 + TEXTS[4] * 50
    told = [
        signals(store, [row("a", text)], MeasureSettings(language_bytes=n)).to_pylist()[0] for n in (201, 100_000, 0)
    ]
    assert [t["language"] for t in told] == ["en", "ru", None]
    assert told[2]["language_score"] is None


def test_a_text_over_the_limit_fails_where_there_is_something_to_measure(tmp_path: Path) -> None:
    rows = [row("a", "short"), row("b", "long " * 100), row("c", "short too")]
    few = FINEWEB.model_copy(update={"text_bytes": 100})
    found = signals(Store(tmp_path), rows, few).to_pylist()
    assert [bool(f["error"]) for f in found] == [False, True, False]
    assert "500 bytes" in found[1]["error"]
    assert all(found[1][name] is None for name in (*FINEWEB.columns, "edited", "cuts", "language"))
    assert signals(Store(tmp_path), rows, MeasureSettings(text_bytes=100))["error"].null_count == 3


def test_no_documents(tmp_path: Path) -> None:
    assert signals(Store(tmp_path), []).num_rows == 0


def test_a_quarantined_document_has_a_row(tmp_path: Path) -> None:
    class Watch(Quiet):
        quarantined: Mapping[int, str] = {1: "hangs"}

        def enter(self, row: int) -> None:
            assert row != 1

    store = Store(tmp_path)
    manifest = execute(task(shard(store, [row(n, f"text {n}") for n in "abc"]), FINEWEB), store, Watch())
    errors = read(store, manifest, "signals")["error"].to_pylist()
    assert [error is None for error in errors] == [True, False, True]


def test_one_worker_two_workers_and_any_cut_into_batches(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    with gzip.open(shared_data("text/c4/c4_sample.jsonl.gz"), "rt") as stream:
        rows = [row(str(n), json.loads(line)["text"]) for n, line in zip(range(300), stream, strict=False)]
    outcomes = []
    for workers in (1, 2):
        store = Store(tmp_path / str(workers))
        with LocalEngine(store, workers) as engine:
            manifests = engine.run([task(shard(store, rows[at : at + 100]), FINEWEB) for at in (0, 100, 200)])
        outcomes.append([(m.fingerprint, m.identity()) for m in manifests])
        together = pa.concat_tables([read(store, m, "signals") for m in manifests])
    assert outcomes[0] == outcomes[1]
    whole = signals(Store(tmp_path / "whole"), rows)
    assert whole.to_pylist() == together.to_pylist()


def test_settings_survive_json_and_name_what_matters() -> None:
    assert MeasureSettings.model_validate_json(FINEWEB.model_dump_json()) == FINEWEB
    steps = (Point(point="a", families=("words",)), Edit(edit="strip_text", rule="e"))
    assert MeasureSettings(steps=steps).steps == steps
    assert np.unique(FINEWEB.columns).size == len(FINEWEB.columns)

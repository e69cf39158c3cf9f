"""Evaluation items are found where they were planted, and what only cites them stays."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firn.core.engine import LocalEngine
from firn.core.errors import InputError
from firn.core.inputs import External
from firn.core.store import Manifest, Store
from firn.data.decontaminate import DecontaminateSettings, EvaluationSet, decontaminate, index_task, report

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline, read, row, shard

FAMOUS = (
    "Four score and seven years ago our fathers brought forth on this continent, a new nation, "
    "conceived in Liberty, and dedicated to the proposition that all men are created equal."
)


def prose(seed: int, words: int) -> str:
    rng = random.Random(seed)
    return " ".join("".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(words))


ITEMS = [
    {"id": "long", "question": prose(1, 60), "choices": ["yes", "no"], "answer": "yes"},
    {"id": "sentence", "question": prose(2, 20), "choices": [prose(3, 9), "4"], "answer": "4"},
    {"id": "short", "question": prose(4, 9), "choices": ["one", "two"], "answer": "two"},
    {"id": "joined", "question": prose(5, 4), "choices": [prose(6, 3), prose(7, 3)], "answer": "A"},
    {"id": "speech", "question": f"Of which of these was this said, and in what year? {FAMOUS} {prose(8, 40)}"},
    {"id": "too short", "question": "Why?", "answer": "Because."},
]


def settings(folder: Path, items: Any = ITEMS, **more: Any) -> DecontaminateSettings:
    path = folder / "items.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return DecontaminateSettings(sets={"quiz": EvaluationSet(paths=(str(path),))}, **more)


def clean(store: Store, rows: list[dict[str, Any]], chosen: DecontaminateSettings) -> tuple[Manifest, list[Any]]:
    manifest = decontaminate(Inline(store), [shard(store, rows)], chosen)[0]  # type: ignore[arg-type]
    return manifest, read(store, manifest, "ledger").to_pylist()


def planted(item: dict[str, Any]) -> str:
    """The item in a document, in other letters, punctuation and lines than it has."""
    parts = [item["question"].upper().replace(" ", ",\n", 3), *(f"{choice}!" for choice in item.get("choices", []))]
    return prose(99, 100) + "\n\n" + " ".join(parts) + "\n\n" + prose(98, 100)


def test_planted_items_are_found(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    rows = [row(item["id"], planted(item)) for item in ITEMS] + [row("clean", prose(97, 300))]
    manifest, ledger = clean(store, rows, settings(tmp_path, remove="documents"))
    assert [entry["verdict"] for entry in ledger] == ["removed"] * 5 + ["kept"] * 2
    assert {entry["rule"] for entry in ledger[:5]} == {"contaminated.quiz"}
    assert [(entry["value"], entry["bound"], entry["rules"]) for entry in ledger[:5]] == [(1.0, 0.7, 1)] * 5
    found = report(store, [manifest]).to_pylist()
    assert [(entry["label"], entry["line"]) for entry in found] == [(i["id"], n + 1) for n, i in enumerate(ITEMS[:5])]
    assert [entry["id"] for entry in found] == [r["id"] for r in rows[:5]]
    assert all(entry["found"] == entry["grams"] for entry in found)
    assert manifest.notes == {"items": {"quiz": 5}, "sought": {"quiz": 5}, "too_short": {"quiz": 1}}


def test_what_lies_beside_items_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "quiz"
    folder.mkdir()
    settings(folder)
    for name in ("README.md", "LICENSE", "prompts.csv"):
        (folder / name).write_text("no item")
    task = index_task(DecontaminateSettings(sets={"quiz": EvaluationSet(paths=(str(folder),))}))
    assert [external.name for external in task.inputs if isinstance(external, External)] == ["items.jsonl"]
    (folder / "items.jsonl").unlink()
    with pytest.raises(InputError, match="holds no file of evaluation items for the set 'quiz'"):
        index_task(DecontaminateSettings(sets={"quiz": EvaluationSet(paths=(str(folder),))}))


def test_spans_are_cut_with_their_margins(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    text = "é" * 150 + " " + prose(99, 100) + " " + ITEMS[0]["question"] + " " + prose(98, 100)
    manifest, (entry,) = clean(store, [row("a", text)], settings(tmp_path, margin=100))
    data = text.encode()
    start = data.index(ITEMS[0]["question"].encode())
    end = start + len(ITEMS[0]["question"])
    assert (entry["verdict"], entry["spans"]) == ("changed", [{"start": start - 100, "end": end + 100}])
    left = read(store, manifest)["text"][0].as_py()
    assert left == data[: start - 100].decode().strip() + "\n\n" + data[end + 100 :].decode().strip()
    (found,) = report(store, [manifest]).to_pylist()
    assert (found["start"], found["end"]) == (start, end)


def test_what_would_be_left_in_shreds_goes(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    dump = "\n\n".join(f"{prose(100 + n, 60)} {item['question']}" for n, item in enumerate(ITEMS[:3]))
    rows = [row("only it", ITEMS[0]["question"]), row("dump", dump)]
    verdicts = [[e["verdict"] for e in clean(store, rows, settings(tmp_path, pieces=n, margin=50))[1]] for n in (2, 3)]
    assert verdicts == [["removed", "removed"], ["removed", "changed"]]


@pytest.mark.parametrize("remove", ["spans", "documents"])
def test_a_document_that_cites_a_famous_sentence_stays(tmp_path: Path, remove: str) -> None:
    store = Store(tmp_path / "store")
    rows = [row("cites", f"{prose(50, 80)} Lincoln said: {FAMOUS} {prose(51, 80)}"), row("only", FAMOUS)]
    question = {"question": f"Who said these words: {FAMOUS}", "choices": ["Lincoln", "Douglass"]}
    _, ledger = clean(store, rows, settings(tmp_path, [*ITEMS, question], remove=remove))
    assert [entry["verdict"] for entry in ledger] == ["kept", "kept"]
    _, (asked,) = clean(store, [row("asks", planted(question))], settings(tmp_path, [question], remove=remove))
    assert asked["verdict"] != "kept"


def test_a_saying_is_no_evidence_and_a_copied_test_stays_one(tmp_path: Path) -> None:
    items = [{"id": "saying", "question": FAMOUS}, {"id": "test", "question": prose(1, 60)}]
    for copies, verdict in ((10, "changed"), (11, "kept")):
        store = Store(tmp_path / str(copies))
        sayings = [row(f"saying {n}", f"{prose(n + 600, 90)} {FAMOUS} {prose(n + 700, 90)}") for n in range(copies)]
        tests = [row(f"test {n}", f"{prose(n + 800, 90)} {prose(1, 60)} {prose(n + 900, 90)}") for n in range(30)]
        _, ledger = clean(store, sayings + tests, settings(tmp_path, items))
        assert {entry["verdict"] for entry in ledger[:copies]} == {verdict}
        assert {entry["verdict"] for entry in ledger[copies:]} == {"changed"}


def test_the_formula_of_a_task_is_no_evidence(tmp_path: Path) -> None:
    formula = prose(60, 30)
    items = [{"question": f"{formula} {prose(200 + n, 5)}"} for n in range(8)]
    store = Store(tmp_path / "store")
    rows = [row("formula", f"{prose(70, 60)} {formula} {prose(71, 60)}"), row("whole", f"{items[0]['question']}")]
    _, ledger = clean(store, rows, settings(tmp_path, items, formula=7, remove="documents"))
    assert [entry["verdict"] for entry in ledger] == ["kept", "removed"]


def test_some_other_words_in_an_item_do_not_hide_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    words = prose(1, 60).split()
    words[5] = "changed"
    rows = [row("near", " ".join(words)), row("half", prose(99, 60) + " " + " ".join(words[25:]))]
    _, ledger = clean(store, rows, settings(tmp_path, remove="documents"))
    assert [entry["verdict"] for entry in ledger] == ["removed", "kept"]
    assert ledger[0]["value"] == pytest.approx(42 / 48)


def test_a_question_is_found_without_its_answer_and_a_long_answer_without_its_question(tmp_path: Path) -> None:
    item = {"question": prose(1, 25), "hint": prose(2, 37), "answer": prose(3, 80)}
    store = Store(tmp_path / "store")
    rows = [row(key, f"{prose(50, 40)} {text} {prose(51, 40)}") for key, text in item.items()]
    manifest, ledger = clean(store, [*rows, row("all", " ".join(item.values()))], settings(tmp_path, [item]))
    assert [entry["verdict"] for entry in ledger] == ["removed", "kept", "removed", "removed"]
    found = {entry["id"]: entry for entry in report(store, [manifest]).to_pylist()}
    assert len(found) == 3
    assert [found[r["id"]]["field"] for r in (rows[0], rows[2])] == [1, 2]


def test_numbers_tell_items_apart(tmp_path: Path) -> None:
    item = {"question": "Tom has 12 apples and buys 1,500 more at the market, how many does he have now?"}
    store = Store(tmp_path / "store")
    other = item["question"].replace("12", "13").replace("1,500", "900")
    same = item["question"].replace("1,500", "1500")
    _, ledger = clean(store, [row("a", other), row("b", same)], settings(tmp_path, [item], remove="documents"))
    assert [entry["verdict"] for entry in ledger] == ["kept", "removed"]


def test_scripts_without_spaces(tmp_path: Path) -> None:
    item = {"question": "請問下列哪一個選項最能說明全球暖化對於海洋生態系統所造成的長期影響？"}
    store = Store(tmp_path / "store")
    rows = [row("a", "今天的新聞。" * 50 + item["question"] + "明天再說。" * 50), row("b", "今天的新聞很多。" * 50)]
    _, ledger = clean(store, rows, settings(tmp_path, [item]))
    assert [entry["verdict"] for entry in ledger] == ["changed", "kept"]


def test_the_outcome_depends_on_the_set_of_documents_alone(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    rows = [row(f"{n}", planted(ITEMS[n % 6]) if n % 3 else prose(n, 50)) for n in range(30)]
    rows += [row(f"cites {n}", f"{prose(n + 300, 40)} {FAMOUS}") for n in range(12)]
    outcomes = []
    for size in (len(rows), 5, 11):
        store = Store(tmp_path / str(size))
        parts = [shard(store, rows[at : at + size]) for at in range(0, len(rows), size)]
        for order in itertools.islice(itertools.permutations(parts), 2):
            made = decontaminate(Inline(store), [*order, order[0]], chosen)  # type: ignore[arg-type]
            ledgers = pa.concat_tables([read(store, m, "ledger") for m in made[:-1]]).to_pylist()
            outcomes.append({e["id"]: (e["verdict"], str(e["spans"])) for e in ledgers})
            assert made[0] == made[-1]
        random.Random(1).shuffle(rows)
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_two_workers_give_the_shards_of_one(tmp_path: Path) -> None:
    chosen, outcomes = settings(tmp_path), []
    for workers in (1, 2):
        store = Store(tmp_path / str(workers))
        parts = [shard(store, [row(item["id"], planted(item))]) for item in ITEMS]
        with LocalEngine(store, workers) as engine:
            outcomes.append([(m.fingerprint, m.identity()) for m in decontaminate(engine, parts, chosen)])
    assert outcomes[0] == outcomes[1]


def test_what_runs_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    engine, parts = Inline(store), [shard(store, [row(item["id"], planted(item))]) for item in ITEMS[:3]]
    decontaminate(engine, parts, settings(tmp_path))  # type: ignore[arg-type]
    engine.made.clear()
    new = shard(store, [row("new", planted(ITEMS[3]))])
    decontaminate(engine, [new, *parts], settings(tmp_path))  # type: ignore[arg-type]
    assert sorted(engine.made) == ["decontaminate", "decontaminate-common", "decontaminate-match"]
    engine.made.clear()
    decontaminate(engine, parts, settings(tmp_path, margin=10))  # type: ignore[arg-type]
    assert engine.made == ["decontaminate"] * 3


def test_files_and_fields(tmp_path: Path) -> None:
    item = {"idx": 7, "query": prose(1, 20), "context": prose(2, 20), "choices": {"text": [prose(3, 20)]}}
    line = json.dumps(item).encode()
    (tmp_path / "a.jsonl").write_bytes(line + b"\n\n" + line)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(line))
    (tmp_path / "c.json").write_bytes(b"[\n" + line + b"]")
    pq.write_table(pa.Table.from_pylist([item]), tmp_path / "d.parquet")
    files = tuple(str(path) for path in sorted(tmp_path.glob("*.*")))
    whole, some = EvaluationSet(paths=files), EvaluationSet(paths=files, fields=("query", "choices.text"))
    store = Store(tmp_path / "store")
    index = Inline(store).run([index_task(DecontaminateSettings(sets={"whole": whole, "some": some}))])[0]
    rows = read(store, index, "items").to_pylist()
    assert [(r["set"], r["file"], r["line"], r["field"], r["words"], r["grams"], r["label"]) for r in rows] == [
        (name, file, line, *part, "7")
        for name, words, grams in (("some", 40, 16), ("whole", 60, 24))
        for file, line in (("a.jsonl", 1), ("a.jsonl", 3), ("b.jsonl.gz", 1), ("c.json", 1), ("d.parquet", 1))
        for part in ((0, words, grams), (1, 20, 8))
    ]


def test_what_is_not_checked_is_counted(tmp_path: Path) -> None:
    index = Inline(Store(tmp_path / "store")).run([index_task(settings(tmp_path))])[0]
    assert index.notes == {"items": {"quiz": 6}, "not_checked": {"quiz": 1}}


@pytest.mark.parametrize(
    ("content", "fields", "message"),
    [
        (b"{]", None, "no evaluation items that can be read"),
        (b"\x1f\x8bnothing", None, "no evaluation items that can be read"),
        (b"[" * 100_000, None, "no evaluation items that can be read"),
        (b'{"question": "a"}', ("questoin",), "no item has the field 'questoin'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, fields: Any, message: str) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    chosen = DecontaminateSettings(sets={"x": EvaluationSet(paths=(str(tmp_path / "x.jsonl"),), fields=fields)})
    with pytest.raises(InputError, match=message):
        Inline(Store(tmp_path / "store")).run([index_task(chosen)])


def test_hostile_documents(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    rows = [row("words", "an " * 300_000), row("items", (ITEMS[0]["question"] + " ") * 300), row("empty", "")]
    rows.append(row("no words", "-" * 100_000))
    _, ledger = clean(store, rows, settings(tmp_path, [{"question": "an " * 30}, *ITEMS]))
    assert [entry["verdict"] for entry in ledger] == ["removed", "removed", "kept", "kept"]


def test_real_sets_planted_in_web_pages(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    with gzip.open(shared_data("text/c4/c4_sample.jsonl.gz")) as lines:
        pages = [json.loads(line)["text"] for line in itertools.islice(lines, 300)]
    path = shared_data("eval/olmo-hf-jsonl") / "mmlu_validation.jsonl.gz"
    chosen = DecontaminateSettings(
        sets={"mmlu": EvaluationSet(paths=(str(path),), fields=("question", "choices"))}, remove="documents"
    )
    store = Store(tmp_path / "store")
    with gzip.open(path) as lines:
        items = [json.loads(line) for line in lines]
    index = read(store, Inline(store).run([index_task(chosen)])[0], "items")["grams"].to_pylist()
    picked = [n for n in range(0, len(items), 13) if index[n]]
    rows = [row(f"page {n}", page) for n, page in enumerate(pages)]
    for n in picked:
        letters = "".join(f"\n{letter}. {choice}" for letter, choice in zip("ABCD", items[n]["choices"], strict=True))
        rows.append(row(f"planted {n}", f"{pages[n % 300]}\n\nQ: {items[n]['question']}{letters}"))
    manifest, ledger = clean(store, rows, chosen)
    assert [entry["verdict"] for entry in ledger[:300]].count("kept") >= 299
    found = {entry["line"] - 1 for entry in report(store, [manifest]).to_pylist()}
    assert len(picked) > 80
    assert set(picked) <= found

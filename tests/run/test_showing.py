"""A document's life in one view, and the report of contamination."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firn.core.errors import InputError
from firn.run.cleaning import clean
from firn.run.contamination import contamination
from firn.run.looking import addresses, why
from firn.run.recipe import load
from firn.run.showing import raw_of, show
from firn.serve.redact import escaped
from tiny_recipe import copied, make, module, page


@pytest.fixture(scope="module")
def runs(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tiny.runs, tmp_path_factory.mktemp("showing"))


def test_from_the_raw_record_to_the_tokens(runs: Path) -> None:
    life = show("https://site0.example/page0", "tiny", runs, characters=3000)
    assert life.source == "web"
    assert life.raw is not None
    assert life.raw.startswith("WARC/1.0\nWARC-Type: response\n")
    assert "<h1>Page 0</h1>" in life.raw
    assert life.text is not None
    assert life.text.startswith("Page 0")
    assert life.about["url"] == "https://site0.example/page0"
    assert [chapter.stage for chapter in life.chapters] == ["read", "filter", "urls", "dedup", "tokens"]
    words = next(signal for signal in life.signals if signal.name == "extracted/words.count")
    assert words.value == len(life.text.split())
    assert {limit.rule: (limit.limit, limit.holds) for limit in words.limits}["gopher.min_words"] == (
        "at least 50",
        True,
    )
    assert life.tokens is not None
    assert life.tokens.bytes == life.about["bytes"]
    assert "".join(life.tokens.first).startswith("Page 0\n\n")
    json.dumps(life.to_json())


def test_by_url_id_and_address_it_is_the_same_document(runs: Path) -> None:
    by_url = show("https://site0.example/page0", "tiny", runs)
    for query in (by_url.about["id"], by_url.address):
        found = show(query, "tiny", runs)
        assert (found.about, found.raw, found.tokens) == (by_url.about, by_url.raw, by_url.tokens)
    code = show("library/module3.py", "tiny", runs, characters=5000)
    assert code.raw == module(3)
    for query in ("library/nothing.py", "/elsewhere/library/module3.py"):
        with pytest.raises(InputError, match="no ledger"):
            show(query, "tiny", runs)


def test_a_file_is_asked_for_by_its_path(tiny: Any, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = why("library/module3.py", "tiny", runs)
    assert [chapter.stage for chapter in by_name] == ["read", "filter", "dedup", "tokens"]
    path = tiny.folder / "raw" / "library" / "module3.py"
    assert why(str(path), "tiny", runs) == by_name
    monkeypatch.chdir(path.parent)
    assert why("module3.py", "tiny", runs) == by_name
    warc = tiny.folder / "raw" / "crawl-0.warc.gz"
    [page0] = [c for c in why("https://site0.example/page0", "tiny", runs) if c.stage == "read"]
    place = str(page0.address).partition("#")[2]
    assert why(f"{warc}#{place}", "tiny", runs)[0] == page0


@pytest.mark.parametrize(
    ("given", "path", "name"),
    [
        ("/data/mine", "/data/mine/a/b.html", "a/b.html"),
        ("/data/mine/", "/data/mine/x.jsonl#line=3", "x.jsonl#line=3"),
        ("/data/*/b/*.txt", "/data/a/b/c.txt", "a/b/c.txt"),
        ("/data/mine/a.txt", "/data/mine/a.txt", "a.txt"),
        ("/data/t.jsonl", "/data/t.jsonl#line=3", "t.jsonl#line=3"),
        ("s3://bucket/texts", "s3://bucket/texts/a.txt", "a.txt"),
        ("/data/mine", "/data/mine2/a.txt", None),
        ("/data/mine/a.txt", "/data/mine/a.txt.gz", None),
    ],
)
def test_names_of_paths(given: str, path: str, name: str | None) -> None:
    found = list(addresses(path, {"sources": {"other": {}, "mine": {"paths": [given]}}}))
    assert found[:1] == ([] if name is None else [name])


def test_what_was_removed_says_which_bounds_it_broke(runs: Path) -> None:
    life = show("https://fr.example/", "tiny", runs)
    broken = {limit.rule for signal in life.signals for limit in signal.limits if not limit.holds}
    assert "language.accepted" in broken
    assert broken == set(life.chapters[-1].broken)
    assert life.tokens is None
    assert life.left is None


def test_excerpts_hold_no_personal_data_and_the_raw_bytes_all(tiny: Any, runs: Path) -> None:
    life = show("https://hostile.example/", "tiny", runs, characters=5000)
    assert "jane.roe" not in json.dumps(life.to_json())
    assert life.raw is not None
    assert "[e-mail]" in life.raw
    assert life.text is not None
    assert "[e-mail]" in life.text
    raw = raw_of("https://hostile.example/", "tiny", runs)
    assert b"jane.roe@example.org" in raw
    assert raw.endswith(b"</body></html>\r\n\r\n")


def test_a_record_that_is_gone_is_said_to_be_and_the_rest_is_shown(tmp_path: Path) -> None:
    recipe = load(make(tmp_path))
    clean(recipe, tmp_path / "runs", mode="quiet", workers=1)
    (tmp_path / "raw" / "crawl-0.warc.gz").write_bytes(b"")
    life = show("https://site0.example/page0", "tiny", tmp_path / "runs")
    assert life.raw is None
    assert life.raw_error is not None
    assert life.text is not None
    (tmp_path / "raw" / "crawl-0.warc.gz").unlink()
    life = show("https://site0.example/page0", "tiny", tmp_path / "runs")
    assert "names no file of its source" in (life.raw_error or "")


def test_nothing_in_a_raw_record_drives_a_terminal() -> None:
    shown = escaped(b"a\x1b]0;title\x07\r\nb\x9b31m\xff\xe2\x80\xae\ttab " + "é\u2028".encode(), 200)
    assert shown == "a\\x1b]0;title\\x07\nb\\x9b31m\\xff\\u202e\ttab é\\u2028"
    assert not set(escaped(bytes(range(256)) * 10, 5000)) & set(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))


def test_contamination_names_items_and_the_documents_that_hold_them(tiny: Any, runs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no evaluation sets"):
        contamination("tiny", runs)
    recipe = make(tmp_path)
    item = page(5).split("<p>")[2].split("</p>")[0]
    (tmp_path / "quiz.jsonl").write_text(json.dumps({"id": "five", "question": item}) + "\n")
    (tmp_path / "other.jsonl").write_text(
        json.dumps({"question": "What is it that nobody here asks of anyone at all?"})
    )
    sets = {name: {"paths": [str(tmp_path / f"{name}.jsonl")]} for name in ("quiz", "other")}
    recipe.write_text(recipe.read_text() + f"decontaminate: {json.dumps({'sets': sets, 'margin': 0})}\n")
    clean(load(recipe), tmp_path / "runs", mode="quiet", workers=1)
    found = contamination("tiny", tmp_path / "runs")
    assert found.sets == {"other": 0, "quiz": 1}
    [only] = found.items
    assert (only.set, only.line, only.label) == ("quiz", 1, "five")
    assert [holder.url for holder in only.documents] == ["https://site5.example/page5"]
    assert found.cut["web"] + found.removed["web"] == 1
    assert found.looked["code"] == 16
    assert (found.sought, found.too_short) == ({"other": 1, "quiz": 1}, {})


def test_a_mistake_in_an_evaluation_set_is_told_before_anything_is_read(tmp_path: Path) -> None:
    recipe = make(tmp_path)
    (tmp_path / "quiz").mkdir()
    (tmp_path / "quiz" / "items.jsonl").write_text(json.dumps({"question": "What?"}) + "\n")
    (tmp_path / "quiz" / "README.md").write_text("no item")
    sets = {"quiz": {"paths": [str(tmp_path / "quiz")], "fields": ["answer"]}}
    recipe.write_text(recipe.read_text() + f"decontaminate: {json.dumps({'sets': sets})}\n")
    with pytest.raises(InputError, match="no item has the field 'answer'"):
        clean(load(recipe), tmp_path / "runs", mode="quiet", workers=1)
    assert not (tmp_path / "runs" / "store" / "read").exists()

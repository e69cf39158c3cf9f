"""Collecting and cleaning: the first stages alone, what they say, and that a run goes on from them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard
from rich.console import Console

from firn.core.errors import InputError, StoreError
from firn.core.progress import Making
from firn.core.store import Store
from firn.run.accounts import TOKENS_PER_WORD
from firn.run.cleaning import clean
from firn.run.collecting import Display, collect, dry_run
from firn.run.examples import _around
from firn.run.folder import RunFolder
from firn.run.recipe import load
from tiny_recipe import copied, make, module, pages


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw data and recipe, cleaned in `runs`."""
    folder = tmp_path_factory.mktemp("partway")
    make(folder)
    clean(load(folder / "tiny.yaml"), folder / "runs", mode="quiet")
    return folder


def test_collecting_counts_every_record_and_stops_there(raw: Path, tmp_path: Path) -> None:
    found = collect(load(raw / "tiny.yaml"), tmp_path, mode="quiet", workers=1)
    web, code = found.sources
    assert (web.source, web.records, web.documents, web.shards, web.made) == ("web", 28, 28, 2, 2)
    assert (code.source, code.documents) == ("code", 16)
    assert web.bytes == sum(file.stat().st_size for file in (raw / "raw").glob("crawl-*"))
    assert {manifest.stage for manifest in Store(tmp_path / "store").manifests()} == {"read"}
    folder = RunFolder.open("tiny", tmp_path)
    assert folder.status == "collected"
    assert list(folder.funnel()["web"]) == ["read"]
    again = collect(load(raw / "tiny.yaml"), tmp_path, mode="quiet")
    assert [tally.made for tally in again.sources] == [0, 0]


def test_errors_are_told_by_kind(raw: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.jsonl").write_text('{"text": "fine"}\n{"text": \n{"words": 3}\n{"words": 4}\n')
    recipe = tmp_path / "broken.yaml"
    recipe.write_text(f"sources: {{mine: {{kind: files, paths: ['{broken}']}}}}\n")
    [tally] = collect(load(recipe), tmp_path / "runs", mode="quiet", workers=1).sources
    assert (tally.records, tally.documents) == (4, 1)
    assert sorted(tally.errors.values()) == [1, 2]
    assert any("no text under the key" in kind for kind in tally.errors)


def test_what_was_read_is_told_as_json(tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "a.jsonl").write_text('{"text": "fine", "when": "soon"}\n{"words": 3}\n{"text": " "}\n')
    (mixed / "b.pdf").write_bytes(b"%PDF")
    recipe = tmp_path / "mixed.yaml"
    source = f"{{kind: files, paths: ['{mixed}'], fields: {{published: when}}}}"
    recipe.write_text(f"sources: {{mine: {source}}}\n")
    found = collect(load(recipe), tmp_path / "runs", mode="quiet", workers=1)
    told = json.loads(json.dumps(found.to_json()))["sources"][0]
    assert told["gone"] == {"files.no_text": 1, "files.unknown": 1}
    assert told["errors"] == {"line N: no text under the key 'text'": 1}
    assert told["unread"] == {"published": 1}
    assert (told["records"], told["documents"], told["made"]) == (4, 1, 1)


def test_a_dry_run_says_what_would_be_read_and_reads_nothing(raw: Path, tmp_path: Path) -> None:
    recipe = load(raw / "tiny.yaml")
    web, code = dry_run(recipe, tmp_path)
    files = list((raw / "raw").glob("crawl-*"))
    assert (web.source, web.files, web.shards, web.cached) == ("web", len(files), 2, 0)
    assert web.bytes == sum(file.stat().st_size for file in files)
    assert not list(tmp_path.iterdir())
    collect(recipe, tmp_path, mode="quiet")
    again = dry_run(recipe, tmp_path)
    assert [(each.shards, each.cached) for each in again] == [(each.shards, each.shards) for each in (web, code)]


def test_the_table_counts_what_is_under_way_and_what_was_there(raw: Path, tmp_path: Path) -> None:
    recipe = load(raw / "tiny.yaml")
    collect(recipe, tmp_path, mode="quiet")
    manifests = [m for m in Store(tmp_path / "store").manifests() if m.label.startswith("web/")]
    first, second = manifests

    def cells(display: Display) -> list[str]:
        console = Console(width=200)
        with console.capture() as capture:
            console.print(display.table())
        return capture.get().split("\n")[1].split()

    display = Display(Store(tmp_path / "store"), "quiet")
    display.there([first])
    records = first.counts["in"]
    assert cells(display)[:5] == ["web", "1", "(1", "cached)", str(records)]
    display.making([Making("web/other", 7, 5, 1000, 2.0)])
    line = cells(display)
    assert line[:6] == ["web", "1", "(1", "cached)", str(records + 7), str(first.counts["out"] + 5)]
    # A worker's own seconds, whatever the clock says.
    assert f"{(records + 7) / (first.observed['seconds'] + 2):,.0f}" in line
    display.making([])
    display.shard(second)
    assert cells(display)[:4] == ["web", "2", "(1", "cached)"]
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": \n')
    (tmp_path / "broken.yaml").write_text(f"sources: {{web: {{kind: files, paths: ['{broken}']}}}}\n")
    collect(load(tmp_path / "broken.yaml"), tmp_path, mode="quiet", workers=1)
    [failed] = [m for m in Store(tmp_path / "store").manifests() if m.counts["failed"]]
    display.shard(failed)
    assert "no JSON" in " ".join(cells(display)), "kinds of errors are told while it reads"


def test_a_script_that_starts_workers_without_a_guard_is_told_so(raw: Path, tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "collecting.md").read_text()
    script = guide.partition("```python\n")[2].partition("```")[0]
    script = script.replace("recipes/quickstart.yaml", str(raw / "tiny.yaml"))
    guard = 'if __name__ == "__main__":'
    assert guard in script
    for name, text in (("good.py", script), ("bad.py", script.replace(guard, "if True:"))):
        own = tmp_path / name.partition(".")[0]
        own.mkdir()
        (own / name).write_text(text)
        done = subprocess.run([sys.executable, name], cwd=own, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (name == "good.py"), done.stderr
    assert 'put what calls firn below `if __name__ == "__main__":`' in done.stderr


def test_a_sample_is_seeded_spread_over_sources_and_shards_and_redacted(raw: Path) -> None:
    def sample(seed: int, most: int = 6) -> list[Any]:
        return collect(load(raw / "tiny.yaml"), raw / "runs", sample=most, seed=seed, mode="quiet").sample

    first = sample(0)
    assert first == sample(0)
    assert {document.id for document in first} != {document.id for document in sample(1)}
    assert Counter(document.source for document in first) == {"web": 3, "code": 3}
    assert len({document.address.partition("#")[0] for document in first if document.source == "web"}) == 2
    everything = sample(0, 1000)
    assert len({document.id for document in everything}) == 44
    [hostile] = [document for document in everything if document.url == "https://hostile.example/"]
    assert "jane.roe" not in hostile.text
    assert "[e-mail]" in hostile.text


def test_cleaning_accounts_for_every_document_and_byte(raw: Path) -> None:
    found = clean(load(raw / "tiny.yaml"), raw / "runs", mode="quiet")
    assert found.made == 0
    cleaning = found.cleaning
    assert cleaning is not None
    web = [passage for passage in cleaning.passages if passage.source == "web"]
    assert [passage.stage for passage in web] == ["filter", "urls", "dedup"]
    assert web[0].entered.documents == len(pages())
    assert all(before.left == after.entered for before, after in pairwise(web))
    for passage in web:
        gone = [loss.amount for loss in cleaning.losses if (loss.source, loss.stage) == ("web", passage.stage)]
        assert passage.entered.documents - sum(amount.documents for amount in gone) == passage.left.documents
        assert passage.entered.bytes - sum(amount.bytes for amount in gone) == passage.left.bytes
    texts = [t for file in found.documents["web"] for t in pq.read_table(file)["text"].to_pylist()]
    assert web[-1].left.documents == len(texts)
    assert web[-1].left.bytes == sum(len(text.encode()) for text in texts)
    code = cleaning.sources[1]
    words = sum(len(module(number).split()) for number in range(16))
    assert not cleaning.counted
    assert abs(code.read.tokens - words * TOKENS_PER_WORD) < 1
    french = next(part for part in cleaning.languages if part.name == "fr")
    assert (french.read.documents, french.stays.documents, french.reason) == (1, 0, "language.accepted")
    assert sum(part.read.documents for part in cleaning.domains) == len(pages())
    assert "What went, and why" in Path(found.report).read_text()


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_what_stays_is_exported_for_others(raw: Path, tmp_path: Path, kind: Any) -> None:
    found = clean(load(raw / "tiny.yaml"), raw / "runs", to=tmp_path / "out", kind=kind, mode="quiet")
    rows: list[dict[str, Any]] = []
    for file in sorted((tmp_path / "out" / "web").iterdir()):
        if kind == "parquet":
            rows += pq.read_table(file).to_pylist()
        else:
            with zstandard.open(io.BytesIO(file.read_bytes()), "rt", encoding="utf-8") as lines:
                rows += [json.loads(line) for line in lines]
    kept = [row for file in found.documents["web"] for row in pq.read_table(file).to_pylist()]
    assert [(row["id"], row["text"]) for row in rows] == [(row["id"].hex(), row["text"]) for row in kept]
    assert found.exported is not None
    assert found.exported.documents == 25 + 16
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "| web | warc, rules reference-docs | 25 |" in readme
    with pytest.raises(InputError, match="is not empty"):
        clean(load(raw / "tiny.yaml"), raw / "runs", to=tmp_path / "out", mode="quiet")


def test_a_finished_run_stays_finished_and_its_shards_stay_known(tiny: Any, tmp_path: Path) -> None:
    runs = copied(tiny.runs, tmp_path)
    before = RunFolder.open("tiny", runs).state
    recipe = load(tiny.folder / "tiny.yaml", ["train.steps=9"])
    assert clean(recipe, runs, mode="quiet").made == 0
    collect(recipe, runs, mode="quiet")
    after = RunFolder.open("tiny", runs).state
    assert after["status"] == "finished"
    assert after["recipe"] == before["recipe"]
    assert after["sources"] == before["sources"]
    assert {s: set(p) for s, p in before["shards"].items()}.items() <= {
        s: set(p) for s, p in after["shards"].items()
    }.items()


def test_what_is_cut_is_shown_between_its_neighbours_without_personal_data() -> None:
    text = b"A line of before.\nKept a@example.org here.\nCut b@example.org out.\nAnd c@example.org behind.\n"
    start, end = text.index(b"Cut"), text.index(b"And")
    before, cut, after = _around(text, start, end) or ("", "", "")
    assert before == "A line of before.\nKept [e-mail] here.\n"
    assert cut == "Cut [e-mail] out.\n"
    assert after == "And [e-mail] behind.\n"
    # A cut through an address shows neither half of it.
    assert _around(text, text.index(b"example.org out"), end) is None
    # What begins far away is not shown from its middle.
    far = b"x" * 1000 + b" 030 123456 cut"
    assert (_around(far, len(far) - 3, len(far)) or ("?", "", ""))[0] == ""


@pytest.mark.parametrize("verb", [collect, clean])
def test_what_does_not_fit_on_the_disk_is_refused_before_anything_is_read(
    tmp_path: Path, verb: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, runs = load(make(tmp_path)), tmp_path / "runs"
    with monkeypatch.context() as full:
        full.setattr("firn.core.disk.free_bytes", lambda store: 1000)
        with pytest.raises(StoreError, match=r"the disk has 1 kB left"):
            verb(recipe, runs, mode="quiet")
    assert RunFolder.open("tiny", runs).state["status"] == "failed"
    assert not list((runs / "store").rglob("*.parquet"))
    verb(recipe, runs, mode="quiet")
    # What is there already needs no room.
    monkeypatch.setattr("firn.core.disk.free_bytes", lambda store: 0)
    verb(recipe, runs, mode="quiet")


@pytest.mark.parametrize(
    "verb",
    [
        ["clean", "tiny.yaml", "--quiet"],
        ["collect", "tiny.yaml", "--sample", "1"],
        ["why", "https://site0.example/page0"],
        ["show", "https://site0.example/page0"],
    ],
    ids=lambda verb: verb[0],
)
def test_torch_is_not_needed(raw: Path, verb: list[str]) -> None:
    program = (
        "import sys; from firn.cli.main import execute;"
        f"code = execute([*{verb!r}, '--runs', 'runs']); sys.exit(code or 'torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], cwd=raw, check=False, stdout=subprocess.DEVNULL).returncode == 0
    )

"""What a run lets go when it is finished, and what it makes again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import tiny_recipe
from firn.core.errors import StoreError
from firn.core.store import Store
from firn.run import looking, pages
from firn.run.folder import RunFolder
from firn.run.gc import collect
from firn.run.planning import disk_needed, plan
from firn.run.recipe import load
from firn.run.retain import stays
from firn.run.rules_try import try_bounds
from firn.run.status import status
from firn.study.compare import compare
from tiny_recipe import copied, run_tiny, shards

# Some pages of the crawl fall to it, and some do not.
BOUND = "sources.web.rules.bounds={gopher.min_words: 172}"
FINAL = "retain=final"
BETWEEN = {"urls-map", "urls-reduce", "urls-verdicts", "cluster-map", "cluster-reduce", "cluster"}
GONE = BETWEEN | {"read", "measure", "filter", "urls", "dedup"}
PROGRAM = Path(tiny_recipe.__file__)


@pytest.fixture(scope="module")
def finished(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs where `tiny` is finished and has let go what `final` says; to be copied."""
    runs = copied(tiny.runs, tmp_path_factory.mktemp("final"))
    again = run_tiny(tiny.folder, runs, FINAL)
    assert again.made == 0
    return runs


@pytest.fixture
def final(finished: Path, tmp_path: Path) -> Path:
    return copied(finished, tmp_path)


def everything(runs: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (runs / "store").rglob("*")}


def whole(runs: Path) -> dict[str, list[bool]]:
    """Stage -> of each of its shards, whether all of its files are there."""
    store, found = Store(runs / "store"), dict[str, list[bool]]()
    for manifest in store.manifests():
        found.setdefault(manifest.stage, []).append(store.holds(manifest))
    return found


def size(runs: Path) -> int:
    return sum(path.stat().st_size for path in (runs / "store").rglob("*") if path.is_file())


def test_stages_that_stay() -> None:
    whole = {"read", "pydocs", "measure", "filter", "urls", "dedup", "decontaminate", "decontaminate-index", "pii"}
    between = {"cluster", "cluster-map", "cluster-merge", "cluster-reduce", "urls-map", "decontaminate-match"}
    last = {"tokenizer", "tokens", "why-map", "why-reduce"}
    left = {
        retain: {stage for stage in whole | between | last if stays(retain, stage)}
        for retain in ("all", "needed", "final")
    }
    assert left == {"all": whole | between | last, "needed": whole | last, "final": last}


def test_final_leaves_tokens_tokenizer_and_ledgers(tiny: Any, final: Path) -> None:
    held = whole(final)
    assert {stage for stage, shards in held.items() if not any(shards)} == GONE
    assert all(held["tokens"] + held["tokenizer"])
    store = Store(final / "store")
    for manifest in store.manifests():
        assert "ledger" not in manifest.files or store.holds(manifest, "ledger")
    # Every file that is left is a manifest, a marker, a ledger, what was cut, what ledgers add up to, or tokens.
    left = Counter(path.name.split("-")[0] for path in (final / "store").rglob("*") if path.is_file())
    assert set(left) <= {
        "accounts", "cuts", "ledger", "manifest.json", "released.json", "tokenizer", "train", "train_index",
        "validation", "validation_index",
    }  # fmt: skip
    assert shards(final) == shards(tiny.runs)
    assert size(final) < size(tiny.runs)


def test_a_second_run_does_nothing(tiny: Any, final: Path) -> None:
    before = everything(final)
    again = run_tiny(tiny.folder, final, FINAL)
    assert again.made == 0
    assert again.weights == tiny.outcome.weights
    assert everything(final) == before


def test_a_changed_bound_makes_again_what_it_needs_and_ends_with_the_bytes_of_a_fresh_run(
    tiny: Any, final: Path, tmp_path: Path
) -> None:
    fresh = run_tiny(tiny.folder, tmp_path / "fresh", BOUND)
    foretold = {stage.stage: stage for stage in plan(load(tiny.folder / "tiny.yaml", [BOUND, FINAL]), final).stages}
    changed = run_tiny(tiny.folder, final, BOUND, FINAL)
    assert changed.weights == fresh.weights
    expected, found = shards(tmp_path / "fresh"), shards(final)
    assert {name: found[name] for name in expected} == expected
    # The two shards of `web` need theirs, and a new tokenizer needs the documents of all.
    assert (foretold["read"].todo, foretold["measure"].todo, foretold["read"].there) == (3, 3, 0)
    assert not any(whole(final)["read"] + whole(final)["dedup"])
    again = run_tiny(tiny.folder, final, BOUND, FINAL)
    assert (again.made, again.weights) == (0, fresh.weights)
    # And back: nothing of it is lost.
    assert run_tiny(tiny.folder, final, FINAL).weights == tiny.outcome.weights


def test_a_bound_that_changes_no_decision_makes_again_what_the_filter_reads(tiny: Any, final: Path) -> None:
    changed = run_tiny(tiny.folder, final, "sources.web.rules.bounds={gopher.min_words: 49}", FINAL)
    # Two shards are read, measured and filtered; of one the ledger has another bound, and is added up.
    assert changed.made == 2 * 3 + 1
    assert changed.weights == tiny.outcome.weights


def test_all_makes_again_what_is_to_stay(tiny: Any, final: Path) -> None:
    with pytest.raises(StoreError, match="retain: all"):
        try_bounds(load(tiny.folder / "tiny.yaml"), ["gopher.min_words=30"], final)
    again = run_tiny(tiny.folder, final)
    assert again.weights == tiny.outcome.weights
    assert all(all(held) for held in whole(final).values())
    assert shards(final) == shards(tiny.runs)
    assert try_bounds(load(tiny.folder / "tiny.yaml"), ["gopher.min_words=30"], final).counts


def test_needed_lets_the_steps_of_deduplication_go(tiny: Any, tmp_path: Path) -> None:
    runs = copied(tiny.runs, tmp_path)
    assert run_tiny(tiny.folder, runs, "retain=needed").made == 0
    held = whole(runs)
    assert {stage for stage, shards in held.items() if not all(shards)} == BETWEEN


def killed(folder: Path, runs: Path, nth: int, counter: Path) -> int:
    """Status of a run that is killed before the n-th file is let go."""
    environment = {**os.environ, "FIRN_FAULT": f"remove:{nth}:kill", "FIRN_FAULT_COUNTER": str(counter)}
    command = [sys.executable, str(PROGRAM), str(folder), str(runs)]
    return subprocess.run(command, env=environment, capture_output=True, start_new_session=True, check=False).returncode


@pytest.mark.parametrize("nth", [1, 9])
def test_killed_while_it_lets_go_the_next_run_ends_it(tiny: Any, finished: Path, tmp_path: Path, nth: int) -> None:
    runs = copied(tiny.runs, tmp_path)
    (tmp_path / "tiny.yaml").write_text((tiny.folder / "tiny.yaml").read_text() + "retain: final\n")
    assert killed(tmp_path, runs, nth, tmp_path / "counter") < 0
    assert status("tiny", runs).status == "interrupted"
    assert shards(runs) == shards(tiny.runs)
    assert any(any(held) for stage, held in whole(runs).items() if stage in GONE)
    again = run_tiny(tmp_path, runs)
    assert (again.made, again.weights) == (0, tiny.outcome.weights)
    assert whole(runs) == whole(finished)


def test_a_run_beside_it_keeps_what_it_needs(tiny: Any, tmp_path: Path) -> None:
    runs = copied(tiny.runs, tmp_path)
    # `tiny` keeps all; of `other` its own web shards go, those that both need stay.
    run_tiny(tiny.folder, runs, "name=other", BOUND, FINAL)
    before = shards(tiny.runs)
    store = Store(runs / "store")
    for manifest in store.manifests():
        mine = f"{manifest.stage}/{manifest.fingerprint}" not in before
        assert store.holds(manifest) == (not mine or stays("final", manifest.stage)), manifest.stage
    # One that is not finished needs all of its shards, whatever it will let go.
    folder = RunFolder.open("tiny", runs)
    folder.update(status="interrupted", recipe={**folder.state["recipe"], "retain": "final"})
    assert run_tiny(tiny.folder, runs, "name=other", BOUND, FINAL).made == 0
    assert all(store.holds(m) for m in store.manifests() if f"{m.stage}/{m.fingerprint}" in before)
    # Once it is, everything goes.
    assert run_tiny(tiny.folder, runs, FINAL).made == 0
    assert {stage for stage, held in whole(runs).items() if not any(held)} == GONE
    assert run_tiny(tiny.folder, runs, "name=other", BOUND, FINAL).made == 0


def test_garbage_is_what_it_was(tiny: Any, final: Path) -> None:
    [nothing] = collect(final, young=-1)
    assert nothing.files == 0
    run_tiny(tiny.folder, final, BOUND, FINAL)
    collect(final, young=-1)
    assert run_tiny(tiny.folder, final, BOUND, FINAL).made == 0
    kept = {f"{stage}/{print}" for stage, prints in state(final)["shards"].items() for print in prints}
    assert set(shards(final)) == kept


def state(runs: Path) -> Mapping[str, Any]:
    return RunFolder.open("tiny", runs).state


def test_the_page_and_what_looks_back_work_as_before(
    tiny: Any, final: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = copied(tiny.runs, tmp_path_factory.mktemp("before"))

    def shown(runs: Path) -> tuple[Any, ...]:
        page = pages.page(load(tiny.folder / "tiny.yaml"), RunFolder.open("tiny", runs))
        return page.kept, page.removed, page.flows, page.ladder, page.completions, page.notes

    assert shown(final) == shown(before)
    assert len(shown(final)[0]) == 6
    assert shown(final)[1]
    for url in ("https://fr.example/", "https://copy.example/"):
        assert looking.why(url, "tiny", final) == looking.why(url, "tiny", before)
    assert looking.batch("tiny", 2, final) == looking.batch("tiny", 2, before)
    assert status("tiny", final).flows == status("tiny", before).flows
    run_tiny(tiny.folder, final, "name=other", BOUND, FINAL)
    assert {row.source for row in compare("tiny", "other", final).funnel} == {"web", "code"}
    # Redrawn after the change, the page still has documents of both sources.
    page = pages.page(load(tiny.folder / "tiny.yaml", [BOUND, FINAL]), RunFolder.open("other", final))
    assert {sample.source for sample in page.kept} == {"web", "code"}


def test_kept_examples_hold_no_personal_data_and_missing_ones_are_said(tiny: Any, final: Path) -> None:
    file = final / "tiny" / "samples.json"
    assert "jane.roe" not in file.read_text()
    texts = [sample["text"] for chosen in json.loads(file.read_bytes()).values() for sample in chosen]
    assert texts
    assert max(map(len, texts)) < 1100
    file.unlink()
    page = pages.page(load(tiny.folder / "tiny.yaml"), RunFolder.open("tiny", final))
    assert (page.kept, page.removed) == ([], [])
    assert [note for note in page.notes if "No examples of web" in note]


def test_a_finished_run_that_let_go_needs_no_disk(tiny: Any, final: Path) -> None:
    recipe = load(tiny.folder / "tiny.yaml", [FINAL])
    found = plan(recipe, final)
    assert all(stage.todo == 0 and stage.there > 0 and stage.known for stage in found.stages)
    assert (found.disk, found.stays, found.seconds) == (0, 0, 0)
    store, folder = Store(final / "store"), RunFolder.open("tiny", final)
    assert disk_needed(recipe, store, folder) == 0
    # Whoever wants all of it back writes it again.
    wanted = plan(load(tiny.folder / "tiny.yaml"), final)
    assert {stage.stage for stage in wanted.stages if stage.todo} == {name.partition("-")[0] for name in GONE}
    assert wanted.stays == wanted.disk == disk_needed(load(tiny.folder / "tiny.yaml"), store, folder) > 0


def test_a_plan_counts_what_is_made_again(tiny: Any, final: Path) -> None:
    bound = "sources.web.rules.bounds={gopher.min_words: 49}"
    found = {stage.stage: stage for stage in plan(load(tiny.folder / "tiny.yaml", [bound, FINAL]), final).stages}
    assert [(found[name].todo, found[name].there) for name in ("read", "measure")] == [(3, 0), (3, 0)]
    read = [m for m in Store(final / "store").manifests() if m.stage == "read"]
    assert found["read"].bytes == sum(entry.bytes for m in read for entry in m.files.values())
    assert found["read"].stays == sum(m.files["ledger"].bytes for m in read)

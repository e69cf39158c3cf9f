"""What other limits would keep, told from stored signals: the same as the filter says once they hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import yaml

from firn.core.engine import LocalEngine
from firn.core.errors import InputError, RecipeError
from firn.core.store import Manifest, Store
from firn.run import graph
from firn.run.folder import RunFolder
from firn.run.recipe import Recipe, load
from firn.run.rules_try import try_bounds

SENTENCES = (
    "The river rises in the hills and runs for many miles to the sea, past towns that have stood for ages.\n"
    "Boats of every size have gone along with its water, and they carry what people need to this day.\n"
)
GERMAN = "Der Fluss entspringt in den Bergen und fließt viele Meilen bis zum Meer, und das seit langer Zeit.\n"


TEXTS = [SENTENCES * n + f"Page {n} has the address someone{n}@mail.example to write to." for n in range(1, 4)]
TEXTS += ["Too short.", GERMAN * 3, "{ " + SENTENCES]


def write(folder: Path, texts: Sequence[str] = TEXTS, about: Sequence[dict[str, str]] = (), **rules: Any) -> Recipe:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    rows = [{"text": text, "url": f"http://site.example/{n}"} for n, text in enumerate(texts)]
    rows = [{**row, **more} for row, more in zip_longest(rows, about, fillvalue={})]
    (data / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (data / "other.txt").write_text("Another source with a few words only.")
    tree = {
        "sources": {
            "pages": {
                "kind": "files",
                "paths": [str(data / "texts.jsonl")],
                "rules": {"preset": "fineweb", **rules},
                "fields": {"license": "license"},
            },
            "notes": {"kind": "files", "paths": [str(data / "other.txt")]},
        }
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(tree))
    return load(path)


def clean(recipe: Recipe, runs: Path) -> dict[str, list[Manifest]]:
    """The stages up to the filter, as a run makes and records them."""
    folder, store = RunFolder(runs / recipe.name), Store(runs / "store")
    folder.began(recipe.resolved(), store.root)
    filtered: dict[str, list[Manifest]] = {}
    shards: dict[str, dict[str, Sequence[Manifest]]] = {}
    with LocalEngine(store, 1) as engine:
        for name in recipe.sources:
            read = engine.run(graph.read.tasks(name, recipe.raw_source(name), recipe.extract, engine))
            signals = engine.run([graph.measured(recipe, name, shard) for shard in read])
            both = zip(read, signals, strict=True)
            filtered[name] = engine.run([graph.filtered(recipe, name, *pair) for pair in both])
            shards[name] = {"read": read, "measure": signals, "filter": filtered[name]}
    folder.took(shards, {})
    return filtered


def test_it_says_what_the_filter_would(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    now = clean(recipe, tmp_path / "runs")["pages"][0].counts
    trial = try_bounds(recipe, ["gopher.min_words=20", "gopher.dup_lines=off", "c4.min_sentences=1"], tmp_path / "runs")
    changed = write(
        tmp_path, bounds={"gopher.min_words": 20, "c4.min_sentences": 1}, off={"gopher.dup_lines": "a test"}
    )
    then = clean(changed, tmp_path / "runs")["pages"][0].counts
    pages = [count for count in trial.counts if count.source == "pages"]
    assert sum(count.documents for count in pages) == now["in"] == 6
    assert sum(count.kept_now for count in pages) == now["out"]
    assert sum(count.kept_then for count in pages) == then["out"] > now["out"]
    assert {rule: n for rule, (_, n) in trial.rules.items() if n} == then["rules"]
    assert {rule: n for rule, (n, _) in trial.rules.items() if n} == now["rules"]
    assert sum(c.returned - c.removed for c in pages) == then["out"] - now["out"] == len(trial.flips)
    json.dumps(trial.to_json())


def test_what_licences_remove_no_bound_brings_back(tmp_path: Path) -> None:
    recipe = write(tmp_path, licenses={"allow": ["MIT"], "unknown": "remove"})
    assert clean(recipe, tmp_path / "runs")["pages"][0].counts["out"] == 0
    trial = try_bounds(recipe, ["gopher.min_words=1", "c4.min_sentences=off"], tmp_path / "runs")
    pages = [count for count in trial.counts if count.source == "pages"]
    assert sum(count.documents for count in pages) == 6
    assert {(count.kept_now, count.kept_then) for count in pages} == {(0, 0)}
    assert trial.flips == ()
    assert trial.rules == {"rights.no_license": (6, 6)}


def test_opt_outs_and_licences_are_tried_off(tmp_path: Path) -> None:
    texts = [SENTENCES * 3 + f"This is the end of page {n}, and of what it has to say." for n in range(4)]
    rights = [{"license": "MIT"}, {"license": "GPL-3.0-only"}, {}, {"license": "MIT"}]
    recipe = write(
        tmp_path, texts, rights, preset="none", opt_out="remove", licenses={"allow": ["MIT"], "unknown": "remove"}
    )
    assert clean(recipe, tmp_path / "runs")["pages"][0].counts["rules"] == {
        "rights.license": 1, "rights.no_license": 1,
    }  # fmt: skip
    trial = try_bounds(recipe, ["rights.license=off"], tmp_path / "runs")
    assert trial.rules == {"rights.license": (1, 0), "rights.no_license": (1, 1)}
    [flip] = trial.flips
    assert (flip.kept_then, flip.rule, flip.value, flip.limit) == (True, "rights.license", None, None)
    assert flip.url == "http://site.example/1"
    both = try_bounds(recipe, ["rights.license=off", "pages:rights.no_license=off"], tmp_path / "runs")
    assert {flip.url for flip in both.flips} == {"http://site.example/1", "http://site.example/2"}
    assert try_bounds(recipe, ["rights.opt_out=off"], tmp_path / "runs").flips == ()


def test_samples_say_why_and_show_no_personal_data(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    clean(recipe, tmp_path / "runs")
    trial = try_bounds(recipe, ["pages:gopher.min_words=20", "c4.min_sentences=1"], tmp_path / "runs")
    flip = next(flip for flip in trial.flips if flip.url == "http://site.example/0")
    assert flip.kept_then
    assert (flip.rule, flip.limit) == ("c4.min_sentences", 5)
    assert flip.value is not None
    assert 1 <= flip.value < 5
    assert "mail.example" not in flip.excerpt
    assert flip.excerpt.startswith("The river")


def test_languages_and_the_other_direction(tmp_path: Path) -> None:
    recipe = write(tmp_path, bounds={"gopher.min_words": 1, "c4.min_sentences": 1, "gopher.stop_words": 0},
                   off={"gopher.dup_lines": "x", "gopher.dup_line_characters": "x", "gopher.dup_10_grams": "x",
                        **{f"gopher.dup_{n}_grams": "x" for n in range(5, 10)}, "fineweb.char_duplicates": "x",
                        **{f"gopher.top_{n}_gram": "x" for n in (2, 3, 4)}})  # fmt: skip
    clean(recipe, tmp_path / "runs")
    trial = try_bounds(recipe, ["language.accepted=[de]", "gopher.min_words={de: 40}"], tmp_path / "runs")
    found = {count.language: count for count in trial.counts if count.source == "pages"}
    assert (found["de"].kept_now, found["de"].kept_then) == (0, 1)
    assert found["en"].kept_then == 0
    assert found["en"].removed == found["en"].kept_now > 0
    flip = next(flip for flip in trial.flips if not flip.kept_then)
    assert (flip.rule, flip.value, flip.limit) == ("language.accepted", None, None)
    assert try_bounds(recipe, ["language.accepted=[de]"], tmp_path / "runs", samples=0).flips == ()
    lists = [
        try_bounds(recipe, [f"language.accepted={written}"], tmp_path / "runs") for written in ("[de, en]", "de,en")
    ]
    assert lists[0].counts == lists[1].counts
    [english] = [count for count in lists[0].counts if (count.source, count.language) == ("pages", "en")]
    assert english.kept_then == found["en"].kept_now


@pytest.mark.parametrize(
    ("text", "problem", "mend"),
    [
        ("gopher.min_word=3", "no source has a rule", "'gopher.min_words'"),
        ("notes:gopher.min_words=3", "no source has a rule", "there are none"),
        ("page:gopher.min_words=3", "no source 'page'", "'pages'"),
        ("gopher.min_words", "rule=limit", "gopher.min_words=30"),
        ("gopher.min_words=many", "the limit is 'many'", "a number"),
        ("gopher.min_words=[de]", "expected a number", "a number"),
        ("c4.javascript=0", "this is an edit", "run it"),
        ("language.accepted=30", "the limit is '30'", "en,fr or [en, fr]"),
        ("language.accepted={de: 20}", "expected a list of languages", "as [en, fr]"),
        ("rights.opt_out=off", "in force", "opt_out: remove"),
        ("rights.no_license=off", "in force", "`licenses`"),
        ("quality.score=0.5", "another stage", "`quality.at_least`"),
        ("pii.most=3", "another stage", "`pii`"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, problem: str, mend: str) -> None:
    recipe = write(tmp_path)
    RunFolder(tmp_path / "runs" / recipe.name).began(recipe.resolved(), str(tmp_path / "runs" / "store"))
    with pytest.raises(RecipeError) as caught:
        try_bounds(recipe, [text], tmp_path / "runs")
    assert problem in str(caught.value)
    assert mend in (caught.value.mend or "")


def test_what_was_not_measured_is_an_error(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    with pytest.raises(InputError, match="no run"):
        try_bounds(recipe, ["gopher.min_words=3"], tmp_path / "runs")
    clean(recipe, tmp_path / "runs")
    changed = write(tmp_path, off={"c4.javascript": "it changes what is measured"})
    with pytest.raises(InputError, match="not measured"):
        try_bounds(changed, ["gopher.min_words=3"], tmp_path / "runs")

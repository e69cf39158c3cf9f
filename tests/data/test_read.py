"""The stage read as a whole: same shards on any number of workers, and only what changed is read again."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from firn.core.engine import LocalEngine
from firn.core.errors import FirnError, InputError
from firn.core.stage import Task
from firn.core.store import Manifest, Store
from firn.data import read
from firn.data.extract import ExtractSettings
from firn.data.sources import CodeSource, FilesSource, Source, WarcSource
from firn.data.sources.listing import BUNDLE_BYTES, Found, bundles

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline
from warcs import http, members, page, record


def write(folder: Path) -> dict[str, Source]:
    """A source of each kind, with damage in it."""
    chance = random.Random(1)
    for name in ("warc", "code", "files"):
        (folder / name).mkdir(parents=True)
    for number in range(5):
        words = " ".join(chance.choice(["snow", "ice", "layer", "year"]) for _ in range(200))
        packed = members(*(record(f"{number}-{i}", http(page(f"{words} {i}"))) for i in range(5)))
        (folder / "warc" / f"{number}.warc.gz").write_bytes(packed[: -100 if number == 3 else None])
        (folder / "code" / f"m{number}.py").write_text(f"def f{number}():\n    return {number}\n")
        (folder / "files" / f"{number}.txt").write_text(words)
        (folder / "files" / f"{number}.html").write_bytes(page(words))
        (folder / "files" / f"{number}.jsonl").write_text(f'{{"text": "{words}"}}\nbroken\n')
    return {
        "warc": WarcSource(paths=(f"{folder}/warc/*.gz",)),
        "code": CodeSource(paths=(f"{folder}/code",)),
        "files": FilesSource(paths=(f"{folder}/files",)),
    }


def tasks(sources: dict[str, Source], engine: Any = None, extract: ExtractSettings | None = None) -> list[Task]:
    return [t for name, s in sources.items() for t in read.tasks(name, s, extract or ExtractSettings(), engine)]


def content(manifests: list[Manifest]) -> list[Any]:
    return [(m.label, m.fingerprint, {n: f.hash for n, f in m.files.items()}, m.counts, m.notes) for m in manifests]


def test_one_worker_and_two_make_the_same_shards_wherever_the_files_lie(tmp_path: Path) -> None:
    made = []
    for workers, place in ((1, "here"), (2, "some/where/else")):
        sources = write(tmp_path / place)
        with LocalEngine(Store(tmp_path / place / "store"), workers) as engine:
            made.append(content(engine.run(tasks(sources, engine))))
    assert made[0] == made[1]
    assert sum(counts["failed"] for *_, counts, _ in made[0]) == 1 + 5
    assert sum(counts["kept"] for *_, counts, _ in made[0]) == 24 + 5 + 15


def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    sources = write(tmp_path)
    before = {t.fingerprint for t in tasks(sources)}
    assert len(before) == 5 + 1 + 2
    shutil.copy(tmp_path / "warc" / "0.warc.gz", tmp_path / "warc" / "9.warc.gz")
    (tmp_path / "files" / "1.html").write_bytes(page("changed"))
    after = {t.fingerprint for t in tasks(sources)}
    assert len(after - before) == 2
    # How HTML is read changes what holds HTML; what a source is called changes what it is called.
    other = {t.fingerprint for t in tasks(sources, extract=ExtractSettings(max_depth=77))}
    assert len(other & after) == 1 + 1
    assert not after & {t.fingerprint for t in tasks({f"{name}2": s for name, s in sources.items()})}
    # The order of paths, and what is said twice, changes nothing.
    twice = WarcSource(paths=(f"{tmp_path}/warc/9*", f"{tmp_path}/warc", f"{tmp_path}/warc/*.gz"))
    assert [t.fingerprint for t in tasks({"warc": twice})] == [t.fingerprint for t in tasks({"warc": sources["warc"]})]


def test_one_more_file_changes_one_bundle() -> None:
    chance = random.Random(0)
    files = [Found(f"/x/{i}", "/x", f"{i}.py", chance.randint(0, BUNDLE_BYTES // 20)) for i in range(2000)]
    before = bundles(files)
    assert all(sum(f.bytes for f in found) <= BUNDLE_BYTES for _, found in before)
    assert sorted(f.name for _, found in before for f in found) == sorted(f.name for f in files)
    assert bundles(files[::-1]) == [(bits, found[::-1]) for bits, found in before]
    shards = {tuple(f.name for f in found) for _, found in before}
    for i in range(50):
        more = bundles([*files, Found("/x/n", "/x", f"new{i}.py", 1 << 20)])
        assert len({tuple(f.name for f in found) for _, found in more} - shards) <= 2
    one = Found("/x/big", "/x", "big.jsonl", 1 << 40)
    assert bundles([one]) == [("all", [one])]
    assert bundles([]) == []
    # What is not opened does not count, but that there are so many.
    pictures = [Found(f"/x/{i}", "/x", f"{i}.png", 1 << 40, rule=("not_source",)) for i in range(10_000)]
    assert {len(found) > 1000 for _, found in bundles(pictures)} == {True}


def test_a_group_must_be_a_regular_expression() -> None:
    for source in (WarcSource, CodeSource, FilesSource):
        with pytest.raises(ValidationError, match="not a regular expression"):
            source(paths=("x",), group="(")


@pytest.mark.parametrize("path", ["nowhere/*.warc.gz", "nowhere", "nosuch://bucket/x", "stdlib:"])
def test_a_path_that_holds_nothing_is_an_error(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FirnError) as error:
        tasks({"web": WarcSource(paths=(path,))}, Inline(Store(tmp_path)))
    assert isinstance(error.value, InputError)
    assert error.value.where == path
    assert error.value.mend

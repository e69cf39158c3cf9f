"""Every preset on a small crawl, verdict by verdict, so that a default that changed is seen in review.

python tests/data/test_golden_presets.py      # writes golden/verdicts.yaml anew
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from firn.core.stage import Input, Task, execute
from firn.core.store import Store
from firn.data import filter as filtering
from firn.data import measure
from firn.data.preset import names
from firn.data.rules import RulesSettings

sys.path.insert(0, str(Path(__file__).parent))
from shards import read, row, shard

GOLDEN = Path(__file__).parent / "golden"


def verdicts(preset: str, folder: Path) -> dict[str, str]:
    """Per page: the verdict, the bytes that were cut, or all rules that it breaks, the one that counts first."""
    pages = yaml.safe_load((GOLDEN / "pages.yaml").read_text(encoding="utf-8"))
    rules, store = RulesSettings(preset=preset), Store(folder)
    documents = shard(store, [row(name, page["text"].rstrip("\n"), url=page["url"]) for name, page in pages.items()])
    measured = execute(measure.task(rules.measure, documents, rules.files), store)
    inputs = (Input(documents, ("documents",)), Input(measured, ("signals",)))
    ledger = read(store, execute(Task(filtering.STAGE, rules.filter, inputs, preset), store), "ledger").to_pylist()
    found = {}
    for name, entry in zip(pages, ledger, strict=True):
        broken = [bound.rule for i, bound in enumerate(rules.filter.bounds) if entry["rules"] >> i & 1]
        cut = sum(span["end"] - span["start"] for span in entry["spans"] or ())
        about = f" {cut} bytes cut" if cut else f": {', '.join(broken)}" if broken else ""
        found[name] = entry["verdict"] + about
    return found


@pytest.mark.parametrize("preset", names())
def test_verdicts(preset: str, tmp_path: Path) -> None:
    golden = yaml.safe_load((GOLDEN / "verdicts.yaml").read_text(encoding="utf-8"))
    assert verdicts(preset, tmp_path) == golden[preset]


def test_every_preset_has_its_verdicts() -> None:
    assert list(yaml.safe_load((GOLDEN / "verdicts.yaml").read_text(encoding="utf-8"))) == names()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        table = {preset: verdicts(preset, Path(folder)) for preset in names()}
    (GOLDEN / "verdicts.yaml").write_text(yaml.safe_dump(table, sort_keys=False, width=1000), encoding="utf-8")

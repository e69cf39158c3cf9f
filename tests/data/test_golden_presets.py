"""Every preset on a small crawl, verdict by verdict, so that a default that changed is seen in review.

python tests/data/test_golden_presets.py      # writes golden/verdicts.yaml anew
"""

from __future__ import annotations

import sys
from collections import Counter
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
    """Per page: the verdict, all rules that it breaks, and the bytes that each edit cut, the largest first."""
    pages = yaml.safe_load((GOLDEN / "pages.yaml").read_text(encoding="utf-8"))
    rules, store = RulesSettings(preset=preset), Store(folder)
    documents = shard(store, [row(name, page["text"].rstrip("\n"), url=page["url"]) for name, page in pages.items()])
    measured = execute(measure.task(rules.measure, documents, rules.files), store)
    inputs = (Input(documents, ("documents",)), Input(measured, ("signals",)))
    filtered = execute(Task(filtering.STAGE, rules.filter, inputs, preset), store)
    ledger, cut = read(store, filtered, "ledger").to_pylist(), [Counter[str]() for _ in pages]
    for span in read(store, filtered, "cuts").to_pylist():
        cut[span["row"]][span["rule"]] += span["end"] - span["start"]
    found = {}
    for name, entry, edits in zip(pages, ledger, cut, strict=True):
        names = rules.filter.edits if entry["verdict"] == "changed" else rules.filter.bounds
        rules_ = [each.rule for i, each in enumerate(names) if entry["rules"] >> i & 1]
        if entry["verdict"] == "changed":
            assert (set(rules_), entry["rule"]) == (set(edits), edits.most_common(1)[0][0])
        bytes_ = ", ".join(f"{rule} {size}" for rule, size in edits.most_common())
        said = [", ".join(rules_)] if entry["verdict"] == "removed" else []
        found[name] = ": ".join([entry["verdict"], *said]) + (f"; bytes cut: {bytes_}" if edits else "")
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

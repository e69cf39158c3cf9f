"""Main text from HTML: word F1 by page type and pages per second of firn, trafilatura and resiliparse, side by side.

    python bench/extract.py FOLDER [--every N] [--in-sample]

FOLDER holds the development split of the Web Content eXtraction Benchmark (see `firn.data.extract.training`). Every
page goes through every extractor in turn, in one process on one core, so that what else the machine does slows all
alike; the rates are pages over the sum of each extractor's own processor time. The peers are measured where they are
installed: trafilatura 2, with its fast, precision and recall settings; resiliparse's main content. F1 is the mean over
pages of the F1 of the multisets of words.

firn's F1 is of cross-validated predictions: models trained on four fifths of the sites judge the pages of the others,
which needs lightgbm. With --in-sample the model of the package is measured instead, which has seen these pages. firn's
time is of `extract` whole: main text, title, author, date, canonical URL, language, licence; the peers' times are of
the text alone. What limits firn: the trees (a quarter), the metadata, which Python reads (a fifth), and the scan of the
bytes (a sixth).

Dates are measured against htmldate where that is installed: how many of the gold dates each finds, to the day.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path

from resiliparse.extract.html2text import extract_plain_text

from firn.data.extract import ExtractSettings, extract
from firn.data.extract.labels import word_f1
from firn.data.extract.training import PYDOC, Sample, by_kind, cross_validate, read_pydoc, read_samples

Extractor = Callable[[Sample], str]


def extractors() -> dict[str, Extractor]:
    settings = ExtractSettings()
    found: dict[str, Extractor] = {
        "firn": lambda sample: extract(sample.html, settings, sample.url).text,
        "resiliparse": lambda sample: extract_plain_text(sample.html, main_content=True),
        "resiliparse, no alt": lambda sample: extract_plain_text(sample.html, main_content=True, alt_texts=False),
    }
    if importlib.util.find_spec("trafilatura"):
        from trafilatura import extract as trafilatura

        found |= {
            "trafilatura": lambda sample: trafilatura(sample.html) or "",
            "trafilatura precision": lambda sample: trafilatura(sample.html, favor_precision=True) or "",
            "trafilatura recall": lambda sample: trafilatura(sample.html, favor_recall=True) or "",
            "trafilatura fast": lambda sample: trafilatura(sample.html, fast=True) or "",
        }
    return found


def dates(samples: list[Sample], folder: Path) -> None:
    if not importlib.util.find_spec("htmldate"):
        return
    from htmldate import find_date

    with gzip.open(folder / "html/dev-ground-truth.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    gold = {row["file_id"]: (row["ground_truth"].get("publish_date") or "")[:10] for row in rows}
    dated = [sample for sample in samples if gold[sample.name][:4].isdigit()]
    settings, ours, theirs = ExtractSettings(), 0, 0
    for sample in dated:
        found = extract(sample.html, settings, sample.url).published
        ours += found is not None and found.strftime("%Y-%m-%d") == gold[sample.name]
        theirs += find_date(sample.html, original_date=True, url=sample.url) == gold[sample.name]
    print(f"\ndates right to the day, of {len(dated)}: firn {ours}, htmldate {theirs}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th page")
    parser.add_argument("--in-sample", action="store_true", help="measure the package's own model")
    options = parser.parse_args()
    everything = list(read_samples(options.folder))
    samples = everything[:: options.every]
    tools = extractors()
    for tool in tools.values():
        tool(samples[0])
    spent = dict.fromkeys(tools, 0.0)
    scores: dict[str, dict[str, float]] = {name: {} for name in tools}
    for sample in samples:
        for name, tool in tools.items():
            started = time.process_time()
            text = tool(sample)
            spent[name] += time.process_time() - started
            scores[name][sample.name] = word_f1(text, sample.gold)
    if not options.in_sample:
        kept = cross_validate([*everything, *read_pydoc(PYDOC)])
        scores["firn"] = {sample.name: sample.f1(kept[sample.name]) for sample in samples}
    tables = {name: by_kind(samples, found) for name, found in scores.items()}
    print(f"{'':22}{'pages/s':>8} {'firn is':>9} " + " ".join(f"{kind[:8]:>8}" for kind in tables["firn"]))
    for name, table in tables.items():
        rate = len(samples) / spent[name]
        ratio = f"{spent[name] / spent['firn']:7.1f} x"
        print(f"{name:22}{rate:8.0f} {ratio:>9} " + " ".join(f"{score:8.4f}" for score in table.values()))
    best = {kind: max(table[kind] for name, table in tables.items() if name != "firn") for kind in tables["firn"]}
    print(f"{'firn less the best':41}" + " ".join(f"{tables['firn'][kind] - best[kind]:+8.4f}" for kind in best))
    dates(samples, options.folder)


if __name__ == "__main__":
    main()

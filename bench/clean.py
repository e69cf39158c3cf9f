"""Cleaning: firn beside datatrove, from WARC to kept text by FineWeb's rules, pages per second of one core.

    python bench/clean.py [FOLDER] [--repeat 2] [--cross-validate]

FOLDER holds `warc/wcxb-dev` and `html/dev-ground-truth.jsonl.gz` of the Web Content eXtraction Benchmark's development
split (default: FIRN_TEST_DATA). Needs datatrove, in an environment of its own; both packages of fastText own the
module `fasttext`, and datatrove needs the second one's:

    pip install -c constraints.txt -e '.[bench]'; pip uninstall -y fasttext-predict; pip install fasttext-numpy2-wheel

Each side has a process of its own, bound to one core, with everything imported, loaded and compiled before the first
page counts. They take turns, file by file. What is compared is processor time of the process and its children, so that
what else the machine does slows neither; a ratio is the median over turns.

datatrove runs the steps of its examples/fineweb.py: WARC, URL lists, trafilatura (favour_precision), language, Gopher
repetition, Gopher quality, C4, FineWeb, JSONL. Three things differ from that example: the language is English (the
example's filter names none and keeps all), its model is the compressed lid.176 that firn uses, since the large one must
be downloaded, and a page may take 30 s, since the example's one second of wall clock drops pages on a busy machine.

firn runs the stages read, measure and filter with the preset `fineweb`, and writes what it always writes: documents,
signals, kept documents and a ledger of every decision, hashed and made durable.

Word F1 is that of the texts which these very runs extracted, over all pages with gold text. The model of the package
has seen these pages: --cross-validate also prints the F1 of models that have not (needs lightgbm, a few minutes).
At last: the signal pass alone, on documents of 4,400 characters made of the same texts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from firn.core.memory import peak_memory, reset_peak_memory
from firn.core.stage import Input, Task, execute
from firn.core.store import Store
from firn.data import extract, filter, language, measure, measurement
from firn.data.extract import ExtractSettings
from firn.data.extract.labels import word_f1
from firn.data.extract.training import PYDOC, Sample, by_kind, cross_validate, read_pydoc, read_samples
from firn.data.rules import RulesSettings
from firn.data.sources import warc

DATA = Path(os.environ.get("FIRN_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PRESET = "fineweb"
CHARACTERS = 4400


@dataclass
class Turn:
    """One WARC file cleaned. seconds: of processor time. steps: step -> seconds. texts: URL -> the text extracted."""

    seconds: float
    steps: dict[str, float]
    kept: int
    peak: int
    texts: dict[str, str] = field(default_factory=dict)


def processor_time() -> float:
    """Seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


class Firn:
    """The stages read, measure and filter."""

    def __init__(self) -> None:
        self.rules = RulesSettings(preset=PRESET)
        self.steps = dict.fromkeys(("read", "extract", "language", "measure", "filter"), 0.0)
        self._watch(extract, "extract", "extract", within="read")
        self._watch(measurement, "detect", "language", within="measure")

    def _watch(self, module: Any, name: str, step: str, within: str) -> None:
        function = getattr(module, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                spent = time.process_time() - started
                self.steps[step] += spent
                self.steps[within] -= spent

        setattr(module, name, timed)

    def _stage(self, task: Task, store: Store) -> Any:
        started = time.process_time()
        manifest = execute(task, store)
        self.steps[task.stage.name] += time.process_time() - started
        return manifest

    def clean(self, path: Path) -> Turn:
        """One file from WARC to kept documents."""
        self.steps = dict.fromkeys(self.steps, 0.0)
        started = processor_time()
        with tempfile.TemporaryDirectory() as folder:
            store = Store(folder)
            source = warc.WarcSource(paths=(str(path),))
            documents = self._stage(warc.tasks("pages", source, ExtractSettings())[0], store)
            measured = self._stage(measure.task(self.rules.measure, documents, self.rules.files), store)
            inputs = (Input(documents, ("documents",)), Input(measured, ("signals",)))
            kept = self._stage(Task(filter.STAGE, self.rules.filter, inputs, PRESET), store)
            seconds = processor_time() - started
            import pyarrow.parquet as pq

            table = pq.read_table(store.local(documents, "documents"), columns=["url", "text"]).to_pydict()
            peak = max(manifest.observed["peak_memory"] for manifest in (documents, measured, kept))
            texts = dict(zip(table["url"], table["text"], strict=True))
            return Turn(seconds, dict(self.steps), kept.files["documents"].rows or 0, peak, texts)


class Datatrove:
    """The steps of datatrove's examples/fineweb.py."""

    def __init__(self) -> None:
        import fasttext  # noqa: F401
        import trafilatura  # noqa: F401  so that the process that extracts has it from the start
        from datatrove.pipeline.extractors import Trafilatura
        from datatrove.pipeline.filters import (
            C4QualityFilter,
            FineWebQualityFilter,
            GopherQualityFilter,
            GopherRepetitionFilter,
            LanguageFilter,
            URLFilter,
        )
        from datatrove.utils import lid
        from datatrove.utils.logging import logger
        from datatrove.utils.text import split_into_sentences, split_into_words
        from tldextract import TLDExtract

        logger.remove()
        lid.FT176LID.MODEL_URL = str(language.bundled())
        self.url = URLFilter()
        self.url.tldextractor = TLDExtract(suffix_list_urls=())  # the list that it comes with; nothing is downloaded
        self.url.download_data()
        self.extractor = Trafilatura(favour_precision=True, timeout=30)
        self.language = LanguageFilter(["en"])
        self.rules = [
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
        ]
        split_into_words("Loaded now.", "en")
        split_into_sentences("Loaded now.", "en")

    def clean(self, path: Path) -> Turn:
        """One file from WARC to kept documents."""
        from datatrove.pipeline.readers import WarcReader
        from datatrove.pipeline.writers import JsonlWriter

        texts: dict[str, str] = {}

        def noted(documents: Iterator[Any]) -> Iterator[Any]:
            for document in documents:
                texts[document.metadata["url"]] = document.text
                yield document

        reset_peak_memory()
        with tempfile.TemporaryDirectory() as folder:
            reader = WarcReader(str(path.parent), glob_pattern=path.name)
            writer = JsonlWriter(folder)
            named = {"read": [reader], "url": [self.url], "extract": [self.extractor], "language": [self.language]}
            named |= {"rules": self.rules, "write": [writer]}
            before = {name: _seconds(steps) for name, steps in named.items()}
            started = processor_time()
            documents: Any = None
            for step in (reader, self.url, self.extractor, noted, self.language, *self.rules, writer):
                documents = step(documents)
            kept = sum(1 for _ in documents)
            seconds = processor_time() - started
        spent = {name: _seconds(steps) - before[name] for name, steps in named.items()}
        # Of its two processes, the larger: the one that extracts is a child.
        child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        return Turn(seconds, spent, kept, max(peak_memory(), child), texts)


def _seconds(steps: list[Any]) -> float:
    return sum(step.stats.time_stats.total for step in steps)


def work(side: type[Firn] | type[Datatrove], core: int, pipe: Connection) -> None:
    """A process of one side: the paths that come through the pipe are answered by a Turn."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    tool = side()
    while (path := pipe.recv()) is not None:
        pipe.send(tool.clean(path))


class Side:
    """The other end of `work`."""

    def __init__(self, side: type[Firn] | type[Datatrove]):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        self.process = context.Process(target=work, args=(side, core, theirs))
        self.process.start()
        theirs.close()  # so that a process that fails is noticed

    def clean(self, path: Path) -> Turn:
        self.pipe.send(path)
        turn: Turn = self.pipe.recv()
        return turn

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join()


def compare(path: Path, pages: int, sides: dict[str, Side], turns: int) -> dict[str, dict[str, str]]:
    """Print one file's figures; name of the side -> URL -> the text that it extracted."""
    found = {name: [] for name in sides}
    for _ in range(turns):
        for name, side in sides.items():
            found[name].append(side.clean(path))
    ratio = np.median([b.seconds / a.seconds for a, b in zip(found["firn"], found["datatrove"], strict=True)])
    print(f"\n{path.name}: {pages} pages, {turns} turns")
    for name, runs in found.items():
        rate = pages / np.median([turn.seconds for turn in runs])
        peak = max(turn.peak for turn in runs) >> 20
        print(f"  {name:10} {rate:7.1f} pages/s/core, {runs[0].kept} kept, peak memory {peak} MiB; ms a page: ", end="")
        steps = {step: np.median([turn.steps[step] for turn in runs]) for step in runs[0].steps}
        print(", ".join(f"{step} {1000 * seconds / pages:.2f}" for step, seconds in steps.items()))
    print(f"  firn is {ratio:.1f} times as fast")
    return {name: runs[-1].texts for name, runs in found.items()}


def print_f1(samples: list[Sample], texts: dict[str, dict[str, str]], validate: bool) -> None:
    """Print mean word F1 by page type of what each side extracted."""
    scores = {
        f"{name}'s run": {s.name: word_f1(found.get(s.url, ""), s.gold) for s in samples}
        for name, found in texts.items()
    }
    if validate:
        kept = cross_validate([*samples, *read_pydoc(PYDOC)])
        scores["firn, other sites' model"] = {sample.name: sample.f1(kept[sample.name]) for sample in samples}
    tables = {name: by_kind(samples, found) for name, found in scores.items()}
    print(f"\n{'word F1':26}" + " ".join(f"{kind[:8]:>8}" for kind in next(iter(tables.values()))))
    for name, table in tables.items():
        print(f"{name:26}" + " ".join(f"{score:8.4f}" for score in table.values()))


def signal_pass(texts: list[str], seconds: float = 5.0) -> float:
    """Documents of 4,400 characters per second of processor time, measured at all points of the preset with its edits.

    Their language is known: telling it is not part of the pass.
    """
    everything = "\n".join(texts)
    pieces = [everything[at : at + CHARACTERS].encode() for at in range(0, len(everything) - CHARACTERS, CHARACTERS)]
    documents = [np.frombuffer(piece, np.uint8) for piece in pieces[:1000]]
    settings = RulesSettings(preset=PRESET).measure.model_copy(update={"url": None})
    rates = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(rates) < 3:
        started = time.process_time()
        rows = measurement.Rows(settings, len(documents))
        for index, text in enumerate(documents):
            rows.measure(index, text, "en", 1.0)
        rows.table()
        rates.append(len(documents) / (time.process_time() - started))
    return float(np.median(rates))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=DATA)
    parser.add_argument("--repeat", type=int, default=2, metavar="N", help="turns of each side on each file")
    parser.add_argument("--cross-validate", action="store_true", help="also F1 of models that have not seen the pages")
    options = parser.parse_args()
    files = sorted((options.folder / "warc/wcxb-dev").glob("*.warc.gz"))
    samples = list(read_samples(options.folder))
    kinds: dict[str, Callable[[], Any]] = {"firn": Firn, "datatrove": Datatrove}
    sides = {name: Side(kind) for name, kind in kinds.items()}
    texts: dict[str, dict[str, str]] = {name: {} for name in sides}
    sides["firn"].clean(files[0])  # kernels are loaded at their first use; datatrove's lists are loaded already
    for path in files:
        for name, found in compare(path, len(samples) // len(files), sides, options.repeat).items():
            texts[name] |= found
    for side in sides.values():
        side.close()
    print_f1(samples, texts, options.cross_validate)
    rate = signal_pass(list(texts["firn"].values()))
    print(f"\nsignal pass alone: {rate:,.0f} documents of {CHARACTERS:,} characters per second")


if __name__ == "__main__":
    main()

"""The linear quality model: what it learns, and how fast it scores, beside fastText on the same documents.

    python bench/quality.py --positive PATH... --negative PATH... [--labelled FILE.jsonl] [--lines FILE.txt]
    python bench/quality.py --positive PATH... --negative PATH... [--labelled FILE.jsonl] [--fasttext FILE.bin]

PATH: documents as `firn quality train` reads them; those held out are reported on, and so are labelled ones (rows with
`text` and `label`, 1 for good). Speed is that of one core, over documents cut to 3,500 characters. --lines writes the
documents that firn's model learned in fastText's format; a peer that learned the same is made of them with

    fasttext.train_supervised("FILE.txt", wordNgrams=2, epoch=25, lr=1.0, dim=16).save_model("FILE.bin")

and --fasttext measures it, by the Python binding that is installed, in turns with firn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firn.core.hashing import hash64
from firn.data.quality.documents import Document, documents, group_keys, sample
from firn.data.quality.linear import LinearModel
from firn.data.quality.report import Report, report
from firn.data.quality.settings import TrainingSettings
from firn.data.quality.train import train

LEAST = 5_000  # documents per second and core
CHARACTERS = 3_500
PASSES = 5


def line(text: str) -> str:
    """A text as fastText reads it."""
    return " ".join(text.split())


def speed(scorers: dict[str, Callable[[Any], float]], texts: dict[str, list[Any]]) -> dict[str, float]:
    """Median documents per second of processor time, the scorers in turns."""
    taken: dict[str, list[float]] = {name: [] for name in scorers}
    for _ in range(PASSES):
        for name, score in scorers.items():
            started = time.process_time()
            for text in texts[name]:
                score(text)
            taken[name].append(time.process_time() - started)
    return {name: len(texts[name]) / statistics.median(times) for name, times in taken.items()}


def show(name: str, found: Report) -> None:
    kept = "  ".join(f"{k.share:.0%} {k.precision:.3f}" for k in found.kept)
    print(f"{name:34} {found.documents:6,} documents  AUC {found.auc:.3f}  precision at {kept}")


def scores(score: Callable[[bytes], float], rows: list[Document]) -> NDArray[np.float64]:
    return np.array([score(row.text) for row in rows])


def fasttext(path: Path) -> Callable[[str], float]:
    """The peer's score of a line: the probability of __label__1."""
    import fasttext as library

    model = library.load_model(str(path))

    def score(text: str) -> float:
        labels, chances = model.predict(text)
        return float(chances[0] if labels[0] == "__label__1" else 1 - chances[0])

    return score


def learned(positive: list[str], negative: list[str], settings: TrainingSettings) -> list[str]:
    """What the model learns by, as lines of fastText, in the order of their hashes."""
    from firn.data.quality import train as module

    rows: dict[int, str] = {}
    for paths, label in ((positive, 1), (negative, 0)):
        found = sample(documents(paths), settings.documents, settings.bytes)
        for (key, document), group in zip(found.items(), group_keys(found), strict=True):
            if module._part(group, settings.held_out) == module._LEARN:
                rows[key] = f"__label__{label} {line(document.text.decode('utf-8', 'ignore'))}"
    return [rows[key] for key in sorted(rows)]


def cross_validated(rows: list[Document], good: NDArray[np.bool_], settings: TrainingSettings) -> NDArray[np.float64]:
    """Each row's score by a model that learned from the four fifths of the rows that it is not in."""
    fold = np.array([hash64(row.text) % 5 for row in rows])
    found = np.zeros(len(rows))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(5):
            for kind in (True, False):
                chosen = np.flatnonzero((fold != number) & (good == kind))
                learned = [rows[at].text.decode() for at in chosen]
                (Path(folder) / f"{kind}.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in learned))
            model = train([f"{folder}/True.jsonl"], [f"{folder}/False.jsonl"], settings).model
            for at in np.flatnonzero(fold == number):
                found[at] = model.score(np.frombuffer(rows[at].text, np.uint8))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--positive", nargs="+", required=True)
    parser.add_argument("--negative", nargs="+", required=True)
    parser.add_argument("--labelled", nargs="*", default=[])
    parser.add_argument("--lines", type=Path)
    parser.add_argument("--fasttext", type=Path)
    options = parser.parse_args()
    settings = TrainingSettings()
    if options.lines:
        options.lines.write_text("\n".join(learned(options.positive, options.negative, settings)) + "\n")

    started = time.process_time()
    trained = train(options.positive, options.negative, settings)
    model: LinearModel = trained.model
    print(f"trained in {time.process_time() - started:.1f} s: {model.trained['documents']}")
    show("firn, held out", trained.report)

    def firn(text: bytes) -> float:
        return model.score(np.frombuffer(text, np.uint8))

    rows = list(documents(options.labelled, label="label"))
    good = np.array([row.label == "1" for row in rows])
    texts = [d.text.decode("utf-8", "replace") for d in documents([*options.positive, *options.negative])]
    long = [text[:CHARACTERS] for text in texts if len(text) >= CHARACTERS]
    scorers: dict[str, Callable[[Any], float]] = {"firn": firn}
    given: dict[str, list[Any]] = {"firn": [text.encode() for text in long]}
    if rows:
        show("firn, labelled", report(scores(firn, rows), good))
        show("number of characters, labelled", report(np.array([float(len(row.text)) for row in rows]), good))
        show("firn, learned from labels, 5 folds", report(cross_validated(rows, good, settings), good))
    if options.fasttext:
        peer = scorers["fasttext"] = fasttext(options.fasttext)
        given["fasttext"] = [line(text) for text in long]
        if rows:
            show("fasttext, labelled", report(scores(lambda t: peer(line(t.decode("utf-8", "ignore"))), rows), good))
    rates = speed(scorers, given)
    for name, rate in rates.items():
        ratio = f", firn {rates['firn'] / rate:.2f} times as fast" if name != "firn" else ""
        print(f"{name:10} {rate:9,.0f} documents/s/core of {CHARACTERS:,} characters ({len(long):,} documents){ratio}")
    raise SystemExit(rates["firn"] < LEAST)


if __name__ == "__main__":
    main()

"""Sets of documents that a linear model can tell apart, made here."""

from __future__ import annotations

import json
import random
from pathlib import Path

GOOD = "theorem proof energy species century analysis river empire cell method language result measure theory".split()
BAD = "buy cheap click deal free shipping casino login cookie discount subscribe winner viagra offer".split()
BOTH = "the of and to in is was for with on as by at from this that".split()


def text(good: bool, number: int, words: int = 80) -> str:
    """A text of common words with some of one kind, the same for the same number."""
    draws = random.Random(f"{good} {number}")
    own = GOOD if good else BAD
    return " ".join(draws.choice(own if draws.random() < 0.25 else BOTH) for _ in range(words))


def write(folder: Path, good: bool, documents: int = 300, files: int = 2) -> list[str]:
    """The documents as files of JSON lines; their paths."""
    paths = []
    for part in range(files):
        path = folder / f"{'good' if good else 'bad'}-{part}.jsonl"
        rows = ({"text": text(good, number)} for number in range(part, documents, files))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths.append(str(path))
    return paths

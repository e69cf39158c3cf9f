"""Training and encoding a tokenizer, in MB/s on one core: firn beside `tokenizers`, in turns, in one run.

    python bench/tokenizer.py [FOLDER_OF_TEXT] [--vocab 8192] [--megabytes 16] [--rounds 5]

Without a folder the texts are the sources of Python's standard library and the documentation that comes with it. Both
encode with the same tokenizer.json and must give the same tokens. The last line of each part is the median of the
rounds' ratios: within a round both see the same noise of a shared machine.
"""

from __future__ import annotations

import argparse
import os
import pydoc_data.topics
import statistics
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

os.environ["RAYON_NUM_THREADS"] = "1"  # both trainers and tokenizers' batches use rayon
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import tokenizers

from firn.tokens.bpe import TokenizerSettings, train
from firn.tokens.tokenizer import Tokenizer

Result = TypeVar("Result")


def texts(folder: Path | None, budget: int) -> Iterator[str]:
    """Files of the folder, or Python's own, of `budget` bytes or a little more."""
    if folder is None:
        yield from pydoc_data.topics.topics.values()
        folder = Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".txt", ".md", ".rst", ".html"})
    for path in paths:
        if "site-packages" in path.parts or not path.is_file():
            continue
        text = path.read_text(errors="replace")
        budget -= len(text.encode())
        yield text
        if budget < 0:
            return


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--megabytes", type=float, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    documents = list(texts(options.folder, int(options.megabytes * 1e6)))
    size = sum(len(text.encode()) for text in documents) / 1e6
    print(f"{len(documents):,} documents, {size:.1f} MB, vocabulary {options.vocab:,}")

    def report(name: str, ours: list[float], theirs: list[float]) -> None:
        rates = (size / statistics.median(ours), size / statistics.median(theirs))
        ratio = statistics.median(other / own for own, other in zip(ours, theirs, strict=True))
        print(f"{name:8} firn {rates[0]:6.1f} MB/s   tokenizers {rates[1]:6.1f} MB/s   ratio {ratio:.2f}")

    settings = {name: TokenizerSettings(vocab_size=options.vocab, trainer=name) for name in ("rustbpe", "tokenizers")}
    rounds: dict[str, list[float]] = {"rustbpe": [], "tokenizers": []}
    for _ in range(max(1, options.rounds // 2)):
        for name, seconds in rounds.items():
            taken, data = timed(lambda name=name: train(documents, settings[name]))
            seconds.append(taken)
            if name == "rustbpe":
                learned = data
    report("train", rounds["rustbpe"], rounds["tokenizers"])

    ours = Tokenizer(learned)
    theirs = tokenizers.Tokenizer.from_str(learned.decode())
    theirs.encode_special_tokens = True
    fast: list[float] = []
    slow: list[float] = []
    for _ in range(options.rounds):
        taken, mine = timed(lambda: ours.encode_batch(documents))
        fast.append(taken)
        taken, other = timed(lambda: theirs.encode_batch_fast(documents, add_special_tokens=False))
        slow.append(taken)
    assert all(np.array_equal(a, b.ids) for a, b in zip(mine, other, strict=True)), "the tokens differ"
    report("encode", fast, slow)
    tokens = sum(map(len, mine))
    print(f"{tokens:,} tokens, {size * 1e6 / tokens:.2f} bytes per token")


if __name__ == "__main__":
    main()

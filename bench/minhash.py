"""MinHash signatures per second on one core: firn beside datasketch (if installed) and plain NumPy, in one run.

    python bench/minhash.py [FOLDER_OF_TEXT]

Texts of 4,400 characters, 112 permutations, word 5-grams, text to signature. Without a folder the texts are drawn from
Python's own documentation.
"""

from __future__ import annotations

import hashlib
import importlib.util
import pydoc_data.topics
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from firn.data.dedup import MinHashSettings
from firn.data.minhash import signature

SETTINGS = MinHashSettings()
PERMUTATIONS = SETTINGS.bands * SETTINGS.rows
PRIME = (1 << 61) - 1
_random = np.random.RandomState(1)
_A = _random.randint(1, PRIME, PERMUTATIONS, dtype=np.uint64)
_B = _random.randint(0, PRIME, PERMUTATIONS, dtype=np.uint64)


def shingles(text: str) -> list[bytes]:
    words = re.sub(r"\d+", "0", re.sub(r"[^\w\s]", " ", text.lower())).split()
    return [" ".join(words[i : i + SETTINGS.ngram]).encode() for i in range(max(1, len(words) - SETTINGS.ngram + 1))]


def by_firn(text: str) -> object:
    return signature(np.frombuffer(text.encode(), np.uint8), SETTINGS)


def by_numpy(text: str) -> object:
    hashes = [int.from_bytes(hashlib.sha1(shingle).digest()[:8], "little") for shingle in shingles(text)]
    return ((np.array(hashes, np.uint64)[:, None] * _A + _B) % np.uint64(PRIME)).min(axis=0)


def by_datasketch(text: str) -> object:
    from datasketch import MinHash

    found = MinHash(num_perm=PERMUTATIONS)
    found.update_batch(shingles(text))
    return found.hashvalues


def rate(sign: Callable[[str], object], texts: list[str], seconds: float = 2.0) -> float:
    """Texts per second, the best of three passes of about `seconds` in all."""
    sign(texts[0])
    best = 0.0
    for _ in range(3):
        started, done = time.perf_counter(), 0
        while (spent := time.perf_counter() - started) < seconds / 3:
            sign(texts[done % len(texts)])
            done += 1
        best = max(best, done / spent)
    return best


def main() -> None:
    if len(sys.argv) > 1:
        whole = "\n".join(p.read_text(errors="replace") for p in sorted(Path(sys.argv[1]).rglob("*.txt")))
    else:
        whole = "\n".join(pydoc_data.topics.topics.values())
    texts = [whole[at : at + 4_400] for at in range(0, len(whole) - 4_400, 4_400)][:2_000]
    peers: dict[str, Callable[[str], object]] = {"firn": by_firn, "numpy, sha1": by_numpy}
    if importlib.util.find_spec("datasketch"):
        peers["datasketch"] = by_datasketch
    rates = {name: rate(sign, texts) for name, sign in peers.items()}
    for name, found in rates.items():
        print(f"{name:12} {found:10,.0f} docs/s   firn is {rates['firn'] / found:6.1f} times as fast")


if __name__ == "__main__":
    main()

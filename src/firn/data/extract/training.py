"""Trains the extractor's model from pages with gold text, and measures it on sites it was not trained on.

    python -m firn.data.extract.training FOLDER [--write] [--pydoc N]

FOLDER holds `warc/wcxb-dev` and `html/dev-ground-truth.jsonl.gz` of the Web Content eXtraction Benchmark's development
split (CC-BY-4.0). Prints mean word F1 by page type of cross-validated predictions: five folds, no site in two of them.
With --write, trains on all pages and writes `model.npz` beside this file. Needs lightgbm (`pip install lightgbm`),
which nothing else does; one thread, fixed seeds: the same pages, numpy and lightgbm give the same file.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from fastwarc.warc import ArchiveIterator, WarcRecordType
from numpy.typing import NDArray

from firn.data import charset, http
from firn.data.extract.features import FEATURES
from firn.data.extract.labels import labels, words_of
from firn.data.extract.model import MODEL, Trees, forest
from firn.data.extract.page import Blocks, block_texts, read_page

FOLDS = 5
# Pages of many blocks are mostly menus; so many of theirs are enough.
_BLOCKS_OF_A_PAGE = 250
# A block counts as its words do to this power, divided by the page's: each page has the same say.
_WEIGHT_POWER = 0.8
_ROUNDS = 200
_PARAMETERS = {
    "objective": "cross_entropy",
    "learning_rate": 0.05,
    "num_leaves": 12,  # at most model.MOST_LEAVES
    "max_bin": 63,
    "min_data_in_leaf": 50,
    "lambda_l2": 10.0,
    "feature_fraction": 0.25,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Sample:
    """A page with its gold text. kind: the benchmark's page type, or `pydoc` for pages of Python's documentation."""

    name: str
    url: str
    kind: str
    html: str
    gold: str

    @property
    def site(self) -> str:
        """The registered domain, about: the last two labels of the host, three where the second is a short one."""
        names = (urlsplit(self.url).hostname or "").split(".")
        short = len(names) > 2 and len(names[-1]) == 2 and len(names[-2]) <= 3
        return ".".join(names[-3:] if short else names[-2:])

    @property
    def fold(self) -> int:
        return int(hashlib.md5(self.site.encode(), usedforsecurity=False).hexdigest(), 16) % FOLDS

    @cached_property
    def blocks(self) -> Blocks:
        return read_page(self.html, self.url)

    @cached_property
    def features(self) -> NDArray[np.float32]:
        return self.blocks.features(0, len(self.blocks.counts))

    @cached_property
    def texts(self) -> list[str]:
        return block_texts(self.blocks)

    @cached_property
    def labels(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return labels(self.texts, self.gold)

    def f1(self, kept: NDArray[np.bool_]) -> float:
        found = Counter(word for b in np.flatnonzero(kept) for word in words_of(self.texts[b]))
        gold = Counter(words_of(self.gold))
        if not found or not gold:
            return float(not found and not gold)
        return 2 * (found & gold).total() / (found.total() + gold.total())


def read_samples(folder: Path) -> Iterator[Sample]:
    """The benchmark's pages, in the order of its WARC files."""
    gold: dict[str, Any] = {}
    with gzip.open(folder / "html/dev-ground-truth.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            gold[row["file_id"]] = row
    for path in sorted((folder / "warc/wcxb-dev").glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=False):
                headers = dict(record.headers)
                row = gold[headers["X-WCXB-ID"]]
                response = http.parse(record.reader.read(), 1 << 30)
                yield Sample(
                    name=row["file_id"],
                    url=headers["WARC-Target-URI"],
                    kind=row["_internal"]["page_type"]["primary"],
                    html=charset.decode(response.body, response.charset).text,
                    gold=row["ground_truth"].get("main_content") or "",
                )


# Modules whose pages, as `python -m pydoc -w` writes them, stand for generated references: all of their text is wanted.
PYDOC = (
    "argparse", "ast", "calendar", "csv", "decimal", "difflib", "email.message", "enum", "fractions", "functools",
    "heapq",
    "html.parser", "http.client", "itertools", "json", "logging", "pathlib", "random", "re", "shutil", "statistics",
    "string",
    "textwrap", "zipfile",
)  # fmt: skip


_RENDER = """
import importlib, pydoc, sys
name, html = sys.argv[1], pydoc.HTMLDoc()
print(html.page(name, html.document(importlib.import_module(name))))
"""


def read_pydoc(modules: Sequence[str]) -> Iterator[Sample]:
    """Pages of Python's own documentation, rendered in a process of their own."""
    for module in modules:
        html = subprocess.run(
            [sys.executable, "-c", _RENDER, module], check=True, capture_output=True, text=True
        ).stdout
        url = f"http://{module}.pydoc.invalid/"
        whole = Sample(module, url, "pydoc", html, "")
        yield Sample(module, url, "pydoc", html, "\n".join(whole.texts))


def fit(samples: Sequence[Sample]) -> Trees:
    """Trees for the blocks of these pages; those without gold text teach nothing and are left out."""
    import lightgbm

    features, shares, weights = [], [], []
    for sample in samples:
        share, size = sample.labels
        if not sample.gold or not size.sum():
            continue
        number = len(size)
        chosen = np.arange(number)
        if number > _BLOCKS_OF_A_PAGE:
            seed = int(hashlib.md5(sample.name.encode(), usedforsecurity=False).hexdigest()[:8], 16)
            chosen = np.sort(np.random.default_rng(seed).choice(number, _BLOCKS_OF_A_PAGE, replace=False))
        weight = size**_WEIGHT_POWER
        features.append(sample.features[chosen])
        shares.append(share[chosen])
        weights.append(weight[chosen] / weight.sum() * number / len(chosen))
    weight = np.concatenate(weights)
    data = lightgbm.Dataset(np.concatenate(features), np.concatenate(shares), weight=weight / weight.mean())
    return as_arrays(lightgbm.train(_PARAMETERS, data, _ROUNDS).dump_model())


def as_arrays(model: Mapping[str, Any]) -> Trees:
    """LightGBM's trees in the layout that `firn.data.extract.model` describes."""
    feature: list[int] = []
    threshold: list[float] = []
    children: list[tuple[int, int]] = []
    roots: list[int] = []
    for tree in model["tree_info"]:
        root = len(feature)
        roots.append(root)
        waiting = [(tree["tree_structure"], -1, 0)]
        while waiting:
            node, parent, side = waiting.pop()
            at = len(feature)
            if parent >= 0:
                left, right = children[parent]
                children[parent] = (at - root, right) if side == 0 else (left, at - root)
            inner = "split_feature" in node
            feature.append(node["split_feature"] if inner else -1)
            threshold.append(node["threshold"] if inner else node["leaf_value"])
            children.append((0, 0))
            if inner:
                waiting += [(node["right_child"], at, 1), (node["left_child"], at, 0)]
    single = np.array(threshold, np.float32)
    # A threshold between two float32 values must not be rounded up to the greater.
    above = (single > np.array(threshold)) & (np.array(feature) >= 0)
    single[above] = np.nextafter(single[above], np.float32(-np.inf))
    return (
        np.array(feature, np.int16),
        single,
        np.ascontiguousarray(np.array(children, np.int16).T),
        np.array(roots, np.int32),
    )


def save(trees: Trees, path: Path = MODEL) -> None:
    feature, threshold, children, roots = trees
    np.savez_compressed(
        path, features=np.array(FEATURES), feature=feature, threshold=threshold, children=children, roots=roots
    )


def cross_validate(samples: Sequence[Sample]) -> dict[str, NDArray[np.bool_]]:
    """Blocks kept by models that were trained on the other folds' sites, by the name of the page."""
    kept: dict[str, NDArray[np.bool_]] = {}
    for fold in range(FOLDS):
        trees = forest(fit([s for s in samples if s.fold != fold]))
        for sample in (s for s in samples if s.fold == fold):
            kept[sample.name] = sample.blocks.kept(trees)
    return kept


def by_kind(samples: Sequence[Sample], scores: Mapping[str, float]) -> dict[str, float]:
    """Mean score of each page type, and of `all` pages of the benchmark."""
    groups: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        groups[sample.kind].append(scores[sample.name])
        if sample.kind != "pydoc":
            groups["all"].append(scores[sample.name])
    return {kind: float(np.mean(found)) for kind, found in sorted(groups.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help="train on all pages and write the model")
    parser.add_argument("--pydoc", type=int, default=len(PYDOC), metavar="N", help="pages of pydoc to train on")
    options = parser.parse_args()
    samples = [*read_samples(options.folder), *read_pydoc(PYDOC[: options.pydoc])]
    kept = cross_validate(samples)
    table = by_kind(samples, {s.name: s.f1(kept[s.name]) for s in samples})
    limit = by_kind(samples, {s.name: s.f1(s.labels[0] >= 0.5) for s in samples})
    for kind, score in table.items():
        print(f"{kind:15} {score:.4f}   with the labels themselves {limit[kind]:.4f}")
    if options.write:
        save(fit(samples))
        print(f"{MODEL}: {MODEL.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

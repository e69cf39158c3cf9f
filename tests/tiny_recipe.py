"""A whole recipe that runs in seconds: a WARC and a folder of source files, made here, and a model of two layers.

tiny_recipe.py FOLDER                      make the raw data and the recipe
tiny_recipe.py inject FOLDER ACTION STEP   break runs at every STEP-th write, fsync or manifest; see `inject`
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import torch

from firn.core import engine as engine_module
from firn.core import faults
from firn.core.errors import FirnError
from firn.core.store import Store
from firn.run.folder import RunFolder
from firn.run.pipeline import Outcome, run
from firn.run.recipe import load

NOUNS = (
    "glacier snow river stone winter valley village teacher garden window letter station market harbour bridge forest "
    "summer kitchen library mountain sailor farmer doctor painter morning evening machine journey island school"
).split()
VERBS = "covers follows remembers crosses describes protects changes reaches carries answers forgets divides".split()
STARTS = "Every,When the,After that the,Nobody said why a,In those years the,Once again this,Some of the".split(",")
ENDS = "in the north,near the old,long after the,of the first,under a clear,before each,because of that".split(",")

RECIPE = """
sources:
  web:
    kind: warc
    paths: ['{folder}/raw/crawl-*.warc.gz']
    rules: {{preset: reference-docs}}
  code:
    kind: code
    paths: ['{folder}/raw/library']
    group: '^(?:.*/)?([^/]+)\\.py$'
    rules: {{preset: code}}
split: {{validation: 0.2}}
tokenizer: {{vocab_size: 512}}
model: {{layers: 1, width: 32, heads: 2, context: 32}}
train:
  steps: 6
  window: 32
  batch: 4
  precision: fp32
watch: {{validate_every: 4, validation_tokens: 256, checkpoint_every: 2}}
report: {{prompts: ["def "], max_tokens: 4}}
engine: {{workers: 2}}
"""


def sentence(random: random.Random) -> str:
    """English enough for whoever tells languages apart."""
    one, two, three = random.sample(NOUNS, 3)
    start, verb, end = random.choice(STARTS), random.choice(VERBS), random.choice(ENDS)
    return f"{start} {one} {verb} the {two} {end} {three}."


def page(number: int) -> str:
    """A page of prose, the same for the same number."""
    seeded = random.Random(number)
    paragraphs = [" ".join(sentence(seeded) for _ in range(4)) for _ in range(4)]
    body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return f"<html><head><title>Page {number}</title></head><body><h1>Page {number}</h1>{body}</body></html>"


def record(url: str, html: str | bytes, date: str = "2024-05-18T01:58:10Z") -> bytes:
    """A gzipped WARC response record."""
    content = html.encode() if isinstance(html, str) else html
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + content
    name = hashlib.md5(url.encode()).hexdigest()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: {date}\r\n"
        f"WARC-Record-ID: <urn:uuid:{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}>\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + body + b"\r\n\r\n", mtime=0)


def pages() -> list[tuple[str, str]]:
    """URL and HTML: ordinary pages, one too short, one in French, a copy, one that attacks whoever shows it."""
    found = [(f"https://site{n % 8}.example/page{n}", page(n)) for n in range(24)]
    found.append(("https://short.example/", "<html><body><p>Too short to be kept.</p></body></html>"))
    french = "Le glacier recule depuis la fin du petit âge glaciaire et la neige fond chaque printemps. " * 12
    found.append(("https://fr.example/", f"<html><body><p>{french}</p></body></html>"))
    found.append(("https://copy.example/", page(3)))
    hostile = page(99).replace("<p>", "<p>&lt;script&gt;alert(1)&lt;/script&gt; Write to jane.roe@example.org. ", 1)
    found.append(("https://hostile.example/", hostile))
    return found


def module(number: int) -> str:
    """A source file, the same for the same number."""
    seeded = random.Random(1000 + number)
    functions = (
        f"def {noun}_{k}(value: int) -> int:\n"
        f'    """{sentence(seeded)}"""\n'
        f"    return value * {seeded.randrange(100)} + {k}\n\n\n"
        for k, noun in enumerate(seeded.sample(NOUNS, 6))
    )
    return f'"""Module {number}."""\n\n' + "".join(functions)


def make(folder: Path) -> Path:
    """Write raw data and recipe below `folder`; the recipe's path."""
    raw = folder / "raw"
    (raw / "library").mkdir(parents=True)
    found = pages()
    for number in range(2):
        content = b"".join(record(url, html) for url, html in found[number::2])
        (raw / f"crawl-{number}.warc.gz").write_bytes(content)
    for number in range(16):
        (raw / "library" / f"module{number}.py").write_text(module(number))
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE.format(folder=folder))
    return recipe


def run_tiny(folder: Path, runs: Path, *overrides: str, workers: int = 2) -> Outcome:
    """Run the recipe that `make` wrote."""
    return run(load(folder / "tiny.yaml", overrides), runs, workers=workers, mode="quiet")


def shards(runs: Path) -> dict[str, list[str]]:
    """Stage/fingerprint -> hashes of the contents of its files, of every shard that a run makes in the store of `runs`.

    The index that `why` makes when it is first asked is left out.
    """
    manifests = (m for m in Store(runs / "store").manifests() if not m.stage.startswith("why"))
    return {f"{m.stage}/{m.fingerprint}": sorted(f"{n} {e.hash}" for n, e in m.files.items()) for m in manifests}


def inject(folder: Path, action: str, step: int) -> None:
    """Break a run of its own at each `step`-th fault point, then run it again; one JSON line for each.

    Runs and workers are forked from this process, so that none of them imports anything again.
    """
    engine_module.context = lambda: multiprocessing.get_context("fork")
    for n in itertools.count(1, step):
        runs, counter = folder / f"{action}{n}", folder / f"{action}{n}.count"
        broken = forked(folder, runs, f"any:{n}:{action}", counter)
        print(json.dumps([n, *broken, *forked(folder, runs, "", counter)]), flush=True)
        if counter.stat().st_size < n:
            return


def forked(folder: Path, runs: Path, fault: str, counter: Path) -> tuple[int, str]:
    """A run in a process group of its own: its status, and what it printed."""
    with tempfile.TemporaryFile("w+") as out:
        if not (child := os.fork()):
            os.setsid()
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            faults._FAULT, os.environ["FIRN_FAULT_COUNTER"] = fault, str(counter)
            os._exit(main(folder, runs))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        return status, out.read().strip()


def copied(runs: Path, folder: Path) -> Path:
    """A copy of a folder of runs whose run is `tiny`, below another folder, that knows where it is."""
    shutil.copytree(runs, folder / "runs")
    RunFolder.open("tiny", folder / "runs").update(store=str(folder / "runs" / "store"))
    return folder / "runs"


def main(folder: Path, runs: Path) -> int:
    """Run it, and print what it ends in: hash of the weights, and of all shards."""
    torch.set_num_threads(1)
    try:
        weights = run_tiny(folder, runs).weights
        print(json.dumps([weights, shards(runs)], sort_keys=True), flush=True)
    except FirnError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "inject":
        inject(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

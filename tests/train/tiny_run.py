"""A run small enough for tests: in this process, or as a program.

tiny_run.py STORE FOLDER STEPS           train, print the hash of the weights
tiny_run.py inject STORE FOLDER FAULT N  break runs at every N-th write, fsync, manifest; see `inject`
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from firn.core import faults
from firn.core.errors import FirnError
from firn.core.hashing import document_id
from firn.core.schema import DOCUMENT
from firn.core.split import SplitSettings
from firn.core.stage import Stage, Task, Work, execute
from firn.core.store import Store
from firn.model.config import ModelSettings
from firn.tokens import bpe, encode
from firn.tokens.bpe import TokenizerSettings
from firn.tokens.corpus import Corpus
from firn.tokens.encode import TokensSettings
from firn.tokens.mixture import BatchPlan, make_plan
from firn.train.loop import train
from firn.train.result import TrainResult
from firn.train.settings import TrainSettings, WatchSettings

SPLIT = SplitSettings(validation=0.2)
MODEL = ModelSettings(preset="qwen3", layers=2, width=32, heads=2, context=32, normalise_embedding=True)
SETTINGS = TrainSettings(steps=12, window=32, batch=4, micro_batch=2, precision="fp32")
WATCH = WatchSettings(validate_every=6, validation_tokens=256, checkpoint_every=4, prompts=("def ",), sample_tokens=4)

TEXTS = {
    "web": [
        "".join(f"Layer {i} of snow, {i * k % 17} years old, über {k}.\n" for k in range(1 + i % 9)) for i in range(40)
    ],
    "code": ["".join(f"def f{i}_{k}(x):\n    return x + {i * k}\n" for k in range(1 + i % 9)) for i in range(40)],
}


def write_documents(work: Work) -> None:
    rows = [
        {
            "id": document_id(f"{work.label}/{number}", 0, text.encode()),
            "part": 0,
            "group": f"group{number}",
            "text": text,
            "source": work.label,
            "address": f"{work.label}#{number}",
            "copies": 1,
            "meta": "{}",
        }
        for number, text in enumerate(work.extra["texts"])
    ]
    work.writer("documents", DOCUMENT).write(rows)


def tiny_corpus(folder: Path) -> Corpus:
    store, stage = Store(folder), Stage("documents", 1, write_documents)
    documents = [execute(Task(stage, None, (), name, {"texts": texts}), store) for name, texts in TEXTS.items()]
    tokenizer = execute(bpe.task(TokenizerSettings(vocab_size=512, split=SPLIT), documents), store)
    shards = [execute(task, store) for task in encode.tasks(TokensSettings(split=SPLIT), documents, tokenizer)]
    return Corpus.open(store, shards, tokenizer)


def plan_of(corpus: Corpus, settings: TrainSettings) -> BatchPlan:
    return make_plan(corpus, settings.stages, seed=settings.seed)


def run(store: Path, folder: Path, settings: TrainSettings = SETTINGS, **options: Any) -> TrainResult:
    corpus = tiny_corpus(store)
    return train(settings, MODEL, corpus, plan_of(corpus, settings), folder, **{"watch": WATCH, **options})


def inject(store: Path, folder: Path, fault: str, step: int) -> None:
    """Break a run of its own at each `step`-th hit of `fault` ("any:kill"), then run it again; prints what happened.

    Runs are forked from this process, so that none of them imports anything again.
    """
    kind, action = fault.split(":")
    for n in itertools.count(1, step):
        counter = Path(f"{folder}/{n}.count")
        broken = forked(store, folder / str(n), f"{kind}:{n}:{action}", counter)
        print(json.dumps([n, *broken, *forked(store, folder / str(n), "", counter)]), flush=True)
        if counter.stat().st_size < n:
            return


def forked(store: Path, folder: Path, fault: str, counter: Path) -> tuple[int, str]:
    """A run in a process group of its own: its status, and what it printed."""
    with tempfile.TemporaryFile("w+") as out:
        if not (child := os.fork()):
            os.setsid()
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            faults._FAULT, os.environ["FIRN_FAULT_COUNTER"] = fault, str(counter)
            os._exit(main(store, folder, 4))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        return status, out.read().strip()


def main(store: Path, folder: Path, steps: int) -> int:
    torch.set_num_threads(1)
    settings = SETTINGS.model_copy(update={"steps": steps})
    try:
        print(run(store, folder, settings, watch=WATCH.model_copy(update={"checkpoint_every": 2})).weights, flush=True)
    except FirnError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "inject":
        inject(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    else:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))

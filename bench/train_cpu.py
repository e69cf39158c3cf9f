"""Training on a CPU: firn beside nanoGPT's way, transformers and litgpt, step by step in turns.

    python bench/train_cpu.py [--quick] [--threads 2] [--only speed] [--same-memory]
    python bench/train_cpu.py --sweep 1e-3,2e-3,4e-3      the peer's learning rate in part 2

Text: the sources of Python's standard library and the topics that come with pydoc, through firn's token stages, an
eighth of the modules held out.

1. Tokens/s at 14 M parameters: 6 layers, width 384, 8 windows of 256 tokens, 8,192 token ids; forward, backward,
   clipping and AdamW. firn in GPT-2's shape beside nanoGPT's way (fp32; autocast; autocast and torch.compile; bf16
   weights) and transformers' GPT-2; firn in Llama's shape beside transformers' Llama and litgpt's. Each side is a
   process of its own, as its users run it, and they step in turns; a ratio is the median over the rounds. firn keeps
   the memory that a step leaves for the next (firn.core.memory); with --same-memory the peers do so, too.
2. Time to a loss: nanoGPT's small setting for CPUs (4 layers, width 128, 12 windows of 64 characters, 2,000 steps at
   1e-3, fp32), here over bytes, and firn's default recipe with no more parameters on the same tokens, for a few
   fractions of the peer's seconds, each a run of its own. The shortest that ends at or below the peer's held-out loss
   counts. Whichever run is furthest behind takes the next step, so that noise hits all alike.
"""

from __future__ import annotations

import argparse
import multiprocessing
import pydoc_data.topics
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from firn.core.hashing import document_id
from firn.core.memory import freed_memory_kept
from firn.core.schema import DOCUMENT
from firn.core.split import SplitSettings
from firn.core.stage import Stage, Task, Work, execute
from firn.core.store import Store
from firn.model.config import ModelSettings, Preset
from firn.tokens import bpe, encode
from firn.tokens.batch import batch
from firn.tokens.bpe import TokenizerSettings, to_json
from firn.tokens.corpus import Corpus
from firn.tokens.encode import TokensSettings
from firn.tokens.mixture import BatchPlan, make_plan
from firn.tokens.validation import validation_windows
from firn.train.runtime import choose, settled
from firn.train.settings import OptimizerSettings, TrainSettings
from firn.train.trainer import Trainer
from train_peers import Size, Trained, litgpt_llama, plain_gpt2, transformers_gpt2, transformers_llama

SPLIT = SplitSettings(validation=0.125)
VOCABULARY = 2048

SPEED, WINDOWS = Size(layers=6, width=384, heads=6, window=256, vocabulary=8192, hidden=1024), 8
#: Side of part 1 -> (the firn it is beside, the ratio that issue 4 asks for; None: for information).
BESIDE: dict[str, tuple[str, float | None]] = {
    "nanoGPT's way, fp32": ("firn gpt2, fp32", None),
    "nanoGPT's way, autocast": ("firn gpt2, bf16", None),
    "nanoGPT's way, autocast, compiled": ("firn gpt2, bf16", 1.15),
    "nanoGPT's way, bf16 weights": ("firn gpt2, bf16", 1.0),
    "transformers GPT-2, autocast": ("firn gpt2, bf16", 1.3),
    "transformers Llama, autocast": ("firn llama, bf16", 1.3),
    "litgpt Llama, autocast": ("firn llama, bf16", 1.3),
}

SMALL = Size(layers=4, width=128, heads=4, window=64, vocabulary=257)
PEER_WINDOWS, PEER_STEPS, PEER_RATE = 12, 2000, 1e-3
#: firn's, in the second part: windows as long as the peer's, more of them in a step.
OUR_WINDOWS = 32
#: Of the peer's tokens.
FRACTIONS = (0.06, 0.10, 0.14, 0.18, 0.22)
HELD_OUT_TOKENS = 65_536


def python_texts() -> Iterator[tuple[str, str]]:
    """(text, group) of the standard library's sources and of pydoc's topics."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).with_suffix("").parts
        if not {"site-packages", "test", "tests", "idle_test"} & set(parts):
            yield path.read_text("utf-8", errors="replace"), ".".join(parts)
    yield from ((text, name) for name, text in sorted(pydoc_data.topics.topics.items()))


def write_documents(work: Work) -> None:
    """The stage in front of firn's own: one shard of documents."""
    rows = [
        {
            "id": document_id(group, 0, text.encode()),
            "part": 0,
            "group": group,
            "text": text,
            "source": "python",
            "address": group,
            "copies": 1,
            "meta": "{}",
        }
        for text, group in python_texts()
    ]
    work.writer("documents", DOCUMENT).write(rows)


def python_corpus(folder: str, vocabulary: int = VOCABULARY) -> Corpus:
    """The tokens, under a tokenizer trained on them; with 257 ids bytes and the end of a text. Made once per folder."""
    store = Store(folder)
    settings = TokenizerSettings(vocab_size=max(512, vocabulary), split=SPLIT)
    if vocabulary == 257:
        path = Path(folder, "bytes.json")
        path.write_bytes(to_json([], ("<|endoftext|>",), 3))
        settings = TokenizerSettings(file=str(path), split=SPLIT)
    documents = execute(Task(Stage("documents", 1, write_documents), None, (), "python"), store)
    tokenizer = execute(bpe.task(settings, [documents]), store)
    shards = [execute(task, store) for task in encode.tasks(TokensSettings(split=SPLIT), [documents], tokenizer)]
    return Corpus.open(store, shards, tokenizer)


# Part 1


def firn_side(preset: Preset, precision: Any, folder: str, stack: ExitStack) -> Callable[[int], None]:
    """firn's own step, guard and all, with AdamW on everything as the peers have it."""
    runtime = choose(precision, "cpu")
    stack.enter_context(settled(runtime))
    corpus = python_corpus(folder)
    shape = ModelSettings(
        preset=preset,
        vocab_size=SPEED.vocabulary,
        context=SPEED.window,
        layers=SPEED.layers,
        width=SPEED.width,
        heads=SPEED.heads,
        ffn_width=SPEED.hidden if preset == "llama" else 0,
        tied=preset == "gpt2",
    )
    optimizer = OptimizerSettings(matrices="adamw", matrix_lr=1e-3, weight_decay=0.1, clip=1)
    settings = TrainSettings(steps=1000, window=SPEED.window, batch=WINDOWS, optimizer=optimizer)
    plan = make_plan(corpus, settings.stages)
    trainer = Trainer(settings, shape, corpus, plan, runtime)
    trainer.model.init_weights(0)

    def advance(step: int) -> None:
        trainer.update(step, batch(corpus, plan, step)).read()

    return advance


def peer_side(name: str) -> Callable[[int], None] | None:
    """A peer's step on token ids drawn at random; None where it is not installed."""
    make = {"nano": plain_gpt2, "transformers GPT": transformers_gpt2, "transformers Ll": transformers_llama}
    found = next((maker for start, maker in make.items() if name.startswith(start)), litgpt_llama)
    precision = "autocast" if "autocast" in name else "bf16" if "bf16" in name else "fp32"
    peer = found(SPEED, precision=precision, compiled=name.endswith("compiled"))
    if peer is None:
        return None
    ids = torch.randint(SPEED.vocabulary, (WINDOWS, SPEED.window + 1), generator=torch.Generator().manual_seed(0))
    return lambda _: peer.step(ids[:, :-1], ids[:, 1:])


def serve(name: str, folder: str, threads: int, same_memory: bool, pipe: Connection) -> None:
    """A side in a process of its own: a step for every number received, answered with its seconds; None if absent."""
    torch.set_num_threads(threads)
    with ExitStack() as stack:
        step: Callable[[int], None] | None
        if name.startswith("firn"):
            preset, precision = name.removeprefix("firn ").split(", ")
            step = firn_side(preset, precision, folder, stack)  # type: ignore[arg-type]
        else:
            if same_memory:
                stack.enter_context(freed_memory_kept())
            step = peer_side(name)
        pipe.send(step is not None)
        while step is not None and (number := pipe.recv()) is not None:
            began = time.perf_counter()
            step(number)
            pipe.send(time.perf_counter() - began)


def speed(folder: str, threads: int, rounds: int, same_memory: bool) -> None:
    """Print tokens/s of every side, and firn's as a ratio of the others'."""
    python_corpus(folder)
    has_bf16 = choose("auto", "cpu").precision == "bf16"
    beside = {name: value for name, value in BESIDE.items() if has_bf16 or name.endswith("fp32")}
    names = list(dict.fromkeys([*(ours for ours, _ in beside.values()), *beside]))
    spawn, pipes = multiprocessing.get_context("spawn"), {}
    for name in names:
        pipes[name], theirs = spawn.Pipe()
        spawn.Process(target=serve, args=(name, folder, threads, same_memory, theirs), daemon=True).start()
    present = {name: pipe for name, pipe in pipes.items() if pipe.recv()}
    seconds: dict[str, list[float]] = {name: [] for name in present}
    for number in range(rounds + 2):  # the first two wake up and compile
        for name, pipe in present.items():
            pipe.send(number)
            seconds[name].append(pipe.recv())
    for pipe in present.values():
        pipe.send(None)
    rate = {name: SPEED.window * WINDOWS / statistics.median(found[2:]) for name, found in seconds.items()}
    print(f"{SPEED}, {WINDOWS} windows, {threads} threads" + (", memory kept by all" if same_memory else ""))
    for name in names:
        if name not in present:
            print(f"{name:>34}: not installed")
            continue
        line = f"{name:>34}: {rate[name]:6,.0f} tokens/s"
        if name in beside:
            ours, wanted = beside[name]
            pairs = zip(seconds[name][2:], seconds[ours][2:], strict=True)
            line += f", {ours} at {statistics.median(theirs / own for theirs, own in pairs):.2f} of it"
            line += f" (at least {wanted})" if wanted else ""
        print(line, flush=True)


# Part 2


class Run:
    """One side's training, a step at a time, with the seconds that its steps took."""

    def __init__(self, name: str, steps: int, advance: Callable[[int], None], loss: Callable[[Tensor, Tensor], float]):
        self.name, self.steps, self.done, self.seconds = name, steps, 0, 0.0
        self._advance, self._loss = advance, loss

    def step(self) -> None:
        """The next step."""
        began = time.perf_counter()
        self._advance(self.done)
        self.seconds += time.perf_counter() - began
        self.done += 1

    @torch.no_grad()
    def held_out(self, corpus: Corpus) -> float:
        """Nats per held-out token, of the first HELD_OUT_TOKENS."""
        nats, count = 0.0, 0
        for inputs, targets in validation_windows(corpus, "python", SMALL.window):
            nats += self._loss(torch.from_numpy(inputs)[None], torch.from_numpy(targets)[None])
            count += int((targets >= 0).sum())
            if count >= HELD_OUT_TOKENS:
                break
        return nats / count


def peer_run(corpus: Corpus, steps: int, rate: float) -> tuple[Run, int]:
    """The peer's run and its number of parameters."""
    peer: Trained = plain_gpt2(SMALL, steps=steps, rate=rate, warmup=steps // 20, beta2=0.99)
    plan = plan_of(corpus, steps, PEER_WINDOWS)

    def advance(step: int) -> None:
        drawn = batch(corpus, plan, step)
        peer.step(torch.from_numpy(drawn.inputs), torch.from_numpy(drawn.targets))

    run = Run(f"peer, {rate:g}", steps, advance, lambda inputs, targets: float(peer.loss(inputs, targets, "sum")))
    return run, peer.num_parameters()


def firn_run(corpus: Corpus, steps: int, parameters: int) -> Run:
    """firn's default recipe in at most so many parameters."""
    shapes = [
        ModelSettings(
            vocab_size=corpus.vocab_size,
            context=SMALL.window,
            layers=SMALL.layers,
            width=SMALL.width,
            heads=SMALL.width // 64,
            ffn_width=size,
            normalise_embedding=True,
        )
        for size in range(64, 4 * SMALL.width, 32)
    ]
    settings = TrainSettings(steps=steps, window=SMALL.window, batch=OUR_WINDOWS)
    plan = plan_of(corpus, steps, OUR_WINDOWS)
    trainers = (Trainer(settings, shape, corpus, plan, choose("auto", "cpu")) for shape in reversed(shapes))
    trainer = next(trainer for trainer in trainers if trainer.model.num_parameters() <= parameters)
    trainer.model.init_weights(0)

    def advance(step: int) -> None:
        trainer.update(step, batch(corpus, plan, step)).read()

    name = f"firn, {steps} steps of {OUR_WINDOWS} windows, {trainer.model.num_parameters():,} parameters"
    return Run(name, steps, advance, lambda x, y: float(trainer.model.loss(x, y)))


def plan_of(corpus: Corpus, steps: int, windows: int) -> BatchPlan:
    """The batches of so many steps: the beginning of any longer plan's."""
    return make_plan(corpus, TrainSettings(steps=steps, window=SMALL.window, batch=windows).stages)


def race(runs: list[Run]) -> None:
    """All runs to their ends, the one that is furthest behind always next."""
    while any(run.done < run.steps for run in runs):
        min(runs, key=lambda run: run.done / run.steps).step()


def time_to_loss(corpus: Corpus, steps: int) -> None:
    """Print the seconds to the peer's final held-out loss, as a ratio."""
    peer, parameters = peer_run(corpus, steps, PEER_RATE)
    print(f"peer: {steps} steps of {PEER_WINDOWS} windows, {parameters:,} parameters, fp32")
    # As many tokens as that share of the peer's; the share of its seconds is what is printed.
    ours = [firn_run(corpus, round(steps * share * PEER_WINDOWS / OUR_WINDOWS), parameters) for share in FRACTIONS]
    race([peer, *ours])
    bar = peer.held_out(corpus)
    print(f"{peer.name}: held-out loss {bar:.3f} after {peer.seconds:.1f} s")
    reached = None
    for run in ours:
        loss, share = run.held_out(corpus), run.seconds / peer.seconds
        print(f"{run.name}: held-out loss {loss:.3f} after {run.seconds:.1f} s ({share:.2f})")
        if loss <= bar and reached is None:
            reached = share
    print("time to the peer's final loss: " + (f"{reached:.2f} of the peer's" if reached else "not reached"), end="")
    print(" (at most 0.25)")


def main() -> None:
    """Both parts, or a sweep of the peer's learning rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("speed", "time-to-loss"))
    parser.add_argument("--rounds", type=int, default=10, help="of part 1")
    parser.add_argument("--same-memory", action="store_true", help="the peers keep the memory of a step, too")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and steps")
    parser.add_argument("--sweep", help="learning rates of the peer to try in part 2")
    options = parser.parse_args()
    steps = 400 if options.quick else PEER_STEPS
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        if options.only != "time-to-loss" and not options.sweep:
            speed(folder, options.threads, 3 if options.quick else options.rounds, options.same_memory)
        if options.only == "speed":
            return
        with settled(choose("fp32", "cpu")):
            corpus = python_corpus(folder, SMALL.vocabulary)
            if options.sweep:
                runs = [peer_run(corpus, steps, float(rate))[0] for rate in options.sweep.split(",")]
                race(runs)
                for run in runs:
                    print(f"{run.name}: held-out loss {run.held_out(corpus):.3f}", flush=True)
                return
            time_to_loss(corpus, steps)


if __name__ == "__main__":
    main()

"""Training on a CPU: firn's loop beside a plain GPT-2 trained as nanoGPT trains one, step by step in one process.

    python bench/train_cpu.py [--steps 500] [--threads 2] [--only speed]
    python bench/train_cpu.py --sweep 1e-3,2e-3,4e-3,8e-3      find the peer's best learning rate

Text: the sources of Python's standard library and the topics that come with pydoc, through firn's tokenizer and token
stages, an eighth of the modules held out. Both sides read the same batches.

The peer is written here, in nanoGPT's way: learned positions, pre-norm blocks without biases, GELU, embeddings tied
to the head; AdamW (0.9, 0.95), decay 0.1 on matrices, gradients clipped at 1, a warm-up and a cosine down to a tenth;
fp32, which is what nanoGPT computes in on a CPU. Its learning rate is the best of 1e-3, 2e-3 and 4e-3, which end at
held-out losses of 4.89, 4.72 and 5.01.

1. Tokens/s of one shape, firn's `gpt2` preset and AdamW against the peer: fp32 against fp32, and bf16 (where the
   processor has it) against the peer under autocast. The ratio is the median over steps taken in turns.
2. Time to the peer's final held-out loss. firn's default recipe (Qwen3's shape, untied and normalised embeddings with
   rates of their own, Muon, warmup-stable-decay) with no more parameters than the peer is trained for a few fractions
   of the peer's steps, each a run of its own. The shortest one that ends at or below the peer's loss counts, with its
   seconds over the peer's. Whichever run is furthest behind takes the next step, so that noise hits all alike.

What limits it: most of the gain is fewer tokens to a loss, and at these sizes most of that is embeddings learned at a
rate of their own; a longer run would shrink it. Matrix products at width 128 stay far below the processor's peak.
"""

from __future__ import annotations

import argparse
import math
import pydoc_data.topics
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from firn.core.hashing import document_id
from firn.core.schema import DOCUMENT
from firn.core.split import SplitSettings
from firn.core.stage import Stage, Task, Work, execute
from firn.core.store import Store
from firn.model.config import ModelSettings
from firn.tokens import bpe, encode
from firn.tokens.batch import batch
from firn.tokens.bpe import TokenizerSettings
from firn.tokens.corpus import Corpus
from firn.tokens.encode import TokensSettings
from firn.tokens.mixture import BatchPlan, make_plan
from firn.tokens.validation import validation_windows
from firn.train.runtime import choose, settled
from firn.train.settings import OptimizerSettings, TrainSettings
from firn.train.trainer import Trainer

SPLIT = SplitSettings(validation=0.125)
VOCABULARY = 2048
LAYERS, WIDTH, HEADS, WINDOW, BATCH = 4, 128, 4, 256, 8
PEER_RATE = 2e-3
FRACTIONS = (0.05, 0.10, 0.15, 0.20, 0.30)
HELD_OUT_TOKENS = 32_768


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


def python_corpus(folder: str) -> Corpus:
    """The tokens, under a tokenizer trained on them."""
    store = Store(folder)
    documents = execute(Task(Stage("documents", 1, write_documents), None, (), "python"), store)
    tokenizer = execute(bpe.task(TokenizerSettings(vocab_size=VOCABULARY, split=SPLIT), [documents]), store)
    shards = [execute(task, store) for task in encode.tasks(TokensSettings(split=SPLIT), [documents], tokenizer)]
    return Corpus.open(store, shards, tokenizer)


class PeerBlock(nn.Module):
    """Attention and feed-forward, each behind a LayerNorm."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        B, T, D = x.shape
        q, k, v = self.qkv(self.before_attention(x)).view(B, T, 3, self.heads, D // self.heads).unbind(2)
        y = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (q, k, v)), is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, D))
        return x + self.down(F.gelu(self.up(self.before_mlp(x))))


class Peer:
    """A GPT-2 and its AdamW, as nanoGPT has them."""

    def __init__(self, steps: int, rate: float, layers: int, width: int, heads: int, window: int, vocabulary: int):
        self.steps, self.rate, self.warmup, self.step_number = steps, rate, max(1, steps // 20), 0
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(window, width)
        self.blocks = nn.Sequential(*(PeerBlock(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width, bias=False), nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        self.model = nn.ModuleList((self.tokens, self.positions, self.blocks, self.norm, self.head))
        torch.manual_seed(0)
        for name, parameter in self.model.named_parameters():
            if parameter.ndim == 2:
                last = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, 0.0, 0.02 / math.sqrt(2 * layers) if last else 0.02)
        parameters = list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim == 2], "weight_decay": 0.1},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95))

    def num_parameters(self) -> int:
        """Shared ones once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def loss(self, inputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """Nats per target."""
        x = self.tokens(inputs) + self.positions(torch.arange(inputs.shape[1]))
        logits = self.head(self.norm(self.blocks(x)))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction=reduction)

    def step(self, inputs: Tensor, targets: Tensor, autocast: bool = False) -> None:
        """One update."""
        done = max(0.0, (self.step_number - self.warmup) / max(1, self.steps - self.warmup))
        factor = min(1.0, (self.step_number + 1) / (self.warmup + 1)) * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * factor
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = self.loss(inputs, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step_number += 1


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
        for inputs, targets in validation_windows(corpus, "python", WINDOW):
            nats += self._loss(torch.from_numpy(inputs)[None], torch.from_numpy(targets)[None])
            count += int((targets >= 0).sum())
            if count >= HELD_OUT_TOKENS:
                break
        return nats / count


def peer_run(corpus: Corpus, steps: int, rate: float) -> tuple[Run, int]:
    """The peer's run and its number of parameters."""
    peer, plan = Peer(steps, rate, LAYERS, WIDTH, HEADS, WINDOW, corpus.vocab_size), plan_of(corpus, steps)

    def advance(step: int) -> None:
        drawn = batch(corpus, plan, step)
        peer.step(torch.from_numpy(drawn.inputs), torch.from_numpy(drawn.targets))

    run = Run(f"peer, {rate:g}", steps, advance, lambda inputs, targets: float(peer.loss(inputs, targets, "sum")))
    return run, peer.num_parameters()


def firn_run(corpus: Corpus, steps: int, parameters: int) -> Run:
    """firn's default recipe in at most so many parameters."""
    sizes = range(64, 4 * WIDTH, 32)
    shapes = [
        ModelSettings(
            vocab_size=corpus.vocab_size,
            context=WINDOW,
            layers=LAYERS,
            width=WIDTH,
            heads=WIDTH // 64,
            ffn_width=size,
            normalise_embedding=True,
        )
        for size in sizes
    ]
    settings = TrainSettings(steps=steps, window=WINDOW, batch=BATCH)
    plan = plan_of(corpus, steps)
    trainers = (Trainer(settings, shape, corpus, plan, choose("auto", "cpu")) for shape in reversed(shapes))
    trainer = next(trainer for trainer in trainers if trainer.model.num_parameters() <= parameters)
    trainer.model.init_weights(0)
    print(f"firn: {steps} steps, {trainer.model.num_parameters():,} parameters, {trainer.runtime.precision}")

    def advance(step: int) -> None:
        trainer.update(step, batch(corpus, plan, step))

    return Run(f"firn, {steps} steps", steps, advance, lambda x, y: float(trainer.model.loss(x, y)))


def plan_of(corpus: Corpus, steps: int) -> BatchPlan:
    """The batches of so many steps: the beginning of any longer plan's."""
    return make_plan(corpus, TrainSettings(steps=steps, window=WINDOW, batch=BATCH).stages)


def race(runs: list[Run]) -> None:
    """All runs to their ends, the one that is furthest behind always next."""
    while any(run.done < run.steps for run in runs):
        min(runs, key=lambda run: run.done / run.steps).step()


def time_to_loss(corpus: Corpus, steps: int) -> None:
    """Print the seconds to the peer's final held-out loss, as a ratio."""
    peer, parameters = peer_run(corpus, steps, PEER_RATE)
    print(f"peer: {steps} steps, {parameters:,} parameters, fp32")
    ours = [firn_run(corpus, round(steps * fraction), parameters) for fraction in FRACTIONS]
    race([peer, *ours])
    bar = peer.held_out(corpus)
    print(f"{peer.name:>16}: held-out loss {bar:.3f} after {peer.seconds:.1f} s")
    reached = None
    for run in ours:
        loss = run.held_out(corpus)
        print(f"{run.name:>16}: held-out loss {loss:.3f} after {run.seconds:.1f} s ({run.seconds / peer.seconds:.2f})")
        if loss <= bar and reached is None:
            reached = run
    if reached is None:
        print("time to the peer's final loss: not reached")
    else:
        print(f"time to the peer's final loss: {reached.seconds / peer.seconds:.2f} of the peer's (at most 0.33)")


def speed(corpus: Corpus, layers: int, width: int, heads: int, window: int, windows: int, vocabulary: int) -> None:
    """Print tokens/s of one shape, both sides in turns."""
    plan = make_plan(corpus, TrainSettings(steps=1000, window=window, batch=windows).stages)
    shape = ModelSettings(
        preset="gpt2", vocab_size=vocabulary, context=window, layers=layers, width=width, heads=heads, tied=True
    )
    settings = TrainSettings(
        steps=1000, window=window, batch=windows, optimizer=OptimizerSettings(matrices="adamw", matrix_lr=1e-3, clip=1)
    )
    for precision in ("fp32", "bf16") if choose("auto", "cpu").precision == "bf16" else ("fp32",):
        trainer = Trainer(settings, shape, corpus, plan, choose(precision, "cpu"))
        trainer.model.init_weights(0)
        peer = Peer(1000, 1e-3, layers, width, heads, window, vocabulary)
        ours, theirs = [], []
        for step in range(12):
            drawn = batch(corpus, plan, step)
            inputs, targets = torch.from_numpy(drawn.inputs), torch.from_numpy(drawn.targets)
            began = time.perf_counter()
            trainer.update(step, drawn)
            middle = time.perf_counter()
            peer.step(inputs, targets, autocast=precision == "bf16")
            theirs.append(time.perf_counter() - middle)
            ours.append(middle - began)
        del ours[:2], theirs[:2]
        rates = [window * windows / statistics.median(seconds) for seconds in (ours, theirs)]
        ratio = statistics.median(other / own for own, other in zip(ours, theirs, strict=True))
        name = f"{layers} layers, width {width}, {windows} x {window}, {peer.num_parameters() / 1e6:.1f} M, {precision}"
        print(f"{name}: firn {rates[0]:,.0f} tokens/s, peer {rates[1]:,.0f}, ratio {ratio:.2f} (at least 0.9)")


def main() -> None:
    """Both parts, or a sweep of the peer's learning rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("speed", "time-to-loss"))
    parser.add_argument("--sweep", help="learning rates of the peer to try")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder, settled(choose("fp32", "cpu")):
        corpus = python_corpus(folder)
        if options.sweep:
            runs = [peer_run(corpus, options.steps, float(rate))[0] for rate in options.sweep.split(",")]
            race(runs)
            for run in runs:
                print(f"{run.name}: held-out loss {run.held_out(corpus):.3f}", flush=True)
            return
        if options.only != "time-to-loss":
            speed(corpus, LAYERS, WIDTH, HEADS, WINDOW, BATCH, VOCABULARY)
            speed(corpus, 6, 384, 6, 256, 8, 8192)
        if options.only != "speed":
            time_to_loss(corpus, options.steps)


if __name__ == "__main__":
    main()

"""GPT-2 small and its speedrun: the published recipes' own numbers, and both run end to end on web text in FineWeb's
published layout, with GPT-2's tokenizer, where nothing but size and place is changed."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from firn.model.build import build
from firn.run import planning, training
from firn.run.folder import RunFolder
from firn.run.pipeline import Outcome, run
from firn.run.recipe import Recipe, load
from firn.train.muon import Muon
from firn.train.optim import Optimizers
from firn.train.schedule import learning_rate

RECIPES = Path(__file__).parents[2] / "recipes"
GPT2, SPEEDRUN = RECIPES / "gpt2-124m.yaml", RECIPES / "speedrun-124m.yaml"
VOCABULARY = 50_257
STEPS, WINDOW, BATCH, PAGES = 12, 128, 4, 40

#: What a run that takes seconds changes. Heads keep their published width, 64 and 128.
SMALL = {
    GPT2: ("model.layers=2", "model.width=128", "model.heads=2", "train.schedule.warmup=2"),
    SPEEDRUN: ("model.layers=2", "model.width=128", "model.heads=1", "model.ffn_width=256"),
}

#: Group of parameters -> optimizer, rate and share of decay: llm.c's scripts/run_gpt2_124M.sh, and plain Muon with a
#: tuned AdamW in modded-nanogpt's records/track_3_optimization, which decays vectors by 0.001, too.
PUBLISHED: dict[Path, dict[str, tuple[type[torch.optim.Optimizer], float, float]]] = {
    GPT2: {
        "matrix": (torch.optim.AdamW, 6e-4, 0.1),
        "embedding": (torch.optim.AdamW, 6e-4, 0.1),
        "vector": (torch.optim.AdamW, 6e-4, 0.0),
    },
    SPEEDRUN: {
        "matrix": (Muon, 0.025, 0.05),
        "embedding": (torch.optim.AdamW, 0.7, 0.001),
        "head": (torch.optim.AdamW, 0.004, 0.001),
        "vector": (torch.optim.AdamW, 0.015, 0.0),
    },
}

#: Parameters, and tokens in training.
SIZES = {GPT2: (124_439_808, 10_255_073_280), SPEEDRUN: (162_151_680, 1_703_936_000)}

both = pytest.mark.parametrize("path", [GPT2, SPEEDRUN], ids=lambda path: path.stem)


def parameters(recipe: Recipe) -> dict[str, int]:
    with torch.device("meta"):
        model = build(recipe.model.model_copy(update={"vocab_size": VOCABULARY}))
    return {name: parameter.numel() for name, parameter in model.named_parameters()}


def in_blocks(sizes: dict[str, int]) -> int:
    return sum(size for name, size in sizes.items() if name.startswith("layers.") and name.endswith("proj.weight"))


def test_gpt2_small_has_the_size_that_was_published() -> None:
    assert sum(parameters(load(GPT2)).values()) == SIZES[GPT2][0]


def test_the_speedrun_has_gpt2s_blocks_and_a_head_of_its_own() -> None:
    sizes, width, layers = parameters(load(SPEEDRUN)), 768, 12
    assert in_blocks(sizes) == in_blocks(parameters(load(GPT2))) == layers * 12 * width**2 == 84_934_656
    norms = layers * (2 * width + 2 * 128) + width
    assert sum(sizes.values()) == in_blocks(sizes) + 2 * VOCABULARY * width + norms == SIZES[SPEEDRUN][0]


def test_both_read_as_many_tokens_as_was_published() -> None:
    for path, steps in ((GPT2, 19_560), (SPEEDRUN, 3250)):
        settings, (_, tokens) = load(path).train, SIZES[path]
        assert settings.window * settings.batch == 524_288
        assert sum(stage.tokens for stage in settings.stages) == steps * 524_288 == tokens


def test_the_rates_rise_and_fall_as_published() -> None:
    gpt2, speedrun = load(GPT2).train, load(SPEEDRUN).train
    # A rise over 700 steps, then half a cosine down to nothing.
    turn = 700 + (19_560 - 700) // 2
    for step, factor in ((0, 1 / 701), (350, 351 / 701), (700, 1.0), (turn, 0.5), (19_559, 0.0)):
        assert learning_rate(gpt2.schedule, step, gpt2.steps) == pytest.approx(factor, abs=1e-7)
    # Flat for three tenths, then a straight line.
    for step, factor in ((0, 1.0), (975, 1.0), (2113, 1137 / 2275), (3249, 1 / 2275)):
        assert learning_rate(speedrun.schedule, step, speedrun.steps) == pytest.approx(factor)


def test_a_run_that_ends_in_its_warm_up_says_so() -> None:
    def said(*overrides: str) -> str:
        recipe = load(GPT2, ["tokenizer.file=null", "tokenizer.vocab_size=50257", *overrides])
        return " ".join(training.remarks(recipe, training.beginning(recipe, RECIPES)))

    assert "train.schedule.warmup is 700" in said("train.steps=700")
    assert said("train.steps=701") == ""


@both
def test_every_parameter_is_updated_as_published(path: Path) -> None:
    recipe = load(path, SMALL[path])
    settings = recipe.train.optimizer
    optimizers = Optimizers(build(recipe.model.model_copy(update={"vocab_size": 64})), settings)
    found = {
        optimizers.names[parameter]: (type(optimizer), group["lr"], group["weight_decay"])
        for optimizer in optimizers.all
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    expected = {name: PUBLISHED[path][group] for group, names in optimizers.groups.items() for name in names}
    assert found == expected
    assert {group for group, names in optimizers.groups.items() if names} == set(PUBLISHED[path])
    betas, epsilon, clip = ((0.9, 0.95), 1e-8, 1.0) if path == GPT2 else ((0.8, 0.95), 1e-10, None)
    adam = next(optimizer for optimizer in optimizers.all if isinstance(optimizer, torch.optim.AdamW))
    assert (adam.defaults["betas"], adam.defaults["eps"], settings.clip) == (betas, epsilon, clip)
    if optimizers.muon is not None:
        optimizers.step(0, 1.0)
        assert optimizers.muon.param_groups[0]["momentum"] == 0.95


def fineweb(folder: Path, pages: list[dict[str, Any]], tokenizer: Tokenizer) -> int:
    """Write pages as two files of FineWeb's sample-10BT; their tokens, counted as its authors count them."""
    counts = [len(tokenizer.encode(page["text"]).ids) for page in pages]
    table = pa.table(
        {
            "text": [page["text"] for page in pages],
            "id": [f"<urn:uuid:00000000-0000-0000-0000-{number:012d}>" for number in range(len(pages))],
            "dump": ["CC-MAIN-2019-18"] * len(pages),
            "url": [page["url"] for page in pages],
            "date": [page["timestamp"].replace(" ", "T") + "Z" for page in pages],
            "file_path": ["s3://commoncrawl/crawl-data/CC-MAIN-2019-18/segments/1/warc/1.warc.gz"] * len(pages),
            "language": ["en"] * len(pages),
            "language_score": [0.95] * len(pages),
            "token_count": pa.array(counts, pa.int64()),
        }
    )
    files = folder / "sample" / "10BT"
    files.mkdir(parents=True)
    half = len(pages) // 2
    for number, rows in enumerate((table[:half], table[half:])):
        pq.write_table(rows, files / f"{number:03d}_00000.parquet")
    return sum(counts)


@both
def test_it_runs_to_a_model_that_others_open(path: Path, tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    tokenizer = shared_data("tok/gpt2/gpt2.tokenizer.json")
    with gzip.open(shared_data("text/c4/c4_sample.jsonl.gz"), "rt") as lines:
        pages = [json.loads(line) for line, _ in zip(lines, range(PAGES), strict=False)]
    counted = fineweb(tmp_path / "fineweb", pages, Tokenizer.from_file(str(tokenizer)))
    where = (f"sources.web.base={tmp_path}/fineweb", "sources.web.share=1", f"tokenizer.file={tokenizer}")

    whole = planning.plan(load(path, where), tmp_path / "runs")
    assert (whole.parameters, whole.tokens) == SIZES[path]
    # Six FLOPs for each weight of blocks and head, and 12 x layers x width x window for attention.
    per_token = 6 * (84_934_656 + VOCABULARY * 768) + 12 * 12 * 768 * 1024
    assert whole.flops == pytest.approx(per_token * whole.tokens)

    size = (f"train.steps={STEPS}", f"train.window={WINDOW}", f"train.batch={BATCH}", "train.micro_batch=2")
    watch = (
        "watch.validate_every=6",
        "watch.validation_tokens=1024",
        "watch.checkpoint_every=6",
        "report.max_tokens=4",
    )
    recipe = load(path, [*where, *size, *watch, *SMALL[path], "split.validation=0.1", "report.ladder=false"])
    outcome = run(recipe, tmp_path / "runs", workers=1, mode="quiet")

    assert {(flow.stage, flow.verdicts["kept"]) for flow in outcome.flows} >= {("read", PAGES), ("filter", PAGES)}
    assert min(outcome.held_out.values()) > 0
    folder = RunFolder.open(recipe.name, tmp_path / "runs")
    corpus, _, _ = training.opened(folder)
    web = corpus.sources["web"]
    assert corpus.vocab_size == VOCABULARY
    assert len(web.train) + len(web.validation) == counted + PAGES  # each page ends with one token more

    steps = [record for record in training.metrics(folder) if record["kind"] == "step"]
    assert [record["tokens"] for record in steps] == [BATCH * WINDOW * (step + 1) for step in range(STEPS)]
    assert [record["lr"] for record in steps] == pytest.approx(rates(path))
    assert steps[0]["loss"] == pytest.approx(math.log(VOCABULARY), abs=0.1)
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.5
    assert_opens(path, outcome, recipe)


def rates(path: Path) -> list[float]:
    """Factors on the learning rates, by hand."""
    if path == SPEEDRUN:
        return [min(1.0, (STEPS - step) / (0.7 * STEPS)) for step in range(STEPS)]
    falls = [0.5 + 0.5 * math.cos(math.pi * step / (STEPS - 2)) for step in range(STEPS - 2)]
    return [1 / 3, 2 / 3, *falls]


def assert_opens(path: Path, outcome: Outcome, recipe: Recipe) -> None:
    """transformers computes with the exported folder what firn computes with the weights of the last checkpoint."""
    newest = max(Path(outcome.model).parent.glob("checkpoints/*/model*"), key=lambda file: file.parent.name)
    ours, weights = build(recipe.model.model_copy(update={"vocab_size": VOCABULARY})), load_file(newest)
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(weights[name])
    theirs = AutoModelForCausalLM.from_pretrained(outcome.model).eval()
    assert type(theirs).__name__ == {GPT2: "GPT2LMHeadModel", SPEEDRUN: "Qwen3ForCausalLM"}[path]
    text = "In a shocking finding, scientists discovered a herd of unicorns."
    tokens = AutoTokenizer.from_pretrained(outcome.model)(text, return_tensors="pt").input_ids
    assert tokens[0, :4].tolist() == [818, 257, 14702, 4917]
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits, ours(tokens), atol=1e-4, rtol=1e-4)

"""The run page, filled in from what a run has so far."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from firn.core.files import atomic_write
from firn.core.hashing import fingerprint
from firn.measure.figures import FIGURES, figures, held_out
from firn.measure.samples import complete
from firn.model import hf
from firn.run import data_page, training
from firn.run.folder import RunFolder
from firn.run.recipe import Recipe
from firn.run.shape import Continued
from firn.serve import report
from firn.serve.numbers import count, duration, flops
from firn.serve.page import Completion, Cost, Curve, Page, Rung, Share
from firn.tokens.corpus import Corpus
from firn.train.result import TrainResult

_RUNGS = {
    "zlib": "zlib -9",
    "xz": "xz -9",
    "xz_primed": "xz -9, primed with training text",
    "order_0": "bytes alone",
    "order_1": "bigram",
    **{f"order_{n}": f"order-{n} characters" for n in range(2, 6)},
}


def draw(run: str | Path, runs: str | Path = "runs") -> Path:
    """Draw the page of a run anew; its path. Raises InputError where there is no such run."""
    folder = RunFolder.open(run, runs)
    recipe = Recipe.model_validate(folder.state["recipe"])
    path = folder.path / "report.html"
    report.write(page(recipe, folder), path)
    return path


def page(recipe: Recipe, folder: RunFolder) -> Page:
    """What the page shows. Parts that the run has not come to are left out."""
    data = data_page.page(recipe, folder)
    if "plan" not in folder.state:
        return data
    corpus = training.opened(folder)[0]
    result = training.result(folder)
    records = training.metrics(folder)
    rungs = _ladder(folder, corpus, result)
    return replace(
        data,
        summary=_summary(recipe, folder, corpus, result, rungs),
        facts=_facts(corpus, folder, result),
        mixture=_mixture(folder, corpus),
        training=[Curve("loss", [(r["tokens"], float(r["loss"])) for r in records if r["kind"] == "step"])],
        validation=_validation(records),
        figure=_figure(records),
        ladder=rungs,
        completions=completions(recipe, folder, result),
        costs=[*data.costs, *_training_cost(folder, result)],
    )


def completions(recipe: Recipe, folder: RunFolder, result: TrainResult | None) -> list[Completion]:
    """What the final model makes of the recipe's prompts; written once."""
    if result is None or folder.training is None or not recipe.report.prompts or recipe.train.objective == "masked":
        return []
    settings = recipe.report
    name = fingerprint([settings.prompts, settings.max_tokens, settings.temperature, result.weights])[:8]
    file = folder.training / f"completions-{name}.json"
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        corpus, _, _ = training.opened(folder)
        model = hf.load(folder.training / "model")
        found = complete(
            model,
            corpus.tokenizer,
            settings.prompts,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
        )
        atomic_write(file, json.dumps(found, indent=1).encode())
    return [Completion(sample["prompt"], sample["completion"]) for sample in found]


def _mixture(folder: RunFolder, corpus: Corpus | None) -> list[Share]:
    if corpus is None:
        return []
    shares = []
    for use in training.mixture(folder, corpus):
        source = corpus.sources[use.source]
        shares.append(
            Share(
                source=use.source,
                documents=source.train.documents,
                bytes=source.train.bytes,
                tokens=use.available,
                validation_tokens=len(source.validation),
                weight=use.share,
                drawn=use.tokens,
            )
        )
    return shares


def _figure(records: list[dict[str, object]]) -> str:
    """What the held-out curves are of, in words."""
    return FIGURES[held_out(next((record for record in records if record["kind"] == "validation"), {}))[0]]


def _validation(records: list[dict[str, object]]) -> list[Curve]:
    tokens = 0.0
    points: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if record["kind"] == "step":
            tokens = float(str(record["tokens"]))
        elif record["kind"] == "validation":
            for source, value in held_out(record)[1].items():
                points.setdefault(source, []).append((tokens, float(value)))
    return [Curve(source, line) for source, line in points.items()]


def _ladder(folder: RunFolder, corpus: Corpus | None, result: TrainResult | None) -> list[Rung]:
    """Rungs from the tallest bar to the shortest, by the mean over the sources; the run's own model among them."""
    found = training.known_ladder(folder, corpus) if corpus is not None else {}
    names = list(dict.fromkeys(name for rungs in found.values() for name in rungs))
    rungs = [Rung(_RUNGS.get(n, n), {s: found[s][n] for s in found if n in found[s]}) for n in names]
    if result is not None and (own := figures(result.validation).get("bits_per_byte")):
        rungs.append(Rung("this run's model", own, own=True))
    return sorted(rungs, key=lambda rung: -sum(rung.bits.values()) / max(1, len(rung.bits)))


def _facts(corpus: Corpus | None, folder: RunFolder, result: TrainResult | None) -> dict[str, str]:
    progressed = training.progressed(folder)
    cost = {"training has cost": progressed.cost} if progressed and progressed.cost else {}
    if result is None:
        return {"status": folder.status, **cost}
    facts = {"parameters": count(result.parameters), "trained on": f"{count(result.tokens)} tokens"}
    for figure, values in figures(result.validation).items():
        facts |= {f"{FIGURES[figure]}, {source}": f"{value:.3f}" for source, value in values.items()}
    facts["training"] = duration(result.seconds)
    facts["training compute"] = flops(result.flops)
    facts |= cost
    if corpus is not None:
        facts["vocabulary"] = count(corpus.vocab_size)
    return facts


def _began(recipe: Recipe) -> str:
    start = recipe.train.start or (recipe.model.start if isinstance(recipe.model, Continued) else None)
    return f"on from {start}" if start else "from scratch"


def _summary(
    recipe: Recipe, folder: RunFolder, corpus: Corpus | None, result: TrainResult | None, rungs: list[Rung]
) -> str:
    if result is None or corpus is None:
        return "This run is not finished; the page shows what is there."
    documents = sum(source.documents for source in corpus.sources.values())
    text = (
        f"A model of {folder.state.get('architecture', 'unknown')}'s shape with {count(result.parameters)} parameters, "
        f"trained {_began(recipe)} on {count(documents)} documents from {' and '.join(corpus.sources)}."
    )
    xz = next((rung.bits for rung in rungs if rung.name == _RUNGS["xz"]), {})
    compared = [
        f"{bits:.2f} for {source} (xz needs {xz[source]:.2f})"
        for source, bits in figures(result.validation).get("bits_per_byte", {}).items()
        if source in xz
    ]
    if compared:
        text += f" Bits it needs for a byte of text it never saw: {', '.join(compared)}."
    return text


def _training_cost(folder: RunFolder, result: TrainResult | None) -> list[Cost]:
    if result is None:
        return []
    memory = max((r.get("memory", 0) for r in training.metrics(folder) if r["kind"] == "step"), default=0)
    return [Cost("train", 1, result.seconds, memory, 0, result.flops)]

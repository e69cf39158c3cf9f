"""The model card: what a model was made of and what it can do, in the README.md of its Hugging Face folder.

It is the same for the same recipe and data on the same kind of device: what the clock or a price list says is not in
it, but in result.json, the metrics and the run page.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

import firn
from firn.core.hashing import fingerprint
from firn.data.language import UNDETERMINED
from firn.data.rights import spdx
from firn.measure.figures import FIGURES, figures
from firn.model.build import Shape
from firn.model.encoder_config import EncoderSettings
from firn.model.hf_config import unexportable
from firn.run.composition import composition
from firn.run.recipe import Recipe
from firn.run.starting import Beginning
from firn.serve.numbers import count, flops, share, size
from firn.serve.redact import shown, visible
from firn.tokens.batch import total_steps, total_tokens
from firn.tokens.corpus import Corpus
from firn.tokens.encode import Dates
from firn.tokens.mixture import BatchPlan, usage
from firn.train.result import TrainResult

#: Rungs of the ladder that stand beside the model.
_COMPRESSORS = {"zlib": "zlib -9", "xz": "xz -9"}
#: Sections of a recipe that change no byte of the model.
_ASIDE = ("name", "watch", "report", "engine", "store", "retain")
#: Licences and languages that are named; the rest is summed up.
_MOST = 20
#: Share of the tokens from which a language is one of the model's.
_SPOKEN = 0.01
#: Licences of which the hub has an id that is the SPDX id in small letters.
_HUB = (
    "apache-2.0 mit cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 "
    "cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 "
    "cc-by-nc-sa-4.0 bsd-2-clause bsd-3-clause isc unlicense wtfpl mpl-2.0 artistic-2.0 zlib odc-by pddl"
).split()

_DECODER = """It continues text; it was not taught to follow instructions, and it repeats what its sources say, right or
wrong. Each document of the training text began after an end-of-text token; give one before a prompt."""

_ENCODER = """It fills in tokens hidden behind the mask token, seeing both sides, and its states are there to be
trained on for classifying and finding texts; it does not continue text. Each document of the training text began after
an end-of-text token."""

_CODE = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained("path/to/this/folder") for kind in (AutoModelForCausalLM, AutoTokenizer))
```"""


def card(
    recipe: Recipe,
    begin: Beginning,
    corpus: Corpus,
    plan: BatchPlan,
    result: TrainResult,
    ladder: Mapping[str, Mapping[str, float]],
) -> str:
    """Markdown with the metadata that the Hugging Face hub reads. ladder: as `firn.measure.ladder` gives it; may be
    empty."""
    model, is_encoder = begin.shape, isinstance(begin.shape, EncoderSettings)
    licences = composition(corpus, plan, "license")
    return f"""---
{yaml.safe_dump(_metadata(begin.shape, licences, composition(corpus, plan, "language")), sort_keys=False).strip()}
---

# {recipe.name}

{_kinds(begin)} with firn {firn.__version__}: {model.preset} shape, {model.layers} layers, width
{model.width}, context {model.context} tokens, a vocabulary of {corpus.vocab_size:,}.

{_ENCODER if is_encoder else _DECODER}

{_opening(model)}

## Training text

{count(total_tokens(plan))} tokens in {total_steps(plan):,} steps. Validation is held out by group (host, module,
repository), {recipe.split.validation:.1%} of them.

{_drawn(recipe, corpus, plan)}

Corpus {corpus.identity}.

### Dates

Of the training documents. Published is when a text was written, as far as its source says; crawled is when it was
fetched.

{_dates(corpus)}

### Licences

As the documents' sources name them, by share of the tokens drawn.

{_licences(licences)}

## Compute

{_compute(recipe, result)}

## Evaluation

{_evaluation(result, ladder)}

## Made by

firn {firn.__version__}, recipe {fingerprint(_recipe(recipe))}.
{_ancestry(begin)}"""


def _metadata(
    shape: Shape, licences: Mapping[str | None, float], languages: Mapping[str | None, float]
) -> dict[str, Any]:
    """What the hub reads. license: where all tokens have one and the same that the hub knows."""
    library = "transformers" if isinstance(shape, EncoderSettings) or unexportable(shape) is None else "firn"
    found: dict[str, Any] = {"library_name": library}
    found["pipeline_tag"] = "fill-mask" if isinstance(shape, EncoderSettings) else "text-generation"
    # ISO 639 codes: labels of other language models name the script as well (fra_Latn).
    codes = [(language or "").partition("_")[0] for language, part in languages.items() if part >= _SPOKEN]
    known = [code for code in codes if code.isascii() and code.isalpha() and len(code) in (2, 3)]
    if spoken := [code for code in dict.fromkeys(known) if code != UNDETERMINED][:_MOST]:
        found["language"] = spoken
    names = [spdx(licence or "").lower() for licence in licences]
    if len(names) == 1 and names[0] in _HUB:
        found["license"] = names[0]
    return {**found, "tags": ["firn", "base-model"]}


def _drawn(recipe: Recipe, corpus: Corpus, plan: BatchPlan) -> str:
    rows = []
    for use in usage(corpus, plan):
        source = corpus.sources[use.source]
        counts = (f"{source.documents:,}", size(source.bytes), count(use.available), count(use.tokens))
        rows.append((use.source, _kind(recipe, use.source), *counts, f"{use.epochs:.2f}"))
    return _table(("source", "kind", "documents", "text", "training tokens", "drawn", "epochs"), rows)


def _dates(corpus: Corpus) -> str:
    rows = []
    for name, source in corpus.sources.items():
        cells = [name]
        for column in ("published", "crawled"):
            dates = source.dates.get(column, Dates())
            days = f"{dates.first} to {dates.last}" if dates.documents else "unknown"
            cells += [days, share(dates.documents, source.train.documents)]
        rows.append(cells)
    return _table(("source", "published", "documents with it", "crawled", "documents with it"), rows)


def _licences(licences: Mapping[str | None, float]) -> str:
    rows = [
        ("none known" if licence is None else shown(licence[:100]), share(part, 1))
        for licence, part in licences.items()
    ]
    if rest := list(licences.values())[_MOST:]:
        rows = [*rows[:_MOST], (f"{len(rest):,} more", share(sum(rest), 1))]
    return _table(("licence", "tokens"), rows)


def _compute(recipe: Recipe, result: TrainResult) -> str:
    runtime, left_out = result.runtime, len(result.bad)
    rows = [
        ("tokens trained on", count(result.tokens)),
        ("optimizer steps", f"{result.steps:,}" + (f", {left_out:,} left out" if left_out else "")),
        ("parameters", f"{result.parameters:,}"),
        ("floating-point operations", flops(result.flops)),
        ("device", f"{runtime['device']}, {runtime['name']}"),
        ("precision", f"{runtime['precision']}, weights and optimizer state in fp32"),
        ("software", f"torch {runtime['library']}" + (", compiled" if runtime.get("compile") else "")),
        ("seed", str(recipe.train.seed)),
    ]
    return _table(("", ""), rows)


def _evaluation(result: TrainResult, ladder: Mapping[str, Mapping[str, float]]) -> str:
    """Every figure by source; beside bits per byte what compressors need for the same text."""
    found = figures(result.validation)
    if not found:
        return "No text was held out."
    beside = _COMPRESSORS if "bits_per_byte" in found and ladder else {}
    rows = [
        [
            source,
            *(f"{values[source]:.3f}" if source in values else "" for values in found.values()),
            *(f"{ladder[source][rung]:.3f}" if rung in ladder.get(source, {}) else "" for rung in beside),
        ]
        for source in dict.fromkeys(source for values in found.values() for source in values)
    ]
    columns = ("source", *(FIGURES[figure] for figure in found), *beside.values())
    said = ", and what compressors need for the same text" if beside else ""
    return f"All of the held-out text, by source{said}. Of bits and nats, less is better.\n\n{_table(columns, rows)}"


def _recipe(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe changes the model."""
    return {key: value for key, value in recipe.resolved().items() if key not in _ASIDE}


def _ancestry(begin: Beginning) -> str:
    """What the weights came by before this training; empty where they were random."""
    if not begin.ancestors:
        return ""
    rows = []
    for one in begin.ancestors:
        tokens = "" if one.tokens is None else f"{count(one.tokens)} tokens"
        rows.append((one.name, tokens, one.corpus or "", one.identity))
    return f"""
## Before this training

What its weights came by, the oldest first. The last column is a hash of what was taken over.

{_table(("from", "trained on", "corpus", "content"), rows)}
"""


def _kinds(begin: Beginning) -> str:
    """What was trained, and from what."""
    kind = "An encoder" if isinstance(begin.shape, EncoderSettings) else "A base model"
    return f"{kind} trained from scratch" if begin.start is None else f"{kind} trained on from {begin.said}"


def _opening(shape: Shape) -> str:
    """How the folder is opened: with transformers where it has the shape, else with firn alone, and why."""
    if isinstance(shape, EncoderSettings):
        return _CODE.replace("AutoModelForCausalLM", "AutoModelForMaskedLM")
    if reason := unexportable(shape):
        return f"It opens in firn alone ({reason}): `firn generate path/to/this/folder PROMPT`."
    return _CODE


def _kind(recipe: Recipe, source: str) -> str:
    settings = recipe.sources[source]
    return f"{settings.kind}, rules {settings.rules.preset}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text of anybody's as the cell of a table: one line that neither Markdown nor HTML reads anything into."""
    escaped = html.escape(" ".join(visible(text).split()), quote=False)
    return "".join(f"&#{ord(c)};" if c in "|[]`*\\" else c for c in escaped)

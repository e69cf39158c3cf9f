"""The model card: what a model was made of, in the README.md of its Hugging Face folder."""

from __future__ import annotations

import firn
from firn.model.build import Shape
from firn.model.encoder_config import EncoderSettings
from firn.model.hf_config import unexportable
from firn.run.recipe import Recipe
from firn.run.starting import Beginning
from firn.serve.numbers import count, size
from firn.tokens.batch import total_steps, total_tokens
from firn.tokens.corpus import Corpus
from firn.tokens.mixture import BatchPlan, usage

_DECODER = """It continues text; it was not taught to follow instructions, and it repeats what its sources say, right or
wrong. Each document of the training text began after an end-of-text token; give one before a prompt."""

_ENCODER = """It fills in tokens hidden behind the mask token, seeing both sides, and its states are there to be
trained on for classifying and finding texts; it does not continue text. Each document of the training text began after
an end-of-text token."""

_CODE = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained("path/to/this/folder") for kind in (AutoModelForCausalLM, AutoTokenizer))
```"""


def card(recipe: Recipe, begin: Beginning, corpus: Corpus, plan: BatchPlan) -> str:
    """Markdown with the metadata that the Hugging Face hub reads. The same for the same recipe and corpus."""
    model, is_encoder = begin.shape, isinstance(begin.shape, EncoderSettings)
    rows = [
        f"| {use.source} | {_kind(recipe, use.source)} | {corpus.sources[use.source].documents:,} | "
        f"{size(corpus.sources[use.source].bytes)} | {count(use.available)} | {count(use.tokens)} | {use.epochs:.2f} |"
        for use in usage(corpus, plan)
    ]
    return f"""---
library_name: transformers
pipeline_tag: {"fill-mask" if is_encoder else "text-generation"}
tags: [firn, base-model]
---

# {recipe.name}

{_kinds(begin)} with firn {firn.__version__}: {model.preset} shape, {model.layers} layers, width
{model.width}, context {model.context} tokens, a vocabulary of {corpus.vocab_size:,}.

{_ENCODER if is_encoder else _DECODER}

{_opening(model)}

## Training text

{count(total_tokens(plan))} tokens in {total_steps(plan):,} steps. Validation is held out by group (host, module,
repository), {recipe.split.validation:.1%} of them.

| source | kind | documents | text | training tokens | drawn | epochs |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Corpus {corpus.identity}.
{_ancestry(begin)}"""


def _ancestry(begin: Beginning) -> str:
    """What the weights came by before this training; empty where they were random."""
    if not begin.ancestors:
        return ""
    rows = []
    for one in begin.ancestors:
        tokens = "" if one.tokens is None else f"{count(one.tokens)} tokens"
        rows.append(f"| {one.name} | {tokens} | {one.corpus or ''} | {one.identity} |")
    return f"""
## Before this training

What its weights came by, the oldest first. The last column is a hash of what was taken over.

| from | trained on | corpus | content |
|---|---|---|---|
{chr(10).join(rows)}
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

"""The model card: what a model was made of, in the README.md of its Hugging Face folder."""

from __future__ import annotations

import firn
from firn.model.hf_config import unexportable
from firn.run.recipe import Recipe
from firn.serve.numbers import count, size
from firn.tokens.batch import total_steps, total_tokens
from firn.tokens.corpus import Corpus
from firn.tokens.mixture import BatchPlan, usage


def card(recipe: Recipe, corpus: Corpus, plan: BatchPlan) -> str:
    """Markdown with the metadata that the Hugging Face hub reads. The same for the same recipe and corpus."""
    model = recipe.model
    rows = [
        f"| {use.source} | {_kind(recipe, use.source)} | {corpus.sources[use.source].documents:,} | "
        f"{size(corpus.sources[use.source].bytes)} | {count(use.available)} | {count(use.tokens)} | {use.epochs:.2f} |"
        for use in usage(corpus, plan)
    ]
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [firn, base-model]
---

# {recipe.name}

A base model trained from scratch with firn {firn.__version__}: {model.preset} shape, {model.layers} layers, width
{model.width}, context {model.context} tokens, a vocabulary of {corpus.vocab_size:,}. It continues text; it was not
taught to follow instructions, and it repeats what its sources say, right or wrong.

{_opening(recipe)}

Each document of the training text began after an end-of-text token; give one before a prompt.

## Training text

{count(total_tokens(plan))} tokens in {total_steps(plan):,} steps. Validation is held out by group (host, module,
repository), {recipe.split.validation:.1%} of them.

| source | kind | documents | text | training tokens | drawn | epochs |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Corpus {corpus.identity}.
"""


def _opening(recipe: Recipe) -> str:
    """How the folder is opened: with transformers where it has the shape, else with firn alone, and why."""
    if reason := unexportable(recipe.model):
        return f"It opens in firn alone ({reason}): `firn generate path/to/this/folder PROMPT`."
    return """```python
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained("path/to/this/folder") for kind in (AutoModelForCausalLM, AutoTokenizer))
```"""


def _kind(recipe: Recipe, source: str) -> str:
    settings = recipe.sources[source]
    return f"{settings.kind}, rules {settings.rules.preset}"

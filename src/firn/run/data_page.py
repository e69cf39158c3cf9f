"""The run page as far as data goes: what became of the documents. It needs no torch, and a run page is built on it."""

from __future__ import annotations

from firn.run import accounts
from firn.run.examples import examples
from firn.run.folder import RunFolder
from firn.run.funnel import flows
from firn.run.recipe import Recipe
from firn.serve.numbers import count, share, size
from firn.serve.page import Cost, Page

_SUMMARY = "The data of this run is clean; no model is trained yet; firn run goes on from here."


def page(recipe: Recipe, folder: RunFolder) -> Page:
    """What the page shows of a run's data. Parts that the run has not come to are left out."""
    shards = folder.funnel()
    documents = examples(folder, shards)
    cleaning = accounts.cleaning(folder.store, folder.shards("accounts"), shards)
    facts: dict[str, str] = {"status": folder.status}
    if cleaning is not None:
        read, stays = (sum(getattr(part, key).documents for part in cleaning.sources) for key in ("read", "stays"))
        facts |= {
            "documents read": count(read),
            "documents that stay": f"{count(stays)} ({share(stays, read)})",
            "text that stays": size(sum(part.stays.bytes for part in cleaning.sources)),
            "tokens" if cleaning.counted else "tokens, estimated": count(
                sum(part.stays.tokens for part in cleaning.sources)
            ),
        }
    return Page(
        name=recipe.name,
        summary=_SUMMARY if folder.status == "cleaned" else "This run is not finished; the page shows what is there.",
        facts=facts,
        flows=flows(shards),
        cleaning=cleaning,
        kept=documents.kept,
        removed=documents.removed,
        cuts=documents.cuts,
        costs=costs(folder),
        recipe=recipe.to_yaml(),
        notes=documents.notes,
    )


def costs(folder: RunFolder) -> list[Cost]:
    """What each stage took."""
    found = []
    for stage in folder.state.get("shards", {}):
        manifests = folder.shards(stage)
        if manifests and not stage.startswith("why-"):
            found.append(
                Cost(
                    stage=stage,
                    shards=len(manifests),
                    seconds=sum(m.observed.get("seconds", 0.0) for m in manifests),
                    memory=max(m.observed.get("peak_memory", 0) for m in manifests),
                    bytes=sum(file.bytes for m in manifests for file in m.files.values()),
                )
            )
    return found

"""What people see of documents: what was collected, what was cleaned, a document's life, contamination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from firn.cli.show import story
from firn.cli.tables import console, grid
from firn.run.cleaning import Cleaned
from firn.run.collecting import Collected, Document, ToRead, sources_table
from firn.run.contamination import Contamination
from firn.serve.cleaning import Amount, Loss, Part
from firn.serve.numbers import count, duration, share, size

if TYPE_CHECKING:
    from firn.run.showing import Life  # needs what fetches records again

_LOSSES, _KINDS, _PARTS, _ITEMS, _HOLDERS = 8, 20, 12, 20, 5


def collected(found: Collected) -> None:
    """What was read."""
    out = console()
    out.print(sources_table(found.sources))
    table = grid("\nRecords that are no documents", "source", "why", ">records")
    for tally in found.sources:
        for rule, n in tally.gone.most_common(_LOSSES):
            table.add_row(escape(tally.source), escape(rule), count(n))
        for kind, n in tally.errors.most_common(_KINDS):
            if kind not in tally.gone:
                table.add_row(escape(tally.source), escape(f"failed: {kind}"), count(n))
    if table.row_count:
        out.print(table)
    for tally in found.sources:
        if tally.unread:
            fields = ", ".join(f"{field} {count(n)}" for field, n in tally.unread.most_common())
            out.print(f"\n{tally.source}: fields of records that cannot be read, and are null: {fields}", markup=False)
    for document in found.sample:
        _document(out, document)
    made = sum(tally.made for tally in found.sources)
    shards = sum(tally.shards for tally in found.sources)
    out.print(f"\n{made} of {shards} shards made now, in {duration(found.seconds)}; rates are per worker", markup=False)
    out.print(f"run       {found.folder}", markup=False)


def to_read(sources: Sequence[ToRead]) -> None:
    """What would be read."""
    table = grid("", "source", ">files", ">raw", ">shards", ">cached", ">to read")
    for each in sources:
        files = "unknown" if each.files is None else count(each.files)
        raw = "unknown" if each.bytes is None else size(each.bytes)
        todo = each.shards - each.cached
        table.add_row(escape(each.source), files, raw, count(each.shards), count(each.cached), count(todo))
    console().print(table)


def _document(out: Console, document: Document) -> None:
    out.print(f"\n[bold]{escape(document.source)}[/bold]  {escape(document.url or document.address)}", soft_wrap=True)
    facts = {
        "id": document.id,
        "address": document.address if document.url else None,
        "published": document.published and f"{document.published} ({document.date_method})",
        "language": document.language,
        "license": document.license,
        "group": document.group,
        "characters": count(document.characters),
    }
    out.print(
        "  " + "  ".join(f"{name} {value}" for name, value in facts.items() if value), markup=False, soft_wrap=True
    )
    out.print(Text("  " + document.text.replace("\n", "\n  "), style="dim"), soft_wrap=True)


def cleaned(found: Cleaned) -> None:
    """What cleaning left, and what it took."""
    out = console()
    if found.cleaning is not None:
        _cleaning(out, found)
    out.print()
    for source, files in found.documents.items():
        what = f"{len(files)} Parquet {'file' if len(files) == 1 else 'files'}"
        where = files[0] + (", ..." if len(files) > 1 else "") if files else "nothing stays"
        out.print(f"{source:<10}{what}: {where}", markup=False, soft_wrap=True)
    if found.exported is not None:
        said = (
            f"{found.exported.folder}: {count(found.exported.documents)} documents, {size(found.exported.text)} of text"
        )
        out.print(f"exported  {said} in {found.exported.files} files, {size(found.exported.bytes)}", markup=False)
    out.print(f"report    {found.report}", markup=False)


def _cleaning(out: Console, found: Cleaned) -> None:
    cleaning = found.cleaning
    assert cleaning is not None
    tokens = ">tokens" if cleaning.counted else ">tokens, about"
    reads = {flow.source: flow for flow in found.flows if flow.stage == "read"}
    table = grid("\nFunnel", "source", "stage", ">in", ">out", ">stays", ">text out", tokens)
    for source in dict.fromkeys(passage.source for passage in cleaning.passages):
        if flow := reads.get(source):
            table.add_row(
                escape(source), "read", count(flow.entered), count(flow.left), share(flow.left, flow.entered), "", ""
            )
        for passage in cleaning.passages:
            if passage.source == source:
                entered, left = passage.entered.documents, passage.left
                cells = (count(entered), count(left.documents), share(left.documents, entered))
                table.add_row(escape(source), escape(passage.stage), *cells, size(left.bytes), count(left.tokens))
    out.print(table)
    for title, changed in (("What went", False), ("What was changed in documents", True)):
        _losses(out, title, [loss for loss in cleaning.losses if (loss.verdict == "changed") == changed], tokens)
    _parts(out, "By source", cleaning.sources, tokens)
    _parts(out, "By language", cleaning.languages, tokens)
    _parts(out, "By domain", cleaning.domains, tokens)
    if not cleaning.counted:
        out.print("\nTokens are estimated, at 4 for 3 words: there is no tokenizer yet.", markup=False)


def _losses(out: Console, title: str, found: Sequence[Loss], tokens: str) -> None:
    table = grid(f"\n{title}", "source", "stage", "rule", "verdict", ">documents", ">text", tokens)
    for source in dict.fromkeys(loss.source for loss in found):
        losses = [loss for loss in found if loss.source == source]
        for loss in losses[:_LOSSES]:
            table.add_row(*map(escape, (source, loss.stage, loss.rule, loss.verdict)), *_amount(loss.amount))
        if rest := losses[_LOSSES:]:
            amount = sum((loss.amount for loss in rest), Amount())
            table.add_row(escape(source), "", f"{len(rest)} more", "", *_amount(amount))
    if table.row_count:
        out.print(table)


def _amount(amount: Amount) -> tuple[str, str, str]:
    return count(amount.documents), size(amount.bytes), count(amount.tokens)


def _parts(out: Console, title: str, parts: Sequence[Part], tokens: str) -> None:
    if not parts:
        return
    columns = (">read", ">stays", ">share", ">text", tokens, "mostly gone by")
    table = grid(f"\n{title}", "", *columns)
    for part in parts[:_PARTS]:
        kept = part.stays
        cells = (count(part.read.documents), count(kept.documents), share(kept.documents, part.read.documents))
        table.add_row(escape(part.name), *cells, size(kept.bytes), count(kept.tokens), escape(part.reason))
    out.print(table)


def life(found: Life, all_signals: bool) -> None:
    """A document's life."""
    out = console()
    _heading(out, "Raw record", found.raw_where or found.address)
    if found.raw is not None:
        out.print(f"  {count(found.raw_bytes or 0)} bytes", markup=False)
        _indented(out, found.raw)
    elif found.raw_error:
        out.print(f"  cannot be shown: {found.raw_error}", markup=False, soft_wrap=True)
    if found.about:
        _heading(out, "Document", found.source)
        for name, value in found.about.items():
            out.print(f"  {name:<15} {value}", markup=False, soft_wrap=True)
    if found.text is not None:
        _heading(out, "Text as it was extracted")
        _indented(out, found.text)
    if found.left is not None:
        _heading(out, "Text as it was left")
        _indented(out, found.left)
    _signals(out, found, all_signals)
    _heading(out, "Stages")
    story(found.chapters)
    if tokens := found.tokens:
        _heading(out, "Tokens")
        rate = f"{tokens.bytes / tokens.count:.2f} bytes per token" if tokens.count else ""
        out.print(f"  {count(tokens.count)} in {tokens.split}, from token {count(tokens.start)} of its shard; {rate}")
        out.print(
            Text("  " + " ".join(f"[{token}]" for token in tokens.first).replace("\n", "⏎"), style="dim"),
            soft_wrap=True,
        )
    for what in found.missing:
        out.print(f"\nnote      {what} were let go when the run had finished (retain)", markup=False)


def _heading(out: Console, title: str, more: str = "") -> None:
    out.print(f"\n[bold]{escape(title)}[/bold]" + (f"  {escape(more)}" if more else ""), soft_wrap=True)


def _indented(out: Console, text: str) -> None:
    out.print(Text("  " + text.rstrip().replace("\n", "\n  "), style="dim"), soft_wrap=True)


def _signals(out: Console, found: Life, all_signals: bool) -> None:
    signals = [signal for signal in found.signals if signal.limits or all_signals]
    if not signals:
        return
    table = grid("\nSignals", "signal", ">value", "limit", "rule", "")
    for signal in signals:
        value = str(signal.value)
        if isinstance(signal.value, float):
            value = f"{signal.value:,.0f}" if signal.value.is_integer() else f"{signal.value:.4g}"
        for limit in signal.limits or (None,):
            said = ("", "", "") if limit is None else (limit.limit, limit.rule, "" if limit.holds else "breaks it")
            table.add_row(
                *map(escape, (signal.name, value, *said)), style="" if limit is None or limit.holds else "red"
            )
    out.print(table)
    if rest := len(found.signals) - len(signals):
        out.print(f"  and {rest} signals that no rule asks for: --signals", markup=False)


def contamination(found: Contamination) -> None:
    """Evaluation items in documents."""
    out = console()
    table = grid("\nDocuments", "source", ">looked through", ">cut", ">removed")
    for source, looked in found.looked.items():
        table.add_row(escape(source), count(looked), count(found.cut[source]), count(found.removed[source]))
    out.print(table)
    table = grid("\nEvaluation items", "set", ">looked for", ">found", ">too short to look for")
    for name, items in found.sets.items():
        sought, short = found.sought.get(name, 0), found.too_short.get(name, 0)
        table.add_row(escape(name), count(sought), count(items), count(short))
    out.print(table)
    for item in found.items[:_ITEMS]:
        label = f" {item.label}" if item.label else ""
        _heading(out, f"{item.set}{label}", f"{item.file}, line {item.line}")
        for holder in item.documents[:_HOLDERS]:
            where = f"{holder.found} of {holder.grams} n-grams, bytes {holder.start}-{holder.end}"
            said = f"  {holder.source}  {holder.url or holder.id}  {where}"
            out.print(said, markup=False, soft_wrap=True)
        if (rest := len(item.documents) - _HOLDERS) > 0:
            out.print(f"  and {rest} documents more")
    if (rest := len(found.items) - _ITEMS) > 0:
        out.print(f"\nand {rest} items more: --json lists them all")

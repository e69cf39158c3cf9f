"""What the verbs print for people: tables on a terminal, the same text without colour elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from firn.cli.tables import console, grid
from firn.serve.numbers import count, duration, flops, share, size
from firn.serve.page import Flow, Rung, Share
from firn.serve.redact import visible

if TYPE_CHECKING:  # several need torch, which some verbs do not
    from firn.run.chapter import Chapter
    from firn.run.gc import Collected
    from firn.run.looking import BatchPart
    from firn.run.pipeline import Outcome
    from firn.run.planning import Forecast
    from firn.run.rules_try import Trial
    from firn.run.status import RunStatus
    from firn.study.compare import Comparison

_REASONS, _ITEMS = 3, 20


def outcome(done: Outcome) -> None:
    """What a run came to."""
    out = console()
    if not done.made:
        out.print(f"nothing to do: {done.folder} is finished, from raw data to report", markup=False)
    else:
        out.print(_funnel(done.page.flows))
        out.print(_mixture(done.page.mixture))
        if done.page.ladder:
            out.print(_ladder(done.page.ladder))
        for completion in done.page.completions:
            text = Text(visible(completion.prompt), style="bold cyan") + Text(visible(completion.text))
            out.print(text, soft_wrap=True)
            out.print()
    out.print(f"report    {done.report}", markup=False)
    out.print(f"model     {done.model}", markup=False)
    if done.figure == "bits_per_byte":  # an encoder writes nothing
        out.print(f'try       firn generate {done.name} "{_first_prompt(done)}"', markup=False)


def _first_prompt(done: Outcome) -> str:
    return done.page.completions[-1].prompt if done.page.completions else "The "


def _funnel(flows: Sequence[Flow]) -> Table:
    table = grid("\nDocuments", "source", "stage", ">in", ">out", ">stays", "what went, and why")
    for flow in flows:
        gone = sum(flow.verdicts.get(verdict, 0) for verdict in ("removed", "merged", "failed"))
        said = []
        if gone:
            failed = flow.verdicts.get("failed")
            said.append(f"{count(gone)}: {_reasons(flow.rules)}" + (f" ({count(failed)} failed)" if failed else ""))
        if flow.changes:
            said.append(f"{count(flow.verdicts.get('changed', 0))} changed: {_reasons(flow.changes)}")
        cells = (count(flow.entered), count(flow.left), share(flow.left, flow.entered), "; ".join(said))
        table.add_row(*map(escape, (flow.source, flow.stage, *cells)))
    return table


def _reasons(rules: Mapping[str, int]) -> str:
    said = ", ".join(f"{rule} {count(n)}" for rule, n in list(rules.items())[:_REASONS])
    more = len(rules) - _REASONS
    return said + (f" and {more} rules more" if more > 0 else "")


def _mixture(mixture: Sequence[Share]) -> Table:
    table = grid("\nMixture", "source", ">documents", ">text", ">tokens", ">held out", ">drawn", ">share", ">epochs")
    total = sum(source.drawn or 0 for source in mixture)
    for source in mixture:
        table.add_row(
            escape(source.source),
            count(source.documents),
            size(source.bytes),
            count(source.tokens),
            count(source.validation_tokens),
            count(source.drawn or 0),
            share(source.drawn or 0, total),
            f"{source.epochs or 0:.2f}",
        )
    return table


def _ladder(ladder: Sequence[Rung]) -> Table:
    sources = list(dict.fromkeys(source for rung in ladder for source in rung.bits))
    table = grid("\nBits per byte of held-out text", "", *(f">{source}" for source in sources))
    for rung in ladder:
        cells = [f"{rung.bits[source]:.3f}" if source in rung.bits else "" for source in sources]
        table.add_row(escape(rung.name), *cells, style="bold" if rung.own else "")
    return table


def forecast(plan: Forecast) -> None:
    """What a run would do and cost."""
    out = console()
    table = grid(f"{plan.name}: stages", "stage", ">there", ">to do", ">documents", ">writes", ">time")
    for stage in plan.stages:
        about = "" if stage.known else "~"
        table.add_row(
            stage.stage,
            count(stage.there),
            "?" if stage.todo is None else count(stage.todo),
            "" if stage.documents is None else about + count(stage.documents),
            about + size(stage.bytes) if stage.bytes else "",
            "" if not stage.seconds else "~" + duration(stage.seconds),
        )
    out.print(table)
    table = grid("\nMixture", "source", ">tokens", ">drawn", ">epochs")
    about = "" if plan.tokens_known else "~"
    for source in plan.mixture:
        table.add_row(
            escape(source.source), about + count(source.available), count(source.tokens), f"{about}{source.epochs:.2f}"
        )
    out.print(table)
    out.print()
    facts = {
        "model": f"{plan.shape}, {count(plan.parameters)} parameters",
        "training": f"{count(plan.steps)} steps, {count(plan.tokens)} tokens, {flops(plan.flops)}",
        "memory": f"{size(plan.memory)} in training, at least",
        "disk": f"{size(plan.disk)} more at the peak" + (f", {size(plan.free)} free" if plan.free is not None else ""),
        "time": "nothing to do" if plan.seconds == 0 else f"about {duration(plan.seconds)} on {plan.device}",
    }
    for name, value in facts.items():
        out.print(f"{name:<10}{value}", markup=False)
    for line in plan.dial:
        out.print(f"dial      {line}", markup=False, soft_wrap=True)
    for warning in plan.warnings:
        out.print(f"note      {warning}", markup=False)


def overview(rows: Sequence[RunStatus], runs: Path) -> None:
    """All runs."""
    out = console()
    if not rows:
        out.print(f"no runs in {runs}; begin with: firn run recipes/quickstart.yaml", markup=False)
        return
    table = grid("", "run", "status", "stage", ">step", ">loss", "held out", "started")
    for row in rows:
        training = row.training
        table.add_row(
            escape(row.name),
            row.status,
            "" if row.status == "finished" else row.stage or "",
            f"{training.step}/{training.steps}" if training else "",
            f"{training.loss:.3f}" if training and training.loss is not None else "",
            escape(_values(row.held_out or (training.held_out if training else {}), row.figure)),
            row.started or "",
        )
    out.print(table)


def _values(values: dict[str, float], figure: str) -> str:
    return "  ".join(f"{source} {value:.3f}" for source, value in values.items()) + (f"  {figure}" if values else "")


def status(row: RunStatus) -> None:
    """One run."""
    out = console()
    out.print(f"{row.name}: {row.status}" + (f", in {row.stage}" if row.status != "finished" else ""), markup=False)
    if row.error:
        out.print(row.error, markup=False)
    if row.flows:
        out.print(_funnel(row.flows))
    if row.training:
        training = row.training
        parts = [f"step {training.step} of {training.steps}"]
        parts += [f"loss {training.loss:.3f}"] if training.loss is not None else []
        parts += [f"{training.rate:,.0f} tokens/s"] if training.rate else []
        parts += [training.cost] if training.cost else []
        out.print(f"\ntraining  {', '.join(parts)}", markup=False)
        if training.held_out:
            out.print(f"held out  {_values(row.held_out or training.held_out, row.figure)}", markup=False)
    if row.report:
        out.print(f"report    {row.report}", markup=False)


def story(chapters: Sequence[Chapter]) -> None:
    """What became of a document."""
    out = console()
    width = max(len(chapter.stage) for chapter in chapters) + 2
    for chapter in chapters:
        out.print(f"[bold]{chapter.stage:<{width}}[/bold]{escape(visible(_said(chapter)))}", soft_wrap=True)
        for name, value in _details(chapter):
            out.print(f"          {name:<8} {visible(value)}", markup=False, soft_wrap=True)


def _said(chapter: Chapter) -> str:
    said = chapter.verdict
    if chapter.rule:
        said += f" by {chapter.rule}"
    if chapter.value is not None:
        value = f"{chapter.value:.4g}"
        said += f": {value} found" if chapter.personal else f": measured {value}"
        said += f", bound {chapter.bound:.4g}" if chapter.bound is not None else ""
    if chapter.into:
        said += f"; {chapter.into} stands for it"
    if chapter.cut:
        said += f"; {_bytes(chapter.cut)} {'replaced' if chapter.personal else 'cut out'}"
    if chapter.error:
        said += f": {chapter.error}"
    return said


def _details(chapter: Chapter) -> Iterator[tuple[str, str]]:
    """What stands below a chapter's first line: names and values."""
    for name in ("url", "address", "id"):
        if value := getattr(chapter, name):
            yield name, value
    if chapter.broken:
        yield "breaks", ", ".join(chapter.broken)
    for name, repairs in (("cut", False), ("repaired", True)):
        if edits := [edit for edit in chapter.edits if edit.repairs == repairs]:
            yield name, ", ".join(f"{edit.rule} {_bytes(edit.bytes)} in {_places(edit.spans)}" for edit in edits)
    if chapter.personal:
        yield "found", ", ".join(f"{kind} {count(n)}" for kind, n in chapter.personal.items())
    for item in chapter.items[:_ITEMS]:
        label = f" {item.label}" if item.label else ""
        where = f"{item.found} of {item.grams} n-grams, bytes {item.start}-{item.end}"
        yield "item", f"{item.set}{label}, {item.file} line {item.line}: {where}"
    if (rest := len(chapter.items) - _ITEMS) > 0:
        yield "item", f"and {rest} more: --json lists them all"


def _bytes(number: int) -> str:
    return "1 byte" if number == 1 else f"{count(number)} bytes"


def _places(spans: int) -> str:
    return "1 place" if spans == 1 else f"{count(spans)} places"


def trial(found: Trial) -> None:
    """What other limits would keep."""
    out = console()
    out.print(f"with {', '.join(found.tries)}", markup=False)
    table = grid("\nDocuments", "source", "language", ">measured", ">kept now", ">kept then", ">come back", ">go")
    for row in found.counts:
        numbers = (row.documents, row.kept_now, row.kept_then, row.returned, row.removed)
        table.add_row(escape(row.source), escape(row.language), *map(count, numbers))
    out.print(table)
    if changed := {rule: pair for rule, pair in found.rules.items() if pair[0] != pair[1]}:
        table = grid("\nRemoved first by", "rule", ">now", ">then")
        for rule, (now, then) in changed.items():
            table.add_row(escape(rule), count(now), count(then))
        out.print(table)
    for flip in found.flips:
        said = "comes back" if flip.kept_then else "goes"
        measured = "" if flip.value is None else f" measures {flip.value:.4g}"
        limit = "" if flip.limit is None else f", limit {flip.limit:.4g}"
        out.print(f"\n{flip.source}: {said}; {flip.rule}{measured}{limit}", markup=False)
        out.print(f"  {flip.url or flip.id}", markup=False, soft_wrap=True)
        out.print(Text("  " + visible(flip.excerpt).replace("\n", "⏎"), style="dim"), soft_wrap=True)


def batch(parts: Sequence[BatchPart], step: int) -> None:
    """What a step read."""
    out = console()
    rows = len({part.row for part in parts})
    out.print(f"step {step}: {rows} windows, parts of {len(parts)} documents", markup=False)
    row = -1
    for part in parts:
        if part.row != row:
            row = part.row
            out.print(f"\n[bold]window {row}[/bold]  {escape(part.source)}")
        out.print(
            f"  tokens {part.start}-{part.end}  {part.url or part.address}  {part.document}",
            markup=False,
            soft_wrap=True,
        )
        if part.text:
            out.print(Text("    " + visible(part.text).replace("\n", "⏎"), style="dim"), soft_wrap=True)


def comparison(found: Comparison) -> None:
    """Two runs side by side."""
    out = console()
    first, second = (escape(name) for name in found.names)
    if found.recipe:
        table = grid("Recipe", "key", first, second)
        for key, before, after in found.recipe:
            table.add_row(escape(key), escape(_plain(before)), escape(_plain(after)))
        out.print(table)
    else:
        out.print("The recipes are the same.")
    table = grid("\nDocuments", "source", "stage", f">in, {first}", f">{second}", f">out, {first}", f">{second}")
    for row in found.funnel:
        cells = [None if n is None else count(n) for n in (*row.entered, *row.left)]
        table.add_row(escape(row.source), row.stage, *(cell or "–" for cell in cells))
    out.print(table)
    numbers = {"Rules": found.rules, "Results": found.results, "Curves: held-out text": found.curves}
    for title, rows in numbers.items():
        if rows:
            table = grid(f"\n{title}", "", f">{first}", f">{second}")
            for key, *values in rows:
                table.add_row(escape(key), *("–" if value is None else f"{value:.6g}" for value in values))
            out.print(table)


def _plain(value: Any) -> str:
    return "–" if value is None else str(value)


def garbage(found: Collected, dry_run: bool) -> None:
    """What went from a store, or would."""
    out = console()
    if found.kept:
        out.print(f"{found.store}: left alone, {found.kept}", markup=False)
        return
    would = "would go" if dry_run else "went"
    out.print(f"{found.store}: {count(found.files)} files, {size(found.bytes)} {would}", markup=False)
    for stage, (files, bytes) in sorted(found.stages.items()):
        out.print(f"  {stage:<16}{count(files):>8} files  {size(bytes):>10}", markup=False)

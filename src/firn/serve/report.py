"""The run page: one HTML file that loads nothing, runs no script and trusts no text.

Everything that is not of our own making passes through `shown` or `excerpt`: personal data is replaced, control
characters go, and the template engine escapes the rest. The content-security policy lets through the page's own style
sheet, by its hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import firn
from firn.core.files import atomic_write
from firn.serve import numbers, svg
from firn.serve.page import Curve, Flow, Page
from firn.serve.redact import excerpt, shown, visible

_EXCERPT = 900
_MOST_REASONS = 30
_VERBS = {
    "kept": "kept",
    "changed": "changed",
    "split": "split",
    "merged": "merged into another",
    "removed": "removed",
    "failed": "failed",
}


def write(page: Page, path: str | Path) -> None:
    """Put the page into a file. Raises StoreError."""
    atomic_write(path, render(page).encode())


def render(page: Page) -> str:
    """The page as HTML."""
    style = (resources.files("firn.serve") / "report.css").read_text(encoding="utf-8")
    colours = _colours(page)
    reasons = _reasons(page.flows)
    sections = [
        ("documents", "Documents", page.flows),
        ("cleaning", "Cleaning", page.cleaning),
        ("mixture", "Mixture", page.mixture),
        ("training", "Training", page.training or page.validation),
        ("ladder", "Ladder", page.ladder),
        ("words", "Words", page.completions),
        ("samples", "Samples", page.kept or page.removed),
        ("costs", "Cost", page.costs),
        ("recipe", "Recipe", page.recipe),
    ]
    return (
        _environment()
        .get_template("report.html")
        .render(
            page=page,
            style=Markup(style),  # ours, and hashed into the policy
            policy=policy(style),
            version=firn.__version__,
            sections=[(id, title) for id, title, content in sections if content],
            colours=colours,
            sources=[source for source in colours if any(f.source == source for f in page.flows)] or list(colours),
            funnel=svg.funnel(page.flows, colours),
            reasons=reasons[:_MOST_REASONS],
            most_reasons=max((reason["documents"] for reason in reasons), default=1),
            drawn=sum(source.drawn or 0 for source in page.mixture),
            training_chart=svg.lines(_training(page.training), "training loss", "nats per token", {}),
            validation_chart=svg.lines(page.validation, f"held-out {page.figure}", page.figure, colours),
            ladder_sources=list(dict.fromkeys(source for rung in page.ladder for source in rung.bits)),
            most_bits=max((bits for rung in page.ladder for bits in rung.bits.values()), default=1.0),
            most_seconds=max((cost.seconds for cost in page.costs), default=0.0),
        )
    )


def policy(style: str) -> str:
    """The content-security policy of a page whose only resource is this style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _excerpt(text: str) -> str:
    return excerpt(visible(text[: 16 * _EXCERPT]), _EXCERPT)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("firn.serve", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        shown=shown,
        excerpt=_excerpt,
        count=numbers.count,
        size=numbers.size,
        duration=numbers.duration,
        flops=numbers.flops,
    )
    environment.globals.update(bar=svg.bar, swatch=_swatch, share=numbers.share, verdicts=_verdicts)
    return environment


def _colours(page: Page) -> dict[str, int]:
    """Source -> number of its colour, the same in every chart."""
    names = [
        *(source.source for source in page.mixture),
        *(flow.source for flow in page.flows),
        *(curve.name for curve in page.validation),
    ]
    return {name: index for index, name in enumerate(dict.fromkeys(names))}


def _swatch(colour: int) -> Markup:
    rect = svg.tag("rect", width=100, height=100, class_=f"s{colour % svg.COLOURS}")
    return Markup(svg.tag("svg", rect, class_="swatch", viewBox="0 0 100 100", aria_hidden="true"))


def _verdicts(flow: Flow) -> str:
    said = [f"{numbers.count(flow.verdicts[v])} {word}" for v, word in _VERBS.items() if flow.verdicts.get(v)]
    return ", ".join(said) or "nothing came in"


def _reasons(flows: Any) -> list[dict[str, Any]]:
    reasons = [
        {"rule": rule, "source": flow.source, "documents": documents, "entered": flow.entered}
        for flow in flows
        for rule, documents in flow.rules.items()
        if documents
    ]
    return sorted(reasons, key=lambda reason: (-reason["documents"], reason["rule"], reason["source"]))


def _training(curves: Any) -> list[Curve]:
    """The raw loss, faint, and a moving average over it."""
    drawn = []
    for curve in curves:
        drawn.append(Curve("raw", svg.thinned(curve.points)))
        drawn.append(Curve("mean", svg.thinned(svg.smoothed(curve.points))))
    return drawn

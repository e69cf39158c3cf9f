"""Charts as SVG text, drawn without a script: lines, and the flow of documents through the stages.

Colours and type come from the page's style sheet through classes (`s0` to `s7` for sources).
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup

from firn.serve.numbers import count
from firn.serve.page import Curve, Flow
from firn.serve.redact import shown

COLOURS = 8
_WIDTH, _HALF = 720.0, 480.0


def tag(name: str, content: str | Iterable[str] = "", **attributes: object) -> str:
    """An element. Attribute values are escaped, content must be escaped already; `class_` is class, `_` is `-`."""
    spelled = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_number(value))}"' for key, value in attributes.items()
    )
    inner = content if isinstance(content, str) else "".join(content)
    return f"<{name}{spelled}>{inner}</{name}>"


def _number(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _text(x: float, y: float, text: str, **attributes: object) -> str:
    return tag("text", html.escape(shown(text)), x=x, y=y, **attributes)


def _picture(width: float, height: float, label: str, content: Iterable[str], name: str) -> Markup:
    inner = [tag("title", html.escape(shown(label))), *content]
    return Markup(tag("svg", inner, class_=name, viewBox=f"0 0 {_number(width)} {_number(height)}", role="img"))


def bar(fraction: float, colour: str = "own") -> Markup:
    """A bar of `fraction` of the width of its cell."""
    width = 100 * min(1.0, max(0.0, fraction))
    rect = tag("rect", x=0, y=0, width=width, height=10, class_=colour)
    return Markup(tag("svg", rect, class_="bar", viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true"))


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within [low, high], at most `most` and one more."""
    if not high > low:
        return [low]
    raw = (high - low) / most
    step = 10 ** math.floor(math.log10(raw))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if factor * step >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [step * i for i in range(first, math.floor(high / step + 1e-9) + 1)]


def lines(
    curves: Sequence[Curve], label: str, unit: str, colours: Mapping[str, int], clip: float = 0.02
) -> Markup | None:
    """Curves over tokens. The steep beginning (the first `clip` of the way) may leave the frame at the top.

    None where there is nothing to draw.
    """
    points = [(x, y) for curve in curves for x, y in curve.points if math.isfinite(y)]
    if len(points) < 2:
        return None
    width, height, left, right, top, bottom = _HALF, 300.0, 46.0, 8.0, 28.0, 42.0
    far = max(x for x, _ in points) or 1.0
    low = min(y for _, y in points)
    high = max([y for x, y in points if x >= clip * far] or [low])
    margin = 0.06 * (high - low) or 0.1
    low, high = low - margin, high + margin

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + x / far * (width - left - right),
            top + (high - max(low, min(high + margin, y))) / (high - low) * (height - top - bottom),
        )

    parts: list[str] = []
    for y in ticks(low, high):
        _, level = place(0, y)
        parts.append(tag("line", x1=left, x2=width - right, y1=level, y2=level, class_="grid"))
        parts.append(_text(left - 7, level + 4, f"{y:.4g}", text_anchor="end"))
    for x in ticks(0, far, 4):
        across, _ = place(x, low)
        anchor = "end" if across > width - 60 else "middle"
        parts.append(_text(across, height - bottom + 20, count(x), text_anchor=anchor))
    parts.append(_text(width - right, height - 4, "training tokens", text_anchor="end", class_="axis"))
    parts.append(_text(0, 12, unit, class_="axis"))
    for curve in curves:
        path = " ".join(
            f"{_number(px)},{_number(py)}" for px, py in (place(x, y) for x, y in curve.points if math.isfinite(y))
        )
        style = f"line s{colours[curve.name] % COLOURS}" if curve.name in colours else f"line {curve.name}"
        parts.append(tag("polyline", tag("title", html.escape(shown(curve.name))), points=path, class_=style))
        if curve.name in colours and curve.points:
            px, py = place(*curve.points[-1])
            parts.append(tag("circle", cx=px, cy=py, r=3.5, class_=f"s{colours[curve.name] % COLOURS}"))
    return _picture(width, height, label, parts, "chart")


def thinned(points: Sequence[tuple[float, float]], most: int = 240) -> list[tuple[float, float]]:
    """The means of `most` equal runs of points; all points where there are no more."""
    if len(points) <= most:
        return list(points)
    edges = [round(i * len(points) / most) for i in range(most + 1)]
    runs = [points[a:b] for a, b in pairwise(edges)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def smoothed(points: Sequence[tuple[float, float]], share: float = 0.03) -> list[tuple[float, float]]:
    """Exponential moving average over about `share` of the points, without bias towards zero at the start."""
    decay = 1 - 1 / max(1.0, share * len(points))
    total = weight = 0.0
    result = []
    for x, y in points:
        total, weight = decay * total + (1 - decay) * y, decay * weight + (1 - decay)
        result.append((x, total / weight))
    return result


def _stages(flows: Sequence[Flow]) -> list[str]:
    """The stages that any source goes through, each behind those that come before it there."""
    stages: list[str] = []
    at, source = 0, None
    for flow in flows:
        at, source = (at if flow.source == source else 0), flow.source
        if flow.stage not in stages:
            stages.insert(at, flow.stage)
        at = stages.index(flow.stage) + 1
    return stages


def funnel(flows: Sequence[Flow], colours: Mapping[str, int]) -> Markup | None:
    """Documents on their way through the stages: a band per source, as high as its documents, and what falls off.

    None where there are no documents.
    """
    stages = _stages(flows)
    sources = sorted({flow.source for flow in flows}, key=lambda source: colours.get(source, 0))
    by = {(flow.stage, flow.source): flow for flow in flows}
    start = sum(by[stages[0], s].entered for s in sources if (stages[0], s) in by) if stages else 0
    most = max([start, *(sum(f.left for f in flows if f.stage == stage) for stage in stages)])
    if not most:
        return None
    top, room, fall = 34.0, 190.0, 74.0
    height = top + room + fall
    # A column before the first stage and one after each.
    columns = [14.0 + i * (_WIDTH - 28.0) / len(stages) for i in range(len(stages) + 1)]
    scale = room / most
    parts: list[str] = []
    falling: list[str] = []
    left = [0 for _ in sources]
    for index, stage in enumerate(stages):
        x, end = columns[index], columns[index + 1]
        # A source that does not go through the stage goes past it.
        entered = [by[stage, s].entered if (stage, s) in by else left[i] for i, s in enumerate(sources)]
        left = [by[stage, s].left if (stage, s) in by else entered[i] for i, s in enumerate(sources)]
        y0, y1 = top, top
        for source, before, after in zip(sources, entered, left, strict=True):
            through = min(before, after)
            parts.append(
                tag(
                    "path",
                    tag("title", html.escape(shown(f"{source}: {count(before)} into {stage}, {count(after)} out"))),
                    d=_ribbon(x, y0, y0 + through * scale, end, y1, y1 + after * scale),
                    class_=f"flow s{colours.get(source, 0) % COLOURS}",
                )
            )
            lost = before - through
            if lost > 0:
                middle = x + 0.62 * (end - x)
                falling.append(
                    tag(
                        "path",
                        tag("title", html.escape(shown(f"{source}: {count(lost)} end in {stage}"))),
                        d=_fall(x, y0 + through * scale, y0 + before * scale, middle, height - 26),
                        class_="lost",
                    )
                )
            y0, y1 = y0 + before * scale, y1 + after * scale
        gone = sum(entered) - sum(left)
        middle = (x + end) / 2
        parts.append(_text(middle, 14, stage, text_anchor="middle", class_="stage"))
        if gone > 0:
            parts.append(_text(x + 0.62 * (end - x), height - 8, f"−{count(gone)}", text_anchor="middle"))
    for index, x in enumerate(columns):
        stage = stages[max(0, index - 1)]
        here = sum(f.entered if index == 0 else f.left for f in flows if f.stage == stage)
        anchor = "start" if index == 0 else "end" if index == len(stages) else "middle"
        parts.append(tag("line", x1=x, x2=x, y1=top, y2=top + max(1.0, here * scale), class_="gate"))
        parts.append(_text(x, top - 5, count(here), text_anchor=anchor, class_="figure"))
    return _picture(_WIDTH, height, "documents through the stages", [*falling, *parts], "chart funnel")


def _ribbon(x0: float, top0: float, low0: float, x1: float, top1: float, low1: float) -> str:
    middle = (x0 + x1) / 2
    return (
        f"M{x0:.1f},{top0:.1f} C{middle:.1f},{top0:.1f} {middle:.1f},{top1:.1f} {x1:.1f},{top1:.1f} "
        f"L{x1:.1f},{low1:.1f} C{middle:.1f},{low1:.1f} {middle:.1f},{low0:.1f} {x0:.1f},{low0:.1f} Z"
    )


def _fall(x0: float, top: float, low: float, x1: float, floor: float) -> str:
    """A band that leaves at the right of (x0, top..low), bends down and ends at (x1, floor)."""
    half = min(24.0, max(1.0, (low - top) / 2))
    return (
        f"M{x0:.1f},{top:.1f} C{x1:.1f},{top:.1f} {x1 + half:.1f},{(top + floor) / 2:.1f} {x1 + half:.1f},{floor:.1f} "
        f"L{x1 - half:.1f},{floor:.1f} C{x1 - half:.1f},{(low + floor) / 2:.1f} {(x0 + x1) / 2:.1f},{low:.1f} "
        f"{x0:.1f},{low:.1f} Z"
    )

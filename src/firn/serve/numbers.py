"""Numbers as people read them."""

from __future__ import annotations

import math


def count(number: float) -> str:
    """12,345 below a hundred thousand, then 123 k, 4.56 M, 7.89 B, 1.23 T."""
    if abs(number) < 100_000:
        return f"{number:,.0f}"
    return scaled(number, ("", " k", " M", " B", " T"), 1000)


def size(bytes: float) -> str:
    """Bytes: 512 B, 3.1 kB, 45 MB."""
    return scaled(bytes, (" B", " kB", " MB", " GB", " TB", " PB"), 1000)


def flops(number: float) -> str:
    """Floating-point operations: 3.2 PFLOP."""
    return scaled(number, (" FLOP", " kFLOP", " MFLOP", " GFLOP", " TFLOP", " PFLOP", " EFLOP", " ZFLOP"), 1000)


def scaled(number: float, units: tuple[str, ...], step: int) -> str:
    """Three significant digits and the largest unit that keeps the number above one."""
    if not math.isfinite(number):
        return str(number)
    power = 0
    while abs(number) >= 999.5 and power < len(units) - 1:
        number, power = number / step, power + 1
    digits = 0 if power == 0 or abs(number) >= 99.95 else 1 if abs(number) >= 9.995 else 2
    return f"{number:,.{digits}f}{units[power]}"


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 41 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for large, small, unit, sub in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {unit} {rest} {sub}" if rest else f"{whole // large} {unit}"
    raise AssertionError


def share(part: float, whole: float) -> str:
    """A percentage; of nothing, a dash."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    return f"{percent:.0f}%" if percent >= 9.5 or percent == 0 else f"{percent:.1f}%" if percent >= 0.05 else "<0.1%"

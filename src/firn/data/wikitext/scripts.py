"""Superscripts and subscripts in plain text: a power must not read as a digit more."""

from __future__ import annotations

import re

_SUPER = str.maketrans("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")
_SUB = str.maketrans("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
# What is raised and is no word: `10^x`, `e^(-kt)`. Words are raised in abbreviations (19th, Mme, nº) and in notes.
_POWER = re.compile(r"[A-Za-z]|[A-Za-z0-9.,*/+−–-]*[0-9*/+−–-][A-Za-z0-9.,*/+−–-]*")
_ORDINALS = "aoer"
_LONGEST = 60


def superscript(text: str) -> str:
    """`text` raised: in Unicode's superscripts where they have it all, a power after `^`, words as they are."""
    if text and all(ord(c) in _SUPER for c in text):
        return text.translate(_SUPER)
    if len(text) > _LONGEST or not _POWER.fullmatch(text) or text in _ORDINALS:
        return text
    return f"^{text}" if len(text) == 1 else f"^({text})"


def subscript(text: str) -> str:
    """`text` lowered: in Unicode's subscripts if it is digits and signs, else as it is."""
    if text and not text.isalpha() and all(ord(c) in _SUB for c in text):
        return text.translate(_SUB)
    if len(text) == 1 and ord(text) in _SUB:
        return text.translate(_SUB)
    return text

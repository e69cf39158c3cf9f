"""Superscripts and subscripts in plain text: a power must not read as a digit more."""

from __future__ import annotations

_SUPER = str.maketrans("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")
_SUB = str.maketrans("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
# Letters that abbreviations raise, as in 19th, 1er, Mme, nº: they read well on the line.
_LONGEST = 5


def superscript(text: str) -> str:
    """`text` raised: in Unicode's superscripts where they have it all, words as they are, the rest after `^`."""
    if text and all(ord(c) in _SUPER for c in text):
        return text.translate(_SUPER)
    if not text or text[0].isspace() or len(text) > _LONGEST * 4:
        return text
    if text.isalpha() and (len(text) > 1 or text in "aoer"):
        return text
    return f"^{text}" if len(text) == 1 else f"^({text})"


def subscript(text: str) -> str:
    """`text` lowered: in Unicode's subscripts if it is digits and signs, else as it is."""
    if text and not text.isalpha() and all(ord(c) in _SUB for c in text):
        return text.translate(_SUB)
    if len(text) == 1 and ord(text) in _SUB:
        return text.translate(_SUB)
    return text

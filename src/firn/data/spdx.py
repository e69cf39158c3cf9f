"""Licence expressions as SPDX writes them (SPDX 2.3, annex D), read whole or not at all.

`AND` binds tighter than `OR`; operators are taken in any case, and `/`, which Cargo's old form writes, is `OR`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

#: Longest expression that is read, in characters, and deepest nesting of parentheses.
MAX_LENGTH = 2000
MAX_DEPTH = 50

_TOKEN = re.compile(r"[()/]|(?:DocumentRef-[A-Za-z0-9.-]+:)?[A-Za-z0-9][A-Za-z0-9.-]*\+?(?=[\s()/]|$)")

_JOINT = re.compile(r"\s(?:AND|OR)\s|[(),;]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parts:
    """Expressions that hold all together (`AND`), or of which one may be chosen (`OR`)."""

    operator: Literal["AND", "OR"]
    parts: tuple[Expression, ...]


Expression = str | Parts
"""A licence, `NAME` or `NAME WITH EXCEPTION`, or several."""


class _Wrong(Exception):
    pass


def parse(text: str) -> Expression | None:
    """The expression that the whole text is; None where it is none."""
    if len(text) > MAX_LENGTH:
        return None
    tokens = deque(_TOKEN.findall(text))
    if sum(map(len, tokens)) != len("".join(text.split())):
        return None
    try:
        tree = _choice(tokens, 0)
    except _Wrong:
        return None
    return None if tokens else tree


def _choice(tokens: deque[str], depth: int) -> Expression:
    parts = [_both(tokens, depth)]
    while _takes(tokens, "OR", "/"):
        parts.append(_both(tokens, depth))
    return joined("OR", parts)


def _both(tokens: deque[str], depth: int) -> Expression:
    parts = [_term(tokens, depth)]
    while _takes(tokens, "AND"):
        parts.append(_term(tokens, depth))
    return joined("AND", parts)


def _term(tokens: deque[str], depth: int) -> Expression:
    if _takes(tokens, "("):
        if depth == MAX_DEPTH:
            raise _Wrong
        inner = _choice(tokens, depth + 1)
        if not _takes(tokens, ")"):
            raise _Wrong
        return inner
    name = _name(tokens)
    return f"{name} WITH {_name(tokens)}" if _takes(tokens, "WITH") else name


def _name(tokens: deque[str]) -> str:
    if not tokens or tokens[0] in "()/" or tokens[0].upper() in ("AND", "OR", "WITH"):
        raise _Wrong
    return tokens.popleft()


def _takes(tokens: deque[str], *wanted: str) -> bool:
    if tokens and tokens[0].upper() in wanted:
        tokens.popleft()
        return True
    return False


def joined(operator: Literal["AND", "OR"], parts: Iterable[Expression]) -> Expression:
    """One expression of at least one, each of its parts once."""
    flat = [
        inner
        for part in parts
        for inner in (part.parts if isinstance(part, Parts) and part.operator == operator else (part,))
    ]
    once = tuple(dict.fromkeys(flat))
    return once[0] if len(once) == 1 else Parts(operator, once)


def terms(tree: Expression) -> list[str]:
    """The licences that an expression names, in its order."""
    return [tree] if isinstance(tree, str) else [term for part in tree.parts for term in terms(part)]


def written(tree: Expression, name: Callable[[str], str] = str) -> str:
    """The expression as text, with the parentheses that it needs. name: how a licence is to be spelled."""
    if isinstance(tree, str):
        return " WITH ".join(map(name, tree.split(" WITH ")))
    texts = (written(part, name) for part in tree.parts)
    if tree.operator == "OR":
        return " OR ".join(texts)
    return " AND ".join(
        text if isinstance(part, str) else f"({text})" for text, part in zip(texts, tree.parts, strict=True)
    )


def holds(expression: str, accepted: Callable[[str], bool]) -> bool:
    """Whether there is a choice of which every licence is accepted; of what is no expression each part must be."""
    if (tree := parse(expression)) is not None:
        return _holds(tree, accepted)
    parts = [part for each in _JOINT.split(expression) if (part := each.strip())]
    return all(map(accepted, parts or [expression]))


def _holds(tree: Expression, accepted: Callable[[str], bool]) -> bool:
    if isinstance(tree, str):
        return accepted(tree)
    whether = any if tree.operator == "OR" else all
    return whether(_holds(part, accepted) for part in tree.parts)

"""Formulas of a page as LaTeX: the source where the page carries it, else its MathML turned into LaTeX.

KaTeX, MathJax, Wikipedia and LaTeXML put the source into an annotation (MathML 3, section 5.1), an attribute, or a
script of type `math/tex`.
"""

from __future__ import annotations

import re

from firn.data.extract.metadata import Page, clean
from firn.data.extract.scan import END, KIND, LAST, PARENT, START
from firn.data.extract.tags import NAMES, TAGS, TEXT
from firn.data.markup import mathml
from firn.data.markup.xml import Element

# A formula of more nodes, or nested deeper, is written as its bare symbols.
_MOST_NODES, _DEEPEST = 20_000, 100
_LONGEST_SOURCE = 1 << 16

_SPACES = re.compile(r"\s+")
# Wikipedia wraps every formula in its style.
_STYLE = re.compile(r"\{\\(?:display|text)style\s+(.*)\}", re.DOTALL)


def latex(page: Page, node: int) -> str:
    """The formula in `node` (a math element, or a script that holds TeX) between dollar signs; empty if it has none."""
    attributes = page.attributes(node)
    if page.nodes[KIND, node] == TAGS["script"]:
        source = page.raw(node, _LONGEST_SOURCE)
        display = "mode=display" in attributes.get("type", "")
    else:
        display = attributes.get("display") == "block" or attributes.get("mode") == "display"
        tree = _tree(page, node)
        if tree is None:
            source = page.text(node)
        elif "alttext" in attributes and not any(tree.all("annotation")):
            source = attributes["alttext"]
        else:
            source = mathml.latex(tree)
    source = _SPACES.sub(" ", source).strip().strip("$").strip()
    if found := _STYLE.fullmatch(source):
        source = found[1].strip()
    if not source:
        return ""
    return f"$${source}$$" if display else f"${source}$"


def _tree(page: Page, node: int) -> Element | None:
    """The elements of a formula; None where it is too large."""
    last = int(page.nodes[LAST, node])
    if last - node > _MOST_NODES:
        return None
    elements: dict[int, tuple[Element, int]] = {}
    for i in range(node, last):
        parent, depth = elements.get(int(page.nodes[PARENT, i]), (None, 0))
        kind = int(page.nodes[KIND, i])
        if kind == TEXT:
            if parent is not None:
                data = page.data[page.nodes[START, i] : page.nodes[END, i]]
                parent.children.append(clean(data.decode("utf-8", "replace")))
            continue
        element = Element(NAMES.get(kind, ""), page.attributes(i))
        if depth > _DEEPEST:
            return None
        elements[i] = element, depth + 1
        if parent is not None:
            parent.children.append(element)
    return elements[node][0]

"""Formulas of a page as LaTeX: the source where the page carries it, else its MathML turned into LaTeX.

KaTeX, MathJax, Wikipedia and LaTeXML put the source into an annotation (MathML 3, section 5.1), an attribute, or a
script of type `math/tex`; images have it in their alt text or in their address. Of an image beside MathML, which is the
same formula, nothing is taken.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

import numpy as np
from numpy.typing import NDArray

from firn.data.extract.blocks import FORMULA, WITHIN
from firn.data.extract.metadata import Page, clean
from firn.data.extract.scan import END, KIND, LAST, PARENT, START
from firn.data.extract.tags import NAMES, TAGS, TEXT
from firn.data.markup import mathml
from firn.data.markup.xml import Element

# A formula of more nodes, or nested deeper, is written as its bare symbols.
_MOST_NODES, _DEEPEST = 20_000, 100
_LONGEST_SOURCE = 1 << 16

_SPACES = re.compile(r"\s+")
# Wikipedia wraps every formula in its style, WordPress writes it first.
_STYLE = re.compile(r"\{\\(?:display|text)style\s+(.*)\}|\\displaystyle\s+(.*)", re.DOTALL)
_DELIMITERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))

# Classes of images whose alt text is TeX: MediaWiki, WordPress and others, Doxygen, LaTeXML.
_CLASSES = {"tex", "latex", "latexcenter", "formulainl", "formuladsp", "ltx_math"}
_FALLBACK = "mwe-math-fallback-image-"
# Addresses of MediaWiki's and Sphinx's images, whose alt text is TeX too.
_RENDERED = re.compile(r"/math/(?:[0-9a-f]/)*[0-9a-f]{20,64}\.(?:png|svg)$")
# Addresses that hold the source: WordPress, Zhihu and GitHub, with spaces as `+`; CodeCogs and mimeTeX, as it is.
_QUERY = re.compile(
    r"(?:/latex\.php\?(?:[^#]{0,200}&)?latex=|/equation\?tex=|/render/math\?math=)([^&#]+)"
    r"|(?:codecogs\.com/[\w.]+|/mathtex\.cgi|/mimetex\.cgi)\?([^#]+)"
)
_DRAWING = re.compile(
    r"(?:\\(?:inline|bg_\w+|fn_\w+|dpi\{\d+\}|tiny|small|large|Large|LARGE|huge|Huge)(?![A-Za-z])|\s)+"
)
# What else stands in alt texts: words, and formulas that LaTeX2HTML cut short.
_NO_TEX = re.compile(r"[^\W\d_]{2}\s+[^\W\d_]{2}|(?:image|equation|formula|latex|math)\Z", re.IGNORECASE)
_SIGNS = re.compile(r"[\\^_{}=<>|]")
_CUT = re.compile(r"\.\.\.\s+\.\.\.")
_UNSEEN, _MATH, _NOSCRIPT = (np.uint64(1 << WITHIN[name]) for name in ("unseen", "math", "noscript"))
# So many nodes from an image the same formula may stand once more.
_BESIDE = 8


def mark_images(page: Page, container: NDArray[np.int32], within: NDArray[np.uint64], nodes: NDArray[np.int64]) -> None:
    """Mark in `within` those images among the nodes that are formulas and stand for no other beside them."""
    images = nodes[page.nodes[KIND, nodes] == TAGS["img"]]
    for node in images.tolist():
        if within[node] & (_UNSEEN | _MATH) or not _image(page.attributes(node)):
            continue
        if _stands_beside(page, container, within, node, -1) or _stands_beside(page, container, within, node, 1):
            continue
        within[node] |= FORMULA | _MATH


def _stands_beside(page: Page, container: NDArray[np.int32], within: NDArray[np.uint64], node: int, step: int) -> bool:
    """Whether MathML, or the image that a script puts in the place of this one, is next to an image, with no text
    between."""
    for other in range(node + step, node + step * _BESIDE, step):
        if not 0 < other < len(within) or container[other] != container[node]:
            return False
        kind = page.nodes[KIND, other]
        if within[other] & FORMULA:
            return bool((within[node] | within[other]) & _NOSCRIPT)
        if within[other] & _MATH:
            return True
        if kind == TEXT and page.data[page.nodes[START, other] : page.nodes[END, other]].strip():
            return False
    return False


def latex(page: Page, node: int, alone: bool = False) -> str:
    """The formula in `node` (a math element, an image, a script that holds TeX) between dollar signs; empty if it has
    none. alone: whether it has its line to itself, which makes an image's formula a display."""
    attributes = page.attributes(node)
    kind = page.nodes[KIND, node]
    if kind == TAGS["script"]:
        source = page.raw(node, _LONGEST_SOURCE)
        display = "mode=display" in attributes.get("type", "")
    elif kind == TAGS["img"]:
        source, display = _image(attributes), alone
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
        source = (found[1] or found[2]).strip()
    if not source:
        return ""
    return f"$${source}$$" if display else f"${source}$"


def _image(attributes: dict[str, str]) -> str:
    """The TeX of an image; empty where it is no formula."""
    address = attributes.get("src", "")
    if address.startswith("data:") or not address:
        address = attributes.get("data-src", "")
    if found := _QUERY.search(address):
        source = unquote_plus(found[1]) if found[1] else unquote(found[2].replace("&space;", " "))
        return _DRAWING.sub(" ", source, count=1) if _DRAWING.match(source) else source
    alt = attributes.get("alt", "").strip()
    if _CUT.search(alt) or not alt.strip("$ "):
        return ""
    for begin, end in _DELIMITERS:
        if alt.startswith(begin) and alt.endswith(end) and len(alt) > len(begin + end):
            return alt[len(begin) : -len(end)]
    if alt.startswith("\\begin{") and alt.endswith("}"):
        return alt
    classes = attributes.get("class", "").lower().split()
    known = any(name in _CLASSES or name.startswith(_FALLBACK) for name in classes) or _RENDERED.search(address)
    return alt if known and (_SIGNS.search(alt) or not _NO_TEX.search(alt)) else ""


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

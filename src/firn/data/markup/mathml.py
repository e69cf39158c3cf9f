"""MathML (presentation markup, W3C MathML 3) as LaTeX.

A formula that carries its own TeX as an annotation gives that. Elements that are not known give what is in them, so
that no symbol is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from firn.data.markup.math_symbols import FUNCTIONS, OVER, SPACED, UNDER, VARIANTS, symbol
from firn.data.markup.xml import Element

_CONTROL_WORD = re.compile(r"\\[A-Za-z]+\Z")
_LONGEST_NAME = 30
_SPACES = re.compile(r"[ \t\n\r]+")
# A sign at the beginning of a term is no operation between two.
_SIGN = re.compile(r"(?:(?<=[{(\[,&=<>|])|(?<=\\leq)|(?<=\\geq)|(?<=\\approx)|(?<=\\to)|(?<=\\sim)|(?<=^))( ?[-+]) ")
_TEX = ("application/x-tex", "application/x-latex", "tex", "latex", "text/x-tex")
_TEXT_SPECIAL = str.maketrans(
    {"{": "\\{", "}": "\\}", "%": "\\%", "#": "\\#", "&": "\\&", "$": "\\$", "_": "\\_", "\\": "\\backslash "}
)


def latex(math: Element) -> str:
    """The formula as LaTeX, without dollar signs; empty where nothing is written."""
    for note in math.all("annotation"):
        if note.attributes.get("encoding", "").lower() in _TEX and note.content.strip():
            return _cleaned(note.content)
    return _cleaned(_row(math.children))


def inline(math: Element) -> str:
    """The formula within a line of text: `$...$`."""
    formula = latex(math)
    return f"${formula}$" if formula else ""


def display(math: Element, label: str = "") -> str:
    """The formula on lines of its own: `$$...$$`, with its label, `(3.1)`, as LaTeX's tag."""
    formula = latex(math)
    return tagged(formula, label) if formula else ""


def tagged(formula: str, label: str = "") -> str:
    """`$$...$$` around LaTeX, with the label that the formula has in the text, if it has one."""
    number = label.strip().strip("()[]. ")
    tag = f" \\tag{{{number}}}" if number and len(number) <= 20 and not re.search(r"[\\{}$]", number) else ""
    return f"$${formula}{tag}$$"


def _cleaned(formula: str) -> str:
    formula = _SIGN.sub(r"\1", _SPACES.sub(" ", formula).strip())
    while formula[:1] == "$" and formula[-1:] == "$" and len(formula) > 1:
        formula = formula[1:-1].strip()
    return formula


def _row(children: list[Element | str]) -> str:
    # Text between elements is not MathML, but some writers put symbols there.
    return _joined(_characters(child.strip()) if isinstance(child, str) else _element(child) for child in children)


def _joined(pieces: Iterable[str]) -> str:
    """Pieces side by side, with a space where a name would else run into a letter."""
    out: list[str] = []
    for piece in pieces:
        if piece and out:
            if piece[0].isalpha() and _CONTROL_WORD.search(out[-1][-_LONGEST_NAME:]):
                out.append(" ")
        elif piece[:1] in ("_", "^"):
            out.append("{}")
        if piece:
            out.append(piece)
    return "".join(out)


def _element(element: Element) -> str:
    form = _FORMS.get(element.name)
    return form(element) if form else _row(element.children)


def _characters(text: str) -> str:
    return _joined(map(symbol, _SPACES.sub(" ", text)))


def _identifier(element: Element) -> str:
    text = element.content.strip()
    variant = element.attributes.get("mathvariant", "")
    if text in FUNCTIONS:
        return f"\\{text}"
    body = _characters(text)
    if not text or variant == "italic":
        return body
    command = VARIANTS.get(variant)
    if len(text) > 1 and text.isalpha() and text.isascii() and command in (None, "mathrm"):
        return f"\\mathrm{{{body}}}"
    if command == "mathrm" and not text.isalpha():
        return body
    if command == "mathbf" and body.startswith("\\"):
        command = "boldsymbol"
    return f"\\{command}{{{body}}}" if command else body


def _number(element: Element) -> str:
    body = _characters(element.content.strip())
    command = VARIANTS.get(element.attributes.get("mathvariant", ""))
    return f"\\{command}{{{body}}}" if command and command != "mathrm" else body


def _operator(element: Element) -> str:
    text = element.content.strip()
    if text in FUNCTIONS:
        return f"\\{text}"
    if len(text) > 1 and text.isalpha() and text.isascii():
        return f"\\operatorname{{{text}}}"
    if len(text) == 2 and text[1] == "\u0338":
        return "\\emptyset" if text[0] == "0" else f" \\not{_characters(text[0])} "
    if text == "^":
        return "\\wedge"
    body = _characters(text)
    return f" {body} " if body in SPACED else body


def _text(element: Element) -> str:
    if any(True for _ in element.elements()):
        return _row(element.children)
    text = _SPACES.sub(" ", element.content.replace("\u00a0", " "))
    if not text.strip():
        return "\\ " if text else ""
    if len(text.strip()) == 1 and not (text.strip().isalpha() and text.isascii()):
        return _characters(text)
    return f"\\text{{{text.translate(_TEXT_SPECIAL)}}}"


def _space(element: Element) -> str:
    width = element.attributes.get("width", "")
    if element.attributes.get("linebreak") == "newline":
        return " \\\\ "
    try:
        em = float(width.removesuffix("em"))
    except ValueError:
        return "\\ " if "width" in element.attributes else ""
    return "\\quad " if em >= 0.9 else "\\ " if em > 0.1 else ""


def _arguments(element: Element, count: int) -> list[str]:
    found = [_element(child).strip() for child in element.elements()]
    return (found + [""] * count)[:count]


def _braced(argument: str) -> str:
    """A script: one character or one command as it is, anything longer in braces."""
    alone = (len(argument) == 1 and argument not in "'^_") or (_CONTROL_WORD.fullmatch(argument) is not None)
    if alone and argument.startswith("\\"):
        return f"{{{argument}}}"
    return argument if alone else f"{{{argument}}}"


def _base(argument: str) -> str:
    """A term that gets scripts: braces around it where LaTeX would else put them on its last symbol only."""
    if not argument:
        return "{}"
    simple = len(argument) == 1 or _CONTROL_WORD.fullmatch(argument) or re.fullmatch(r"\\[a-z]+\{[^{}]*\}", argument)
    return argument if simple or argument in ("\\|", "\\}", "\\{") else f"{{{argument}}}"


def _scripts(base: str, below: str, above: str) -> str:
    primes = above if above.strip("'") == "" else ""
    out = _base(base) + primes
    if below:
        out += "_" + _braced(below)
    if above and not primes:
        out += "^" + _braced(above.removeprefix("^"))
    return out


def _sub(element: Element) -> str:
    base, below = _arguments(element, 2)
    return _scripts(base, below, "")


def _sup(element: Element) -> str:
    base, above = _arguments(element, 2)
    return _scripts(base, "", above)


def _sub_sup(element: Element) -> str:
    return _scripts(*_arguments(element, 3))


def _sign(element: Element, place: int) -> str:
    children = list(element.elements())
    return children[place].content.strip() if len(children) > place else ""


def _has_limits(base: str) -> bool:
    name = base.removeprefix("\\")
    return name in FUNCTIONS or base.startswith(("\\sum", "\\prod", "\\int", "\\oint", "\\big", "\\iint", "\\coprod"))


def _over(element: Element) -> str:
    base, above = _arguments(element, 2)
    command = OVER.get(_sign(element, 1))
    if command:
        long = len(base) > 2 and not _CONTROL_WORD.fullmatch(base)
        command = {"bar": "overline", "hat": "widehat", "tilde": "widetilde", "vec": "overrightarrow"}.get(
            command if long else "", command
        )
        return f"\\{command}{{{base}}}"
    return _scripts(base, "", above) if _has_limits(base) else f"\\overset{{{above}}}{{{base}}}"


def _under(element: Element) -> str:
    base, below = _arguments(element, 2)
    if command := UNDER.get(_sign(element, 1)):
        return f"\\{command}{{{base}}}"
    return _scripts(base, below, "") if _has_limits(base) else f"\\underset{{{below}}}{{{base}}}"


def _under_over(element: Element) -> str:
    base, below, above = _arguments(element, 3)
    if _has_limits(base):
        return _scripts(base, below, above)
    return f"\\underset{{{below}}}{{\\overset{{{above}}}{{{base}}}}}"


def _multi_scripts(element: Element) -> str:
    children = list(element.elements())
    if not children:
        return ""
    sides: list[list[str]] = [[], []]
    before = 0
    for child in children[1:]:
        if child.name == "mprescripts":
            before = 1
        else:
            sides[before].append("" if child.name == "none" else _element(child).strip())
    (after_below, after_above), (before_below, before_above) = (
        ("".join(side[::2]), "".join(side[1::2])) for side in sides
    )
    front = _scripts("", before_below, before_above) if before_below or before_above else ""
    return front + _scripts(_element(children[0]).strip(), after_below, after_above)


def _fraction(element: Element) -> str:
    above, below = _arguments(element, 2)
    if element.attributes.get("linethickness", "").strip() in ("0", "0pt", "0px", "0em"):
        return f"{{{above} \\atop {below}}}"
    return f"\\frac{{{above}}}{{{below}}}"


def _root(element: Element) -> str:
    base, degree = _arguments(element, 2)
    return f"\\sqrt[{degree}]{{{base}}}"


def _fenced(element: Element) -> str:
    opening = _characters(element.attributes.get("open", "(").strip())
    closing = _characters(element.attributes.get("close", ")").strip())
    separators = element.attributes.get("separators", ",").replace(" ", "")
    pieces: list[str] = []
    for place, child in enumerate(element.elements()):
        if place and separators:
            pieces.append(_characters(separators[min(place, len(separators)) - 1]) + " ")
        pieces.append(_element(child))
    out = _joined(pieces)
    if any(name in out for name in ("\\frac", "\\begin", "\\sum", "\\int", "\\prod")):
        return f"\\left{opening or '.'} {out.strip()} \\right{closing or '.'}"
    return _joined((opening, out.strip(), closing))


def _table(element: Element) -> str:
    rows = []
    for row in element.elements():
        cells = [cell for cell in row.elements() if cell.name == "mtd"]
        if row.name == "mlabeledtr":
            cells = cells[1:]
        rows.append(" & ".join(_row(cell.children).strip() for cell in cells) if cells else _element(row))
    return "\\begin{matrix} " + " \\\\ ".join(rows) + " \\end{matrix}"


def _enclosed(element: Element) -> str:
    inner = _row(element.children).strip()
    notation = element.attributes.get("notation", "longdiv")
    command = {
        "radical": "sqrt", "box": "boxed", "roundedbox": "boxed", "top": "overline", "bottom": "underline",
        "updiagonalstrike": "cancel", "downdiagonalstrike": "bcancel", "horizontalstrike": "sout",
    }.get(notation)  # fmt: skip
    return f"\\{command}{{{inner}}}" if command else inner


def _semantics(element: Element) -> str:
    """The first child is the formula; the others say it in other ways."""
    return next((_element(child) for child in element.elements()), "")


def _nothing(element: Element) -> str:
    return ""


def _root_of_row(element: Element) -> str:
    return f"\\sqrt{{{_row(element.children).strip()}}}"


_FORMS: dict[str, Callable[[Element], str]] = {
    "mi": _identifier, "mn": _number, "mo": _operator, "mtext": _text, "ms": _text, "mspace": _space, "msub": _sub,
    "msup": _sup, "msubsup": _sub_sup, "mover": _over, "munder": _under, "munderover": _under_over,
    "mmultiscripts": _multi_scripts, "mfrac": _fraction, "msqrt": _root_of_row, "mroot": _root, "mfenced": _fenced,
    "mtable": _table, "menclose": _enclosed, "semantics": _semantics, "mphantom": _nothing, "annotation": _nothing,
    "annotation-xml": _nothing, "malignmark": _nothing, "maligngroup": _nothing, "none": _nothing,
    "mprescripts": _nothing, "ci": _identifier, "cn": _number,
}  # fmt: skip

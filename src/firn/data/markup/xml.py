"""XML as a plain tree, within limits. Nothing outside the file is ever read.

Entities: the five of XML and those that HTML names are characters; one that the file declares itself is taken where its
value is short and plain; external ones are never resolved. So neither "billion laughs" nor a quadratic blowup nor a
reference to a local file does anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.entities import html5
from xml.parsers import expat

from firn.data.markup.work import MarkupError


class NotWellFormed(MarkupError):
    """What claims to be XML is none; it may be HTML."""


MAX_BYTES = 32 << 20
MAX_NODES = 1_000_000
MAX_DEPTH = 100
# A character or a few, as `<!ENTITY nbsp "&#160;">` has it. More is a text, or an attack.
_MAX_ENTITY = 64


@dataclass(slots=True, eq=False)
class Element:
    """name: without prefix. attributes: by their names as written. children: elements and pieces of text."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    def elements(self) -> Iterator[Element]:
        """The elements among the children."""
        return (child for child in self.children if isinstance(child, Element))

    def first(self, *path: str) -> Element | None:
        """The first element found by going down `path`; None where a step is missing."""
        at = self
        for name in path:
            found = next((child for child in at.elements() if child.name == name), None)
            if found is None:
                return None
            at = found
        return at

    def walk(self) -> Iterator[Element]:
        """The element and all below it, in document order."""
        left = [self]
        while left:
            at = left.pop()
            yield at
            left.extend(child for child in reversed(at.children) if isinstance(child, Element))

    def all(self, *names: str) -> Iterator[Element]:
        """All elements of these names, the element itself among them, in document order."""
        return (element for element in self.walk() if element.name in names)

    @property
    def content(self) -> str:
        """All text below, as it stands."""
        pieces: list[str] = []
        left: list[Element | str] = [self]
        while left:
            at = left.pop()
            if isinstance(at, str):
                pieces.append(at)
            else:
                left.extend(reversed(at.children))
        return "".join(pieces)


def parse(data: bytes) -> Element:
    """The root element of an XML file.

    Raises NotWellFormed, and another MarkupError for a file beyond MAX_BYTES, MAX_NODES or MAX_DEPTH, or with entities
    that are more than a few characters.
    """
    if len(data) > MAX_BYTES:
        raise MarkupError(f"XML of {len(data)} bytes, over the limit of {MAX_BYTES}")
    builder = _Builder()
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise NotWellFormed(f"not well-formed XML: {error}") from None
    except (LookupError, ValueError) as error:  # an encoding that Python does not know, or one that lies
        raise NotWellFormed(f"XML in an encoding that cannot be read: {error}") from None
    return builder.root


class _Builder:
    def __init__(self) -> None:
        self.top = Element("")
        self.open = [self.top]
        self.nodes = 0
        self.entities: dict[str, str] = {}
        parser = self.parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.ordered_attributes = False
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters
        parser.EntityDeclHandler = self.declared
        # A handler of this kind makes expat hand over internal entities instead of expanding them.
        parser.DefaultHandler = self.other
        # Names from a DTD that is not read are then no error.
        parser.UseForeignDTD(True)
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    @property
    def root(self) -> Element:
        return next(self.top.elements())

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise MarkupError(f"more than {MAX_NODES} XML elements")
        if len(self.open) > MAX_DEPTH:
            raise MarkupError(f"XML nested more than {MAX_DEPTH} deep")
        element = Element(name.rpartition(":")[2], attributes)
        self.open[-1].children.append(element)
        self.open.append(element)

    def end(self, name: str) -> None:
        self.open.pop()

    def characters(self, text: str) -> None:
        self.open[-1].children.append(text)

    def declared(
        self, name: str, is_parameter: bool, value: str | None, base: str | None, system: str | None, *more: str | None
    ) -> None:
        if is_parameter or value is None:  # external, or no text at all
            return
        if len(value) > _MAX_ENTITY or "&" in value or "<" in value:
            raise MarkupError(f"the file declares an entity &{name}; that is more than a few characters")
        self.entities[name] = value

    def other(self, text: str) -> None:
        if text.startswith("&") and text.endswith(";") and len(self.open) > 1:
            name = text[1:-1]
            self.open[-1].children.append(self.entities.get(name) or _PUBLISHERS.get(name) or html5.get(f"{name};", ""))


# Names of ISO's entity sets, which DTDs of publishers declare, that HTML does not have.
_PUBLISHERS = {
    "thetas": "\u03b8", "Thetas": "\u0398", "bgr": "\u03b2", "agr": "\u03b1", "ggr": "\u03b3", "dgr": "\u03b4",
    "mgr": "\u03bc", "epsi": "\u03b5", "hsp": " ", "b.alpha": "\u03b1", "b.beta": "\u03b2",
}  # fmt: skip

"""Templates that stand within sentences, and what is seen of them. All others are dropped.

A wiki has a hundred thousand templates, most of which furnish a page: infoboxes, navigation, references, notices. Those
in `templates.yaml` hold words of the text itself. A renderer uses each argument at most once, so that text never grows
with the depth of nesting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

import yaml

from firn.data.wikitext.scripts import subscript, superscript

#: From the arguments by position and those by name to what is seen.
Renderer = Callable[[Sequence[str], Mapping[str, str]], str]


def _at(index: int) -> Renderer:
    """The argument at a place, else the last one there is."""

    def render(args: Sequence[str], named: Mapping[str, str]) -> str:
        filled = [arg for arg in args[: index + 1] if arg.strip()]
        return filled[-1].strip() if filled else ""

    return render


def _constant(text: str) -> Renderer:
    return lambda args, named: text


def _quote(args: Sequence[str], named: Mapping[str, str]) -> str:
    text = named.get("text") or named.get("quote") or named.get("текст") or (args[0] if args else "")
    return f"\n{text.strip()}\n" if "\n" in text.strip() else text.strip()


def _verse(args: Sequence[str], named: Mapping[str, str]) -> str:
    """Lines that stay lines."""
    text = named.get("text") or named.get("1") or (args[0] if args else "")
    return f"\n<poem>{text.strip()}</poem>\n" if text.strip() else ""


def _lines(args: Sequence[str], named: Mapping[str, str]) -> str:
    """A list as it stands, which begins a line."""
    text = args[0].strip() if args else ""
    return f"\n{text}\n" if text[:1] in ("*", "#") else text


def _joined(separator: str) -> Renderer:
    return lambda args, named: separator.join(arg.strip() for arg in args if arg.strip())


def _list(mark: str) -> Renderer:
    return lambda args, named: "".join(f"\n{mark} {arg.strip()}" for arg in args if arg.strip()) + "\n" if args else ""


def _language(args: Sequence[str], named: Mapping[str, str]) -> str:
    """Foreign words: the first argument; those of Chinese stand under the names of scripts."""
    if args and args[0].strip():
        return args[0].strip()
    return ", ".join(named[key] for key in ("1", "s", "t", "c", "p", "hangul", "hanja", "rr", "mr") if named.get(key))


def _with_reading(args: Sequence[str], named: Mapping[str, str]) -> str:
    """Japanese: a word, its reading and more in parentheses."""
    word, *others = [arg.strip() for arg in args if arg.strip()] or [""]
    return f"{word}（{'、'.join(others)}）" if others else word


def _nihongo(args: Sequence[str], named: Mapping[str, str]) -> str:
    """`{{nihongo|English|kanji|romaji|more}}`."""
    word, *others = [arg.strip() for arg in args] or [""]
    inside = ", ".join(other for other in others if other)
    if not word:
        return inside
    return f"{word} ({inside})" if inside else word


def _phonetic(args: Sequence[str], named: Mapping[str, str]) -> str:
    """`{{IPAc-en|æ|l|ˈ|b|iː|d|oʊ}}`: sounds, among words that say whose pronunciation it is."""
    sounds = "".join(arg.strip() for arg in args if arg.strip().lower() not in _ACCENTS)
    return f"/{sounds.replace('_', ' ')}/" if sounds else ""


_ACCENTS = frozenset(
    "uk us au ca nz za ie lang local ipa pron also uslang uklang alsouk alsous icon en-us en-uk".split()
)


def _transliteration(args: Sequence[str], named: Mapping[str, str]) -> str:
    """`{{transl|code|text}}` and `{{transl|code|scheme|text}}`."""
    return args[-1].strip() if args else ""


def _convert(args: Sequence[str], named: Mapping[str, str]) -> str:
    """Quantities as they were given, without the conversion: `{{convert|1300|mi|km}}` is `1300 mi`."""
    values = [arg.strip() for arg in args]
    shown = values[:2]
    if len(values) > 3 and values[1] in _RANGES:
        shown = [values[0], _RANGES[values[1]], *values[2:4]]
    elif len(values) > 3 and values[3] in _LESSER and _NUMBER.match(values[2]):
        shown = values[:4]
    return " ".join(_grouped(value) if value.isdecimal() else _UNITS.get(value, value) for value in shown)


def _grouped(number: str) -> str:
    """With commas, as the template has it from four digits on."""
    return f"{int(number):,}" if number.isascii() and number[0] != "0" and len(number) < 20 else number


_NUMBER = re.compile(r"[\d.,+/−-]+$")
_RANGES = {
    "to": "to",
    "-": "–",
    "–": "–",
    "and": "and",
    "or": "or",
    "x": "×",
    "by": "by",
    "to about": "to about",
    "+/-": "±",
}
_LESSER = frozenset(("in", "oz", "lb", "ft", "yd", "ch", "lk", "d", "dwt"))
_UNITS = {
    "C": "°C", "F": "°F", "K-change": "K", "C-change": "°C", "F-change": "°F", "km2": "km²", "m2": "m²", "cm2": "cm²",
    "mi2": "sq mi", "sqmi": "sq mi", "sqft": "sq ft", "sqkm": "km²", "km3": "km³", "m3": "m³", "cm3": "cm³",
    "cuft": "cu ft", "cumi": "cu mi", "nmi": "nautical miles", "acre": "acres", "m/s": "m/s", "m3/s": "m³/s",
    "impgal": "imp gal", "USgal": "US gal", "oilbbl": "bbl",
    "/sqmi": "per sq mi", "/km2": "per km²", "/sqkm": "per km²",
}  # fmt: skip


# Between thousands and before decimals, by language (MediaWiki's languages/messages, CLDR).
_SEPARATORS = {
    language: marks
    for languages, marks in (
        ("en simple ja zh ko th he", (",", ".")),
        ("de nl da id tr vi el ro es pt it ca gl hr sr sl eu", (".", ",")),
        ("fr ru uk be pl cs sk sv nb no fi et lv lt bg hu", ("\u00a0", ",")),
    )
    for language in languages.split()
}
_FROM_FIVE_DIGITS = frozenset("es pt it pl bg".split())  # here, thousands stand apart from five digits on
_PLAIN_NUMBER = re.compile(r"([-−]?)(\d{1,30})(?:\.(\d+))?")


@cache
def number(language: str | None) -> Renderer:
    """`{{formatnum:12345.6}}` as the language of the wiki writes numbers; as it stands where that is not known."""
    marks = _SEPARATORS.get(language or "")

    def render(args: Sequence[str], named: Mapping[str, str]) -> str:
        text = args[0].strip() if args else ""
        found = _PLAIN_NUMBER.fullmatch(text)
        if marks is None or found is None or not text.isascii() or len(args) > 1:
            return text
        sign, whole, decimals = found.groups()
        if len(whole) > 4 or language not in _FROM_FIVE_DIGITS:
            whole = f"{int(whole):,}".replace(",", marks[0]) if whole[0] != "0" else whole
        return sign + whole + (f"{marks[1]}{decimals}" if decimals else "")

    return render


def _value(args: Sequence[str], named: Mapping[str, str]) -> str:
    """`{{val|6.241|e=18|u=m}}`: a number, its uncertainty, exponent and unit."""
    number, *more = [arg.strip() for arg in args if arg.strip()] or [""]
    if more:
        number += more[0] if more[0].startswith("(") else f"±{more[0]}"
    if exponent := named.get("e"):
        number += f"×10{superscript(exponent)}"
    unit = named.get("u") or named.get("ul") or ""
    return f"{number} {unit}".strip()


def _exponent(args: Sequence[str], named: Mapping[str, str]) -> str:
    return f"×10{superscript(args[0].strip())}" if args else ""


def _fraction(args: Sequence[str], named: Mapping[str, str]) -> str:
    match [arg.strip() for arg in args if arg.strip()]:
        case [below]:
            return f"1/{below}"
        case [above, below]:
            return f"{above}/{below}"
        case [whole, above, below, *_]:
            return f"{whole} {above}/{below}"
        case _:
            return ""


def _formula(args: Sequence[str], named: Mapping[str, str]) -> str:
    """`{{chem|H|2|O}}`: numbers after elements are counts; a sign at the end is a charge."""
    out = []
    for arg in (arg.strip() for arg in args):
        if arg.endswith(("+", "-", "−", "–")):
            out.append(superscript(arg.replace("–", "−").replace("-", "−")))
        else:
            out.append(subscript(arg) if arg[:1].isdecimal() and out else arg)
    return "".join(out)


def _date(args: Sequence[str], named: Mapping[str, str]) -> str:
    """Year, month and day as ISO 8601, in whatever language; what is no such numbers stays as it is."""
    numbers = [arg.strip() for arg in args if arg.strip()][:3]
    if numbers and all(number.isdecimal() and len(number) <= 4 for number in numbers):
        return "-".join(number.zfill(2) for number in numbers)
    return numbers[0] if numbers else ""


def _day(args: Sequence[str], named: Mapping[str, str]) -> str:
    """Day, month and year, with dots."""
    return ".".join(arg.strip() for arg in args[:3] if arg.strip())


def _old_style(args: Sequence[str], named: Mapping[str, str]) -> str:
    day, year, old = ([arg.strip() for arg in args] + [""] * 3)[:3]
    return f"{day} [O.S. {old}] {year}" if old else f"{day} {year}".strip()


def _as_of(args: Sequence[str], named: Mapping[str, str]) -> str:
    if "alt" in named:
        return named["alt"]
    year, month, day = ([arg.strip() for arg in args] + [""] * 3)[:3]
    if month.isdecimal() and 1 <= int(month[:4]) <= 12:
        month = _MONTHS[int(month[:4]) - 1]
    date = " ".join(part for part in (day, month, year) if part)
    return f"{'as' if named.get('lc') else 'As'} of {date}"


_MONTHS = "January February March April May June July August September October November December".split()


def _prefixed(prefix: str) -> Renderer:
    """`{{circa|1200|1300}}`."""

    def render(args: Sequence[str], named: Mapping[str, str]) -> str:
        return " – ".join(f"{prefix} {arg.strip()}" for arg in args if arg.strip()) or prefix

    return render


def _money(symbol: str) -> Renderer:
    return lambda args, named: f"{symbol}{args[0].strip()}" if args else symbol


def _ship(prefix: str) -> Renderer:
    """`{{HMS|Ajax|22|6}}`: the name; then pennant and how to show it."""
    return lambda args, named: f"{prefix} {args[0].strip()}" if args and args[0].strip() else prefix


def _authors(args: Sequence[str], named: Mapping[str, str]) -> str:
    """`{{harvtxt|Boolos|Jeffrey|1974}}`."""
    *names, year = [arg.strip() for arg in args if arg.strip()] or [""]
    return f"{' & '.join(names)} ({year})" if names else year


def _accidental(args: Sequence[str], named: Mapping[str, str]) -> str:
    word = args[0].strip() if args else ""
    return {"flat": "♭", "b": "♭", "sharp": "♯", "#": "♯", "natural": "♮"}.get(word, word)


def _interlanguage(args: Sequence[str], named: Mapping[str, str]) -> str:
    """`{{ill|page|code|foreign page|lt=text}}`, in Ukrainian and Russian `{{нп|page|text|code|foreign page}}`."""
    return named.get("lt") or named.get("label") or named.get("text") or (args[0].strip() if args else "")


def _foreign_page(args: Sequence[str], named: Mapping[str, str]) -> str:
    return named.get("текст") or next((arg.strip() for arg in (*args[1:2], *args[:1]) if arg.strip()), "")


def _superscript(args: Sequence[str], named: Mapping[str, str]) -> str:
    return superscript(args[0].strip()) if args else ""


def _subscript(args: Sequence[str], named: Mapping[str, str]) -> str:
    return subscript(args[0].strip()) if args else ""


def _angled(args: Sequence[str], named: Mapping[str, str]) -> str:
    return f"⟨{args[0].strip()}⟩" if args else ""


_RENDERERS: dict[str, Renderer] = {
    "first": _at(0),
    "second": _at(1),
    "third": _at(2),
    "last": _transliteration,
    "language": _language,
    "phonetic": _phonetic,
    "hyphened": _joined("-"),
    "run_together": _joined(""),
    "spaced": _joined(" "),
    "listed": _joined(", "),
    "bullets": _list("*"),
    "numbers": _list("#"),
    "lines": _lines,
    "quote": _quote,
    "verse": _verse,
    "nihongo": _nihongo,
    "reading": _with_reading,
    "convert": _convert,
    "value": _value,
    "exponent": _exponent,
    "fraction": _fraction,
    "chemistry": _formula,
    "date": _date,
    "day": _day,
    "old_style": _old_style,
    "as_of": _as_of,
    "circa": _prefixed("c."),
    "flourished": _prefixed("fl."),
    "reigned": _prefixed("r."),
    "authors": _authors,
    "accidental": _accidental,
    "interlanguage": _interlanguage,
    "foreign_page": _foreign_page,
    "superscript": _superscript,
    "subscript": _subscript,
    "angled": _angled,
}


@cache
def _by_name() -> dict[str, Renderer]:
    """Every template of `templates.yaml`, by name."""
    data = yaml.safe_load(Path(__file__).with_name("templates.yaml").read_text(encoding="utf-8"))
    ships, money, constants = data.pop("ships"), data.pop("money"), data.pop("constants")
    return {
        **{name: _RENDERERS[kind] for kind, names in data.items() for name in names.split(", ")},
        **{name.lower(): _ship(name) for name in ships.split(", ")},
        **{name: _money(symbol) for symbol, names in money.items() for name in names.split(", ")},
        **{name: _constant(text) for name, text in constants.items()},
    }


@lru_cache(maxsize=4096)
def renderer(name: str) -> Renderer | None:
    """How a template of this name, as it stands in the text, is rendered; None for one that is dropped."""
    name = " ".join(name.replace("_", " ").split()).lower()
    found = _by_name().get(name)
    if found is not None:
        return found
    if name.startswith("lang-"):  # {{lang-de|Wort}}
        return _language
    if name.startswith("ipa-"):
        return _RENDERERS["first"]
    return None

"""Markup to text: what a reader of the page sees stays, markup goes, and nothing in a page can hold the reader up."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data.wikitext import Site, to_text
from firn.data.wikitext.site import is_redirect

KNOWN = {
    "bold and italics": ("'''A''' is ''b'' and '''''c'''''.", "A is b and c."),
    "apostrophes that are meant": ("L'''amore'' di '''tre''' ''''quattro'''", "L'amore di tre 'quattro"),
    "links": ("[[a]]s, [[b|c]], [[:Category:D]], [[#e|f]], [[g (h)|]], [http://x.org i]", "as, c, Category:D, f, g, i"),
    "files, categories, languages": (
        "[[File:A.jpg|thumb|cap [[b]] {{c}}]]x[[Category:X]][[de:Y]][[Datei:Z.png]]",
        "x",
    ),
    "references": ("a.<ref>b {{cite|c}}</ref> d<ref name=e /> .", "a. d."),
    "comments": ("a<!-- b -->c\n<!-- d -->\ne", "ac e"),
    "templates go": ("{{Infobox|a={{b|c}}\n|d=[[e]]}}\nx {{sfn|f}}y", "x y"),
    "gaps that they leave": (
        "'''A''' ({{foo}}; {{lang-de|B}}, {{bar}}) is {{baz}}, c {{foo}}. d ({{foo}})",
        "A (B) is, c. d",
    ),
    "templates with words": (
        "{{lang|fr|mot}} {{nihongo|Tokyo|東京|Tōkyō}} {{frac|1|2}} {{circa|1200}} {{as of|2014|5|lc=y}} {{ill|p|de|q}}",
        "mot Tokyo (東京, Tōkyō) 1/2 c. 1200 as of May 2014 p",
    ),
    "quantities": (
        "{{convert|1300|mi|km}}, {{convert|5|ft|10|in|cm}}, {{convert|5|to|10|km|mi}}, {{val|6.2|e=18|u=m}}",
        "1,300 mi, 5 ft 10 in, 5 to 10 km, 6.2×10¹⁸ m",
    ),
    "nested": ("{{nowrap|a {{lang|de|{{small|b}} [[c|d]]}} e}}", "a b d e"),
    "named arguments": ("{{nowrap|1=E = mc²}} {{quote|text=q|author=w}}", "E = mc² q"),
    "powers and counts": ("H<sub>2</sub>O 10<sup>6</sup> 19<sup>th</sup> e<sup>x</sup>", "H₂O 10⁶ 19th e^x"),
    "formulas": ("x <math>\\frac{a}{b} &lt; {{c}}</math> y", "x $\\frac{a}{b} < {{c}}$ y"),
    "code as it stands": (
        "a\n<syntaxhighlight lang='py'>\nif x:\n    return '[[y]]'\n</syntaxhighlight>\nb <code>c</code>",
        "a\n\nif x:\n    return '[[y]]'\n\nb c",
    ),
    "nowiki": ("<nowiki>'''[[a]]''' {{b}}</nowiki> <nowiki/>''c''", "'''[[a]]''' {{b}} c"),
    "lines that begin with a space": (" for x in y:\n     print(x)\n", "for x in y:\n    print(x)"),
    "entities": ("a&nbsp;b &lt;ref&gt; &amp;amp; &#8212; &alpha;", "a b <ref> &amp; — α"),
    "lists": ("* a\n** b\n# c\n# d\n## e\n# f\n: g\n; h : i", "- a\n  - b\n1. c\n2. d\n  1. e\n3. f\ng\nh: i"),
    "terms": ("; a\n; b\n: c\n; d\n* {{x}}\n; e\n* {{x}}\n* f\n; g\n== H ==\ni", "a\nb\nc\ne\n- f\ng\n\nH\n\ni"),
    "items of more than a line": ("* a<br/>b\n* c", "- a\nb\n- c"),
    "items with nothing in them go": ("* {{foo}}\n* [[File:a.jpg]]\n* b", "- b"),
    "headings": ("== A ==\nb\n=== C ===\nd\n", "A\n\nb\n\nC\n\nd"),
    "headings with nothing below them go": ("== A ==\n== B ==\nx\n=== C ===\n{{d}}\n== E ==\n", "B\n\nx"),
    "paragraphs": ("a\nb\n\nc<br>d\n\n日本\n語", "a b\n\nc\nd\n\n日本語"),
    "tables": (
        '{| class="wikitable"\n|+ style="x" | Cap\n! A !! scope="col" | B\n|-\n| colspan=2 | [[x|y]] || z<br>w\n|}',
        "Cap\nA | B\ny | z, w",
    ),
    "tables by templates": ("{{{!}} class=x\n{{!}}-\n! a !! b\n{{!}}-\n{{!}} 1 {{!!}} 2\n{{!}}}", "a | b\n1 | 2"),
    "tables that lay out a page": ("{|\n|\n* a\n* b\n* c\n* d\n|}", "- a\n- b\n- c\n- d"),
    "tables in tables": ("{|\n| a\n{|\n| b || c\n|}\n| d\n|}", "a\n\nb | c\n\nd"),
    "furniture": ('{| class="navbox"\n| a\n|}\nb\n{| class="infobox vcard"\n| c\n|}', "b"),
    "galleries and timelines": ("a\n<gallery>\nFile:b.jpg|c\n</gallery>\n<timeline>d</timeline>", "a"),
    "magic words": ("__NOTOC__a__FORCETOC__ {{DEFAULTSORT:b}} __init__", "a __init__"),
    "a template that is not closed": ("{{unclosed [[a]] b\n\nc", "unclosed a b\n\nc"),
    "a template that swallows sections": ("{{foo|a\n== B ==\nc\n}}\nd", "foo|a\n\nB\n\nc\n\nd"),
    "a link that is not closed": ("[[a b\n\nc [[d]]", "a b\n\nc d"),
    "a reference that is not closed": ("a<ref>b\n\nc", "ab\n\nc"),
    "a table that is not closed": ("{|\n| a || b\n|-\n| c", "a | b\nc"),
    "verse": (
        "x\n<poem>\n''a''\n::[[b]]{{foo}}\n\n  c\nd</poem>\ny {{poem quote|a\nb|e}}\n:<poem>a\nb</poem>\n"
        "<poem>open\nend",
        "x\n\na\nb\n\nc\nd\ny\na\nb\n\na\nb\n\nopen end",
    ),
    "verse in tables": ("{|\n| a || <poem>b\nc\nd\ne</poem>\n|}", "a\n\nb\nc\nd\ne"),
    "lines that end in a tag": ("a<br>\nb<br />\nc\nd", "a\nb\nc d"),
    "tables of HTML": (
        "<table><tr><th>a<th>b</tr>\n<tr>\n<td>c</td>\n<td>\nd</td></tr><tr><td>e<td>f</table>g",
        "a | b\n\nc | d\ne | f\ng",
    ),
    "parameters": ("a {{{1|b}}} {{{c}}} {{nowrap|{{{d|e}}}}} {{{f|}}}.", "a b e."),
    "lists by templates": ("a {{plainlist|\n* b\n* c\n}} {{flatlist|d}}", "a\n\n- b\n- c\n\nd"),
    "words of other languages": ("{{wikt-lang|fr|mot}} {{m|la|verbum||word}}", "mot verbum"),
    "ruby": ("<ruby>漢字<rp>(</rp><rt>かんじ</rt><rp>)</rp></ruby>", "漢字(かんじ)"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_answers(name: str) -> None:
    markup, text = KNOWN[name]
    assert to_text(markup, Site()) == text


def test_names_of_the_wiki_itself_are_known() -> None:
    site = Site("xxwiki", None, "xx", {6: "Plurr", 14: "Kluft"})
    assert to_text("[[Plurr:a.jpg|thumb|b]]c[[Kluft:d]][[plurr:e.png]]", site) == "c"


def test_variants_of_chinese() -> None:
    site = Site(language="zh")
    assert to_text("-{zh-hans:计算机; zh-hant:電腦}-是-{A}--{T|zh-hans:题}-", site) == "计算机是A"
    assert to_text("-{A}-", Site(language="en")) == "-{A}-"


@pytest.mark.parametrize(
    ("language", "numbers"),
    [
        ("en", "12,345.6 1,234 -1,234,567 0012 x"),
        ("de", "12.345,6 1.234 -1.234.567 0012 x"),
        ("es", "12.345,6 1234 -1.234.567 0012 x"),
        ("uk", "12 345,6 1 234 -1 234 567 0012 x"),
        (None, "12345.6 1234 -1234567 0012 x"),
    ],
)
def test_numbers_are_written_as_the_language_has_them(language: str | None, numbers: str) -> None:
    markup = " ".join(f"{{{{formatnum:{number}}}}}" for number in ("12345.6", "1234", "-1234567", "0012", "x"))
    assert to_text(markup, Site(language=language)) == numbers


def test_redirects_are_known_by_their_markup() -> None:
    for word in ("REDIRECT", "重定向", "अनुप्रेषित", "เปลี่ยนทาง", "тасмаланьыы"):
        assert is_redirect(f"#{word} [[a]]")
    for markup in ("# a [[b]]", "#a, [[b]]", "## [[b]]", "a #REDIRECT [[b]]"):
        assert not is_redirect(markup)


def test_the_title_stands_for_its_magic_word() -> None:
    assert to_text("'''{{PAGENAME}}''' is", Site(), "A b") == "A b is"


PIECES = (
    "{{ }} {{{ }}} [[ ]] [ ] | || ! !! {| |} |- |+ \n = == '' ''' '''' ' * # : ; <ref> </ref> <ref/> <!-- --> <math>"
    " </math> <nowiki> </nowiki> <pre> </pre> <br> <div> </div> <sup> </sup> <td> <li> < > & &amp; &#2; -{ }- __A__ __"
    " http:// [http://a nowrap lang convert quote ubl {{!}} \x00 \x01 \x02 \x020\x02 \x03 \x05 \x06 ( ) , . 字 a b"
    " <poem> </poem> <tr> File: Category: de: 1 2 style= \u00a0 \ud800"
)
TOKENS = st.sampled_from([*PIECES.split(" "), " ", "\n", "\n ", "\n== ", " ==\n"])


@given(st.lists(TOKENS, max_size=80).map("".join))
def test_any_text_gives_text_without_marks_and_not_much_longer(markup: str) -> None:
    text = to_text(markup, Site(language="zh"), "T")
    assert not set(text) & set("\x00\x01\x02\x03\x04\x05\x06")
    assert len(text) <= 2 * len(markup) + 40
    assert "\n\n\n\n" not in text or "<pre>" in markup or "<nowiki>" in markup


WORD = st.integers(0, 999).map(lambda n: f"word{n}")


def _wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Well-formed markup around well-formed markup, whose words all stay."""
    forms = (
        "'''{}'''", "''{}''", "[[Page|{}]]", "[[{}]]", "{{{{nowrap|{}}}}}", "{{{{lang|de|{}}}}}", "<b>{}</b>",
        "<span style='x'>{}</span>", "{} <ref name=x />", "{}<ref>gone</ref>", "{}<!-- gone -->", "{} {{{{gone|a=b}}}}",
        "\n* {}\n", "\n== heading ==\n{}\n", "\n{{|\n! {}\n|-\n| x || y\n|}}\n", "[http://example.org {}]",
    )  # fmt: skip
    return st.tuples(st.sampled_from(forms), inner).map(lambda pair: pair[0].format(pair[1]))


@given(st.lists(st.recursive(WORD, _wrapped, max_leaves=4), min_size=1, max_size=6).map("\n\n".join))
def test_of_well_formed_markup_every_word_stays_and_no_markup(markup: str) -> None:
    # A link, or anything in brackets of one, cannot hold lines of its own.
    if re.search(r"(?:\[\[|\[http|\{\{(?:nowrap|lang))[^\]\}]*\n", markup) or re.search(r"\[\[[^\[\]]*\[", markup):
        return
    if re.search(r"\[http[^\[\]]*\[", markup):
        return
    text = to_text(markup, Site())
    assert set(re.findall(r"word\d+", markup)) <= set(re.findall(r"word\d+", text))
    assert "gone" not in text
    assert not re.search(r"\{\{|\}\}|\[\[|\]\]|''|<|==|\{\||\|\}|\|-", text)


UNITS = (
    "{{ }} {{{ [[ ]] {{a| {{nowrap| [[a| {|\n |a\n || <ref> <!-- <math> <pre> <div < '' ''' * #: =a=\n [http:// {{x}},"
    " & __A <sup> -{ \n\t {{poem| {{{a| <poem> <td> <td>\n <br>\n"
)


@pytest.mark.parametrize("unit", [*UNITS.split(" "), " ", "\n ", "( ,", "1", ") "])
def test_much_of_anything_takes_no_more_than_its_length(unit: str) -> None:
    """Were any of it quadratic, this would take minutes, and hours at the size that a page may have."""
    markup = unit * (100_000 // len(unit))
    inside = ("{{nowrap|" * 50 + markup + "!=" + "}}" * 50, f"[[a{markup}|]]", f"{{{{sup|1{markup}}}}}")
    for hostile in (markup, *inside, "{|\n|" * 30 + markup):
        assert len(to_text(hostile, Site(language="zh"))) <= 2 * len(hostile) + 40


def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text))


def _prose(markup: str) -> str:
    """What is prose beyond doubt: of lines that begin with a letter or quotes, the words outside of all brackets."""
    markup = html.unescape(
        re.sub(r"(?s)<!--.*?-->|<ref[^<>]*?/>|<ref.*?</ref>|<(gallery|math|timeline).*?</\1>", "", markup)
    )
    while (shorter := re.sub(r"\{\{[^{}]*\}\}|\{\|(?:(?!\{\||\|\}).)*\|\}", "", markup, flags=re.DOTALL)) != markup:
        markup = shorter
    markup = re.sub(r"\w*\[\[[^\[\]]*\]\]\w*|\[[^\[\]]*\]|<[^<>]*>|&\w+;", " ", markup)
    lines = re.findall(r"(?m)^(?:'{2,})?\w[^\[\]{}|<>\n]*$", markup)
    return "\n".join(line for line in lines if len(line) > 100)


def test_prose_of_real_articles_is_complete_and_clean(shared_data: Callable[[str], Path]) -> None:
    files = sorted(shared_data("wiki/wikitext-articles").glob("*.txt"))
    assert len(files) == 71
    kept = prose = dirty = paragraphs = 0
    for file in files:
        markup = file.read_text(encoding="utf-8", errors="replace")
        if "&lt;ref" in markup:  # these were cut out of a dump without undoing its XML
            markup = html.unescape(markup)
        text, wanted = to_text(markup, Site(), file.stem), _words(_prose(markup))
        prose += wanted.total()
        kept += (wanted & _words(text)).total()
        found = [line for line in text.split("\n") if line and "$" not in line]
        paragraphs += len(found)
        dirty += sum(
            bool(re.search(r"\{\{|\}\}|\[\[|\]\]|\|\}|</?(?:ref|br|div|span|small|su[bp])\b", p)) for p in found
        )
    assert prose > 30_000
    assert kept / prose > 0.9999
    assert dirty / paragraphs < 0.001

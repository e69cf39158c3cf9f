"""XML and what is made of it: trees within limits, JATS, Elsevier, MathML, CNXML, XHTML, licences."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data.markup import cnxml, elsevier, jats, licenses, mathml, xhtml, xml
from firn.data.markup.work import MarkupError, date

EVERYTHING = jats.Include(references=True, authors=True, funding=True)

ARTICLE = b"""<?xml version="1.0"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "http://example.org/never-read.dtd">
<article article-type="research-article" xml:lang="en" xmlns:mml="m" xmlns:xlink="l"><front><journal-meta>
<journal-title-group><journal-title>Snow</journal-title></journal-title-group></journal-meta><article-meta>
<article-id pub-id-type="doi">10.1/firn</article-id><title-group><article-title>How <italic>firn</italic> forms
</article-title></title-group><contrib-group><contrib><name><surname>Nansen</surname><given-names>F.</given-names></name></contrib>
</contrib-group><pub-date pub-type="collection"><year>2019</year></pub-date>
<pub-date pub-type="epub"><day>7</day><month>3</month><year>2020</year></pub-date>
<permissions><license xlink:href="http://creativecommons.org/licenses/by-sa/4.0/"/></permissions>
<abstract><p>Snow&nbsp;settles.</p></abstract><abstract abstract-type="graphical"><p>PICTURE</p></abstract>
<funding-group><funding-statement>PAID BY ICE</funding-statement></funding-group></article-meta></front>
<body><sec><label>1</label><title>Density</title><p>It is 830 kg m<sup>-3</sup> in CO<sub>2</sub>
(<italic>
n</italic> = 3)<sup><xref ref-type="bibr" rid="r1">12</xref></sup>:<disp-formula><label>(2)</label>
<mml:math><mml:mi>\xcf\x81</mml:mi><mml:mo>=</mml:mo><mml:mfrac><mml:mi>m</mml:mi><mml:mi>V</mml:mi></mml:mfrac></mml:math>
</disp-formula> where<fn><p>A note.</p></fn> it ends.</p>
<list list-type="order"><list-item><p>one</p></list-item><list-item><p>two</p></list-item></list>
<fig><label>Figure 1</label><caption><title>A core</title><p>From Greenland.</p></caption><graphic/></fig>
<table-wrap><label>Table 1</label><caption><p>Layers.</p></caption><table><thead><tr><th>depth</th><th>age</th></tr>
</thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table></table-wrap></sec></body>
<back><ack><p>Thanks.</p></ack><sec><title>Funding</title><p>MONEY</p></sec>
<sec><title>Author Contributions</title><p>NAMES</p></sec>
<ref-list><title>References</title><ref><mixed-citation>REFERENCE</mixed-citation></ref></ref-list></back>
<sub-article><front-stub><title-group><article-title>Decision letter</article-title></title-group></front-stub>
<body><p>We accept.</p></body></sub-article></article>"""

TEXT = """# How firn forms

## Abstract

Snow\u00a0settles.

## Density

It is 830 kg m⁻³ in CO2 (n = 3) [12]:

$$\\rho = \\frac{m}{V} \\tag{2}$$

where it ends.

A note.

1. one
2. two

Figure 1. A core. From Greenland.

Table 1. Layers.

| depth | age |
| --- | --- |
| 1 | 2 |

## Acknowledgments

Thanks."""


def test_an_article_in_jats() -> None:
    paper, letter = jats.works(xml.parse(ARTICLE), jats.Include())
    assert paper.text == TEXT
    assert paper.published == datetime(2020, 3, 7, tzinfo=UTC)
    assert (paper.license, paper.language, paper.url) == ("CC-BY-SA-4.0", "en", "https://doi.org/10.1/firn")
    assert paper.meta == {"doi": "10.1/firn", "article_type": "research-article", "journal": "Snow"}
    assert letter.text == "# Decision letter\n\nWe accept."
    assert letter.published == paper.published


def test_what_is_left_out_can_be_asked_for() -> None:
    everything = jats.works(xml.parse(ARTICLE), EVERYTHING)[0].text
    for word in ("PAID BY ICE", "MONEY", "NAMES", "REFERENCE", "F. Nansen"):
        assert word in everything
        assert word not in TEXT
    assert "PICTURE" not in everything
    bare = jats.works(xml.parse(ARTICLE), jats.Include(captions=False, tables=False))[0].text
    assert "Greenland" not in bare
    assert "depth" not in bare


def article(body: str, meta: str = "") -> jats.Work:
    front = f"<front><article-meta>{meta}</article-meta></front>"
    return jats.works(xml.parse(f"<article>{front}<body>{body}</body></article>".encode()), jats.Include())[0]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("x<xref ref-type='bibr'><sup>1</sup></xref>.", "x [1]."),
        ("x<sup><xref ref-type='bibr'>1</xref>,<xref ref-type='bibr'>2</xref></sup>", "x [1,2]"),
        ("x<xref ref-type='bibr'><italic><sup>1–3</sup></italic></xref>", "x [1–3]"),
        ("<xref ref-type='bibr'>Smith<sup>4</sup></xref> 10<sup>3</sup>", "Smith [4] 10³"),
        ("x<xref ref-type='fig'>2<sup>3</sup></xref><xref ref-type='fn'><sup>1</sup></xref>", "x2³"),
    ],
)
def test_numbers_that_point_to_the_bibliography(markup: str, text: str) -> None:
    assert article(f"<p>{markup}</p>").text == text


@pytest.mark.parametrize(
    ("dates", "day"),
    [
        ("<pub-date><day>5</day><month>Mar</month><year>2015</year></pub-date>", (2015, 3, 5)),
        ("<pub-date><month>SEPTEMBER</month><year>2015</year></pub-date>", (2015, 9)),
        ("<pub-date><year>2014</year></pub-date><pub-date><month>4</month><year>2015</year></pub-date>", (2015, 4)),
        ("<pub-date><season>Spring</season><month>?</month><day>7</day><year>2015</year></pub-date>", (2015,)),
        ("<pub-date iso-8601-date='2015-03-05'/>", (2015, 3, 5)),
    ],
)
def test_dates_of_publication(dates: str, day: tuple[int, ...]) -> None:
    assert article("", dates).published == datetime(*(*day, 1, 1)[:3], tzinfo=UTC)


def test_abstracts_in_other_languages_are_marked() -> None:
    abstracts = (
        "<abstract><p>One.</p></abstract><trans-abstract xml:lang='fr'><p>Un.</p></trans-abstract>"
        "<trans-abstract xml:lang='de'><title>Zusammenfassung</title><p>Eins.</p></trans-abstract>"
    )
    expected = "## Abstract\n\nOne.\n\n## Abstract (fr)\n\nUn.\n\n## Zusammenfassung\n\nEins."
    assert article("", abstracts).text == expected


def test_cells_that_span_keep_the_columns() -> None:
    xhtml_table = (
        "<table><thead><tr><th rowspan='2'>a</th><th colspan='2'>b</th></tr><tr><th>c</th><th>d</th></tr></thead>"
        "<tbody><tr><td colspan='3'>e</td></tr><tr><td>f</td><td>g</td><td>h</td></tr></tbody></table>"
    )
    expected = "| a | b |  |\n|  | c | d |\n| --- | --- | --- |\n| e |  |  |\n| f | g | h |"
    assert article(xhtml_table).text == expected
    oasis = (
        "<table><tgroup><thead><row><entry morerows='1'>a</entry><entry namest='c2' nameend='c3'>b</entry></row>"
        "<row><entry>c</entry><entry>d</entry></row></thead><tbody><row><entry namest='c1' nameend='c3'>e</entry></row>"
        "<row><entry nameend='c1' namest='c9'/></row>"
        "<row><entry>f</entry><entry>g</entry><entry>h</entry></row></tbody></tgroup></table>"
    )
    assert article(oasis).text == expected
    hostile = "<tr><td colspan='9999' rowspan='9999'>a</td></tr>" * 1_000
    assert len(article(f"<table>{hostile}</table>").text) < 1_000_000


@pytest.mark.parametrize(
    ("markup", "latex"),
    [
        ("<msup><mi>x</mi><mn>2</mn></msup><mo>&#8722;</mo><mn>1</mn>", "x^2 - 1"),
        ("<msub><mi>A</mi><mrow><mi>N</mi><mo>-</mo><mn>1</mn></mrow></msub>", "A_{N - 1}"),
        ("<mi>&#945;</mi><mi>x</mi>", "\\alpha x"),
        ("<mover><mi>p</mi><mo>^</mo></mover>", "\\hat{p}"),
        ("<munderover><mo>&#8721;</mo><mi>i</mi><mi>n</mi></munderover><mi>i</mi>", "\\sum_i^ni"),
        ("<mi mathvariant='double-struck'>R</mi><mi>sin</mi><mi>Re</mi>", "\\mathbb{R}\\sin\\mathrm{Re}"),
        ("<mi>\U0001d4d6</mi><mo>\u2208</mo><mi>\u211d</mi>", "\\mathcal{G} \\in \\mathbb{R}"),
        ("<msqrt><mi>x</mi></msqrt><mroot><mi>x</mi><mn>3</mn></mroot>", "\\sqrt{x}\\sqrt[3]{x}"),
        ("<mfenced open='[' close=']'><mi>a</mi><mi>b</mi></mfenced>", "[a, b]"),
        (
            "<mtable><mtr><mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd></mtr></mtable>",
            "\\begin{matrix} a & b \\end{matrix}",
        ),
        ("<mfrac linethickness='0'><mi>n</mi><mi>k</mi></mfrac>", "{n \\atop k}"),
        ("<mtext>if 50% of</mtext><mo>&lt;</mo>", "\\text{if 50\\% of} <"),
        ("<semantics><mi>y</mi><annotation encoding='application/x-tex'>\\yen</annotation></semantics>", "\\yen"),
        ("<mo>=</mo><mo>-</mo><mn>2</mn>", "= -2"),
        ("<unknown><mi>z</mi></unknown>", "z"),
    ],
)
def test_mathml(markup: str, latex: str) -> None:
    assert mathml.latex(xml.parse(f"<math>{markup}</math>".encode())) == latex


def test_elsevier() -> None:
    made = elsevier.work(
        xml.parse(
            b"<doc xmlns:ce='c'><cover-date-start>2013-08-01</cover-date-start><doi>10.1016/x</doi>"
            b"<oa-user-license>http://creativecommons.org/licenses/by/3.0/</oa-user-license><article>"
            b"<floats><ce:figure id='f'><ce:label>Fig. 1</ce:label><ce:caption><ce:simple-para>Soil.</ce:simple-para>"
            b"</ce:caption></ce:figure></floats><head><ce:title>Soils</ce:title><ce:abstract><ce:section-title>Abstract"
            b"</ce:section-title><ce:abstract-sec><ce:simple-para>Short.</ce:simple-para></ce:abstract-sec></ce:abstract>"
            b"</head><body><ce:sections><ce:section><ce:label>1</ce:label><ce:section-title>Intro</ce:section-title>"
            b"<ce:para>One<ce:hsp sp='0.25'/>m<ce:float-anchor refid='f'/> goes on.</ce:para></ce:section>"
            b"</ce:sections></body></article></doc>"
        ),
        jats.Include(),
    )
    assert made.text == "# Soils\n\n## Abstract\n\nShort.\n\n## Intro\n\nFig. 1. Soil.\n\nOne m goes on."
    assert (made.license, made.published) == ("CC-BY-3.0", datetime(2013, 8, 1, tzinfo=UTC))


def test_a_module_of_openstax() -> None:
    made = cnxml.module(
        xml.parse(
            b"<document xmlns:m='m'><title>Means</title><content><para>See <link target-id='f'/>.</para><figure id='f'>"
            b"<media alt='x'/><caption>Dots.</caption></figure><note><title>Film</title><iframe/></note><exercise>"
            b"<problem><para>What is 1+1?</para></problem><solution><para>Two.</para></solution></exercise>"
            b"<code display='block'"
            b" lang='python'>if x:\n    y</code><para>The <code>int()</code> of <m:math><m:mi>x</m:mi></m:math></para>"
            b"</content><glossary><definition><term>mean</term><meaning>the average</meaning></definition>"
            b"</glossary></document>"
        )
    )
    assert made.text == (
        "# Means\n\nSee the figure.\n\nDots.\n\nWhat is 1+1?\n\nSolution: Two.\n\n```python\nif x:\n    y\n```\n\n"
        "The `int()` of $x$\n\n## Glossary\n\nmean: the average"
    )


def test_xhtml_of_books_keeps_everything_but_navigation() -> None:
    page = (
        "<html><head><title>T</title><style>no</style></head><body><nav>no</nav><h2>I</h2><p>one<br/>two&shy;fold "
        "<a epub:type='noteref' href='#n'>9</a></p><div><div>roses are red</div><div>violets are blue</div></div>"
        "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table><ul><li>x<ul><li>y</li></ul></li></ul>"
        "<pre><code class='language-rust'>fn main() {}</code></pre><blockquote><p>said</p></blockquote></body></html>"
    )
    text = "\n\n".join(block.text for block in xhtml.blocks(xhtml.tree(page.encode(), page)))
    assert text == (
        "I\n\none\ntwofold\n\nroses are red\nviolets are blue\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n- x\n  - y\n\n"
        "```rust\nfn main() {}\n```\n\n> said"
    )


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><a>&b;</a>',  # billion laughs
        b"<!DOCTYPE a [<!ENTITY e '" + b"x" * 100_000 + b"'>]><a>&e;</a>",  # quadratic blowup
        b"<a>" * 1_000,
        b"<a><b></a>",
        b"",
        b"<?xml version='1.0' encoding='no-such'?><a/>",
        b"\xff\xfe<\x00",
    ],
)
def test_what_is_no_xml_or_an_attack_is_refused(data: bytes) -> None:
    with pytest.raises(MarkupError):
        xml.parse(data)


def test_too_many_elements_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "MAX_NODES", 100)
    xml.parse(b"<a>" + b"<b/>" * 99 + b"</a>")
    with pytest.raises(MarkupError, match="more than 100"):
        xml.parse(b"<a>" + b"<b/>" * 100 + b"</a>")


def test_external_entities_are_never_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    for declaration in (f'<!ENTITY e SYSTEM "{secret.as_uri()}">', f'<!ENTITY % p SYSTEM "{secret.as_uri()}"> %p;'):
        root = xml.parse(f"<!DOCTYPE a [{declaration}]><a>1&e;2</a>".encode())
        assert root.content == "12"


@pytest.mark.parametrize(
    "nest", ["list><list-item", "disp-quote", "table><tr><td", "inline-formula", "fig><caption", "sup"]
)
def test_nesting_costs_no_more_than_it_is_long(nest: str) -> None:
    """Rendered twice at each level, 30 levels would take 2^30 steps."""
    names = nest.split("><")
    depth = 90 // len(names)
    opening, closing = f"<{nest}>", "".join(f"</{name}>" for name in reversed(names))
    data = f"<article><front/><body>{opening * depth}x{closing * depth}</body></article>".encode()
    assert "x" in jats.works(xml.parse(data), jats.Include())[0].text
    deep = xml.parse(b"<math>" + b"<msub><mi>x</mi>" * 95 + b"<mi>y</mi>" + b"</msub>" * 95 + b"</math>")
    assert mathml.latex(deep).count("x") == 95
    definitions = xml.parse(b"<html>" + b"<dl><dd>" * 45 + b"x" + b"</dd></dl>" * 45 + b"</html>")
    assert xhtml.blocks(definitions)[0].text == "x"


@given(st.recursive(st.text(max_size=9), lambda inner: st.tuples(
    st.sampled_from(["p", "sec", "title", "list", "list-item", "sup", "table", "tr", "td", "fig", "caption", "math",
        "mi",
                     "msub", "mfrac", "mover", "xref", "disp-formula", "fn", "para", "solution", "dl", "dd", "ul",
                         "a"]),
    st.lists(inner, max_size=4)), max_leaves=25))  # fmt: skip
def test_any_tree_is_written_by_every_vocabulary(tree: object) -> None:
    def element(node: object) -> xml.Element | str:
        if isinstance(node, str):
            return node
        name, children = node  # type: ignore[misc]
        return xml.Element(name, {}, [element(child) for child in children])

    root = xml.Element("article", {}, [xml.Element("body", {}, [element(tree)])])
    assert isinstance(jats.works(root, EVERYTHING)[0].text, str)
    assert isinstance(elsevier.work(root, EVERYTHING).text, str)
    assert isinstance(
        cnxml.module(xml.Element("document", {}, [xml.Element("content", {}, [element(tree)])])).text, str
    )
    assert isinstance(xhtml.blocks(root), list)
    assert isinstance(mathml.latex(root), str)


@given(st.binary(max_size=200))
def test_any_bytes_are_xml_or_refused(data: bytes) -> None:
    with contextlib.suppress(MarkupError):
        xml.parse(data)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("http://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        (
            "https://arxiv.org/licenses/nonexclusive-distrib/1.0/",
            "https://arxiv.org/licenses/nonexclusive-distrib/1.0/",
        ),
        ("all mine", None),
    ],
)
def test_licences_by_url(said: str, name: str | None) -> None:
    assert licenses.from_url(said) == name


def test_licences_by_their_words() -> None:
    words = "under the terms of the Creative Commons Attribution-NonCommercial License, which permits"
    assert licenses.from_text(words) == "CC-BY-NC"
    assert licenses.from_text("Creative Commons CC0 public domain dedication") == "CC0-1.0"
    assert licenses.from_text("All rights reserved.") is None


def test_dates() -> None:
    assert date("2013-08") == datetime(2013, 8, 1, tzinfo=UTC)
    assert date("20130801") == datetime(2013, 8, 1, tzinfo=UTC)
    assert date("2013-13-45") is date("soon") is None


def test_every_paragraph_of_openstax_once_and_in_order(shared_data: Callable[[str], Path]) -> None:
    import re
    import tarfile

    def words(text: str) -> str:
        return " ".join(re.findall(r"\w+", text))

    seen = 0
    with tarfile.open(shared_data("books/openstax/psychology.tar.xz")) as archive:
        for member in archive:
            if member.name.endswith(".cnxml") and seen < 2_000:
                root = xml.parse(archive.extractfile(member).read())  # type: ignore[union-attr]
                text, at = words(cnxml.module(root).text), 0
                for para in root.all("para"):
                    plain = not any(
                        True for _ in para.all("link", "math", "code", "list", "note", "sup", "footnote", "title")
                    )
                    own = words(para.content)
                    if plain and len(own) > 80 and own.count(" ") > 8:
                        at = text.index(own, at) + len(own)
                        seen += 1
    assert seen > 1_000

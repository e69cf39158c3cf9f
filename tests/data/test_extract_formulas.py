"""Formulas that are images, as the programs that make them write them: LaTeX, once, and no other image's alt text."""

from __future__ import annotations

import pytest

from firn.data.extract import ExtractSettings, extract
from firn.data.extract.page import block_texts, read_page

HASH = "e996309bbdde3b8457909580d174720e"


def whole(html: str) -> str:
    return "".join(block_texts(read_page(html))).strip()


IMAGES = {
    "MediaWiki of old": (r'<img class="tex" alt="\pi \over 4" src="/mw/images/math/e/9/9/x.png">', r"\pi \over 4"),
    "MediaWiki, no class": (rf'<img alt="\sqrt n" src="//example.org/math/e/9/{HASH}.png"/>', r"\sqrt n"),
    "MediaWiki, no MathML": (
        r'<img src="https://example.org/svg/c2" class="mwe-math-fallback-image-inline mw-invert" aria-hidden="true"'
        r' alt="{\displaystyle x^{2}&lt;1}">',
        "x^{2}<1",
    ),
    "WordPress": (
        '<img src="//s0.example/latex.php?latex=%5Cdisplaystyle+%5Ctheta+%3D+2%2B1&#038;bg=fff&#038;s=2"'
        ' alt="&#92;displaystyle &#92;theta = 2+1" class="latex">',
        r"\theta = 2+1",
    ),
    "WordPress, no class": ("<img src='/latex.php?bg=ffffff&amp;latex=N%3D%7B1%2C2%7D' alt='N'>", "N={1,2}"),
    "CodeCogs": (
        r'<img alt="equation" src="https://latex.codecogs.com/svg.latex?\Large&space;R_{F}^{2}=1-\frac{a}{b}">',
        r"R_{F}^{2}=1-\frac{a}{b}",
    ),
    "CodeCogs, encoded": (
        '<img src="http://latex.codecogs.com/png.image?%5Cinline%20%5Cdpi%7B200%7D%20%5Cbg_white%20x%2By">',
        "x+y",
    ),
    "mimeTeX": (r'<img src="/cgi-bin/mimetex.cgi?\frac1n" alt="">', r"\frac1n"),
    "Zhihu": ('<img src="https://www.zhihu.com/equation?tex=w_%7Bi%2Cj%7D" alt="w" eeimg="1">', "w_{i,j}"),
    "GitHub": ('<img src="https://render.example/render/math?math=x%20%2B%20y&mode=inline">', "x + y"),
    "loaded late": ('<img src="data:image/gif;base64,R0" data-src="/latex.php?latex=a%2Bb">', "a+b"),
    "Sphinx": (f'<img class="math" src="_images/math/{HASH}4fa1b2c3.png" alt="$p$"/>', "p"),
    "Doxygen": (r'<img class="formulaInl" alt="$ |I_2| $" src="form_0.png"/>', "|I_2|"),
    "LaTeX2HTML": (r'<IMG WIDTH="9" SRC="img1.png" ALT="$\displaystyle \dot{x}=f(x,t)$">', r"\dot{x}=f(x,t)"),
    "LaTeXML": ('<img src="mi1.png" class="ltx_Math" alt="x_i">', "x_i"),
    "AoPS": (r'<img src="/latex/a.png" class="latexcenter" alt="\[x^2 \ge 0\]">', r"x^2 \ge 0"),
}


@pytest.mark.parametrize(("image", "source"), IMAGES.values(), ids=IMAGES)
def test_an_image_of_a_formula_is_latex(image: str, source: str) -> None:
    assert whole(f"<p>before {image} after {image}.</p>") == f"before ${source}$ after ${source}$."
    assert whole(f"<p>before</p><p>{image}</p><p>after</p>") == f"before\n\n$${source}$$\n\nafter"
    assert whole(f"<table><tr><td>a<td>{image}<tr><td>b<td>{image}</table>") == f"a | ${source}$\nb | ${source}$"
    prose = "The area of a circle is found as follows, where the symbols are those of the chapter before. " * 5
    page = f"<title>Area</title><main><h1>Area</h1><p>{prose}</p><p>{prose} {image}</p><p>{prose}</p></main>"
    assert f"${source}$" in extract(page, ExtractSettings()).text


@pytest.mark.parametrize(
    "image",
    [
        '<img class="tex" alt="Math tag" src="a.png">',
        '<img class="latex" alt="Latex" src="a.png">',
        '<img class="tex" src="a.png">',
        '<img class="math" src="/math/pupils.png" alt="Pupils">',
        '<img src="/latex/gloves.jpg" alt="Gloves, 5 = one box">',
        '<img alt="$50 gift card"><img alt="$$$"><img alt="$"><img alt="\\o/">',
        '<img src="https://www.codecogs.com/logo.png" alt="x^2">',
        '<img src="a.png" alt="$\\displaystyle \\begin{array}{c} a \\\\ ...\n...lambda \\end{array}$">',
        '<span class="MathJax_Preview"><img class="tex" alt="x"></span>',
        '<span class="tex math formula"></span>',
    ],
)
def test_other_images_are_no_formulas(image: str) -> None:
    assert whole(f"<p>before {image} after</p>") == "before after"


MATHML = (
    '<span class="mwe-math-mathml-inline" style="display: none;"><math alttext="{\\displaystyle Ax=b}">\n <semantics>'
    "<mrow><mi>A</mi><mi>x</mi><mo>=</mo><mi>b</mi></mrow>\n"
    '<annotation encoding="application/x-tex">{\\displaystyle Ax=b}</annotation>\n</semantics>\n</math></span>'
)
FALLBACK = '<img class="mwe-math-fallback-image-inline" aria-hidden="true" alt="{\\displaystyle Ax=b}" src="a.svg">'


def test_a_formula_is_never_written_twice() -> None:
    for both in (MATHML + FALLBACK, FALLBACK + MATHML, f"{MATHML}\n<a href=x>{FALLBACK}</a>"):
        wrapped = f'<span class="mwe-math-element">{both}</span>'
        assert whole(f"<p>solve {wrapped} or {wrapped} now") == "solve $Ax=b$ or $Ax=b$ now"
    lazy = (
        '<img class="latex" data-src="a.png" alt="x+1"><noscript><img class="latex" src="a.png" alt="x+1"></noscript>'
    )
    assert whole(f"<p>a {lazy} b {lazy}</p>") == "a $x+1$ b $x+1$"
    preview = '<span class="MathJax_Preview"><img class="tex" alt="x"></span><script type="math/tex">x</script>'
    assert whole(f"<p>a {preview} b</p>") == "a $x$ b"


def test_two_images_side_by_side_are_two_formulas() -> None:
    assert whole('<p>a <img class="tex" alt="x"><img class="tex" alt="x"> b</p>') == "a $x$$x$ b"


@pytest.mark.parametrize(
    "image",
    [
        "<img src='/latex.php?" + "&" * 9_000 + "latex'>",
        "<img src='" + "/latex.php?" * 800 + "'>",
        "<img alt='\\begin{" + "a}\\end{" * 1_300 + "}'>",
        "<img alt='" + "$" * 9_000 + "x'>",
        "<img class=tex alt='" + "..." * 3_000 + "'>",
        "<img class=tex alt='{\\displaystyle " + " " * 9_000 + "x'>",
        "<img class=tex alt='" + "a" * 9_000 + "'>",
        "<img class=tex alt='" + "a" * 4_000 + " " * 4_000 + "'>",
        "<img src='//latex.codecogs.com/png.image?" + "\\dpi{1" * 1_500 + "'>",
        "<img class=tex alt=x>" * 100,
        "<math><img class=tex alt=x></math>",
        "<img class=tex alt='\x00x^2\x00'>",
    ],
    ids=lambda image: image[:30].encode("unicode_escape").decode(),
)
def test_hostile_images_come_back(image: str) -> None:
    page = f"<p>before {image * 20}"
    assert len(extract(page, ExtractSettings()).text) <= len(page)

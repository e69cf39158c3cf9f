"""Code listings with line numbers, as the programs that write them do: one block of code, its lines, no numbers."""

from __future__ import annotations

import pytest

from firn.data.extract import ExtractSettings, extract
from firn.data.extract.page import block_texts, read_page

#: What every listing below says.
CODE = ["def area(r):", "    if r < 0:", "", "        return 42", "    return 3 * r"]
LINES = [line.replace("<", "&lt;") for line in CODE]
NUMBERS = range(8, 8 + len(CODE))
PROSE = "The river rises in the hills above the town, and it has been dammed, straightened and set free again. "


def each(pattern: str, between: str = "") -> str:
    """`pattern` for each line: {n} its number, {line} what it says."""
    return between.join(pattern.format(n=n, line=line) for n, line in zip(NUMBERS, LINES, strict=True))


def numbers(pattern: str, between: str = "") -> str:
    return between.join(pattern.format(n=n) for n in NUMBERS)


def spaces(pattern: str) -> str:
    """`pattern` for each line with its indentation as no-break spaces; an empty line has one."""
    lines = [(len(line) - len(line.lstrip(" ")), line.lstrip(" ")) for line in LINES]
    return "".join(pattern.format(line="&nbsp;" * (depth or not line) + line) for depth, line in lines)


LISTINGS = {
    "Pygments, a table": '<table class="highlighttable"><tr><td class="linenos"><div class="linenodiv"><pre>'
    + numbers('<span class="normal">{n:2}</span>', "\n")
    + '</pre></div></td><td class="code"><div class="highlight"><pre><span></span>'
    + "\n".join(LINES)
    + "\n</pre></div></td></tr></table>",
    "Pygments, a table without a class": "<table><tr><td><div class=linenodiv><pre>"
    + numbers("{n}\n")
    + '</pre></div></td><td class="code"><pre>'
    + "\n".join(LINES)
    + "</pre></td></tr></table>",
    "Pygments, within lines": "<div class=highlight><pre>"
    + each('<span class="linenos">{n:2}</span>{line}\n')
    + "</pre>",
    "Pygments of old, within lines": "<div class=highlight><pre>"
    + each('<a name="n-{n}"></a><span class="lineno">{n:2}</span> {line}\n').replace(" \n", "\n")
    + "</pre></div>",
    "pdoc": "<pre>"
    + each('<span id="L-{n}"><a href="#L-{n}"><span class="linenos">{n}</span></a>{line}\n</span>')
    + "</pre>",
    "Rouge": '<pre class="highlight"><code><table class="rouge-table"><tbody><tr><td class="rouge-gutter gl">'
    + '<pre class="lineno">'
    + numbers("{n}\n")
    + '</pre></td><td class="rouge-code"><pre>'
    + "\n".join(LINES)
    + "\n</pre></td></tr></tbody></table></code></pre>",
    "Rouge, a row for each line": '<table class="rouge-line-table"><tbody>\n'
    + each(
        '<tr id="line-{n}" class="lineno"><td class="rouge-gutter gl"><pre>{n}</pre></td>'
        '<td class="rouge-code"><pre>{line}\n</pre></td></tr>\n'
    )
    + "</tbody></table>",
    "Chroma, a table": '<div class="chroma"><table class="lntable"><tr><td class="lntd">\n<pre class="chroma"><code>'
    + numbers('<span class="lnt" id="hl-0-{n}"><a class="lnlinks" href="#hl-0-{n}">{n:2}</a>\n</span>')
    + '</code></pre></td>\n<td class="lntd">\n<pre tabindex="0" class="chroma"><code class="language-py">'
    + each('<span class="line"><span class="cl">{line}\n</span></span>')
    + "</code></pre></td></tr></table>\n</div>",
    "Chroma, within lines": '<pre tabindex="0" class="chroma"><code>'
    + each('<span class="line"><span class="ln">{n:2}</span><span class="cl">{line}\n</span></span>')
    + "</code></pre>",
    "GitHub": '<table class="highlight tab-size js-file-line-container" data-tab-size="8">\n'
    + each(
        '  <tr>\n    <td id="L{n}" class="blob-num js-line-number" data-line-number="{n}"></td>\n'
        '    <td id="LC{n}" class="blob-code blob-code-inner js-file-line">{line}</td>\n  </tr>\n'
    ).replace("></td>\n  </tr>", ">\n</td>\n  </tr>")
    + "</table>",
    "GitHub, copied with its numbers": "<table>"
    + each('<tr><td class="blob-num" data-line-number="{n}">{n}</td> <td class="blob-code">{line}</td> </tr>')
    + "</table>",
    "GitHub, two columns": '<div><div class="react-line-numbers">'
    + numbers('<div class="react-line-number react-code-text" data-line-number="{n}">{n}</div>')
    + '</div><div class="react-code-lines">'
    + each(
        '<div class="react-code-text react-code-line-contents"><div>'
        '<div id="LC{n}" class="react-file-line html-div">{line}</div></div></div>'
    )
    + "</div></div>",
    "SyntaxHighlighter": '<div class="syntaxhighlighter python"><table><tbody><tr><td class="gutter">\n'
    + numbers('<div class="line number{n} index0 alt2">{n}</div>', "\n")
    + '</td><td class="code">\n<div class="container">'
    + spaces('<div class="line number1 index0 alt1"><code class="py plain">{line}</code></div>\n')
    + "</div></td></tr></tbody></table></div>",
    "Crayon": '<table class="crayon-table"><tr class="crayon-row">\n<td class="crayon-nums " data-settings="show">\n'
    '<div class="crayon-nums-content">'
    + numbers('<div class="crayon-num" data-line="x-{n}">{n}</div>')
    + '</div>\n</td>\n<td class="crayon-code"><div class="crayon-pre">'
    + each('<div class="crayon-line" id="x-{n}"><span class="crayon-e">{line}</span></div>')
    + "</div></td></tr></table>",
    "highlight.js, a table": '<pre><code class="hljs"><table class="hljs-ln"><tbody>'
    + each(
        '<tr><td class="hljs-ln-line hljs-ln-numbers" data-line-number="{n}"><div class="hljs-ln-n">{n}</div></td>'
        '<td class="hljs-ln-line hljs-ln-code" data-line-number="{n}">{line}</td></tr>'
    )
    + "</tbody></table></code></pre>",
    "highlight.js, a list": '<pre><code class="hljs"><ol class="hljs-ln">'
    + each(
        '<li><div class="hljs-ln-numbers"><div class="hljs-ln-line hljs-ln-n" data-line-number="{n}"></div></div>'
        '<div class="hljs-ln-code"><div class="hljs-ln-line">{line}</div></div></li>'
    )
    + "</ol></code></pre>",
    "Hexo": '<figure class="highlight python"><table><tr><td class="gutter"><pre>'
    + numbers('<span class="line">{n}</span><br>')
    + '</pre></td><td class="code"><pre>'
    + each('<span class="line">{line}</span><br>')
    + "</pre></td></tr></table></figure>",
    "Octopress": '<div class="highlight"><table><tr><td class="gutter"><pre class="line-numbers">'
    + numbers('<span class="line-number">{n}</span>\n')
    + "</pre></td><td class='code'><pre><code>"
    + each("<span class='line'>{line}\n</span>")
    + "</code></pre></td></tr></table></div>",
    "Prism": '<pre class="line-numbers language-python"><code>'
    + "\n".join(LINES)
    + '<span aria-hidden="true" class="line-numbers-rows">'
    + numbers("<span>{n}</span>")
    + "</span></code></pre>",
    "CodeRay": '<table class="filecontent CodeRay">'
    + each(
        '<tr id="L{n}"><th class="line-num"><a href="#L{n}">{n}</a></th>'
        '<td class="line-code"><pre>{line}\n</pre></td></tr>'
    )
    + "</table>",
    "cgit": '<table class="blob"><tr><td class="linenumbers"><pre>'
    + numbers('<a id="n{n}" href="#n{n}">{n}</a>\n')
    + '</pre></td><td class="lines"><pre><code>'
    + "\n".join(LINES)
    + "</code></pre></td></tr></table>",
    "Doxygen": '<div class="fragment">'
    + each('<div class="line"><a name="l{n}"></a><span class="lineno">{n:5}</span>&#160;{line}</div>\n')
    + "</div><!-- fragment -->",
    "Doxygen, no numbers": '<div class="fragment">' + each('<div class="line">{line}</div>\n') + "</div>",
    "no numbers, lines ended by tags": "<pre>" + "<br>".join(LINES) + "</pre>",
}


@pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS)
def test_a_listing_is_one_block_of_its_lines(listing: str) -> None:
    blocks = read_page(f"<p>before</p>{listing}<p>after</p>")
    assert "".join(block_texts(blocks)).strip("\n").split("\n") == ["before", "", *CODE, "", "after"]
    assert blocks.words.tolist() == [1, len("def area r if r 0 return 42 return 3 r".split()), 1]


@pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS)
def test_a_listing_within_an_article_is_kept_whole(listing: str) -> None:
    body = f"<p>{PROSE * 4}</p><p>{PROSE * 3}</p><p>{PROSE}</p>{listing}<p>{PROSE * 3}</p><p>{PROSE * 5}</p>"
    page = f"<title>Area</title><nav><a href=/>Home</a></nav><main><article><h1>Area</h1>{body}</article></main>"
    assert "\n\n" + "\n".join(CODE) + "\n\n" in extract(page, ExtractSettings()).text


def test_listings_of_several_programs_on_one_page() -> None:
    page = "".join(f"<p>before</p>{listing}" for listing in LISTINGS.values())
    assert "".join(block_texts(read_page(page))).count("\n\n" + "\n".join(CODE)) == len(LISTINGS)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<table><tr><td class=gutter>A note of 1907<td class=code>Prose</table>", "A note of 1907 | Prose"),
        ("<table><tr><td class=gutter>12<td>Prose<tr><td class=gutter>13<td>More</table>", "12 | Prose\n13 | More"),
        ("<table><tr><td class=gutter>12, 13<td class=code>Prose</table>", "12, 13 | Prose"),
        ("<table><tr><td class=lineno>3<td>No name<tr><td class=lineno>4<td>x</table>", "3 | No name\n4 | x"),
        ("<table><tr><td class=linenos>1 5 7<td class=code><pre>x</pre></table>", "1 5 7\n\nx"),
        ("<p>Line <span class=lineno>7</span> is wrong.</p>", "Line 7 is wrong."),
        ("<p><span class=line-number>12</span> to the harbour</p>", "12 to the harbour"),
        ("<pre class=line-numbers>12\n13\n</pre>", "12\n13"),
        ("<div class=gutter><p>1</p></div><div class=line>one</div><div class=line>two</div>", "1\n\none\n\ntwo"),
        ("<p class=fragment>a slide</p><div class=fragment><p>another</p></div>", "a slide\n\nanother"),
        ("<div class=blob-num>a number: 3</div>", "a number: 3"),
    ],
)
def test_what_only_looks_so_stays(page: str, text: str) -> None:
    assert "".join(block_texts(read_page(page))).strip() == text


def test_spaces_after_numbers_stay_where_they_are_the_code_s() -> None:
    """All lines of an excerpt are indented, none by the one space that older Pygments writes."""
    lines = "".join(f"<span class=lineno>{n}</span>{line}\n" for n, line in enumerate(("    a", "      b"), start=1))
    assert "".join(block_texts(read_page(f"<pre>{lines}</pre>"))) == "    a\n      b"


def test_a_table_within_a_listing_s_table_and_text_around_it() -> None:
    inner = "<table><tr><td class=blob-num>1<td>x<tr><td class=blob-num>2<td>  y</table>"
    blocks = read_page(f"<table><tr><td>a<td>{inner}</table><p>b")
    assert "".join(block_texts(blocks)) == "a\n\nx\n  y\n\nb"


@pytest.mark.parametrize(
    "page",
    [
        "<pre>" + "<div class=lineno>" * 1_900 + "1\n" * 100_000,
        "<div class=blob-num>" * 1_900 + " " * 100_000 + "x",
        "<table><tr><td class=blob-num>1<td>x<tr><td class=blob-num>2<td>" * 480 + "<b>x</b>" * 50_000,
        "<div>" * 1_900 + "<li><div class=hljs-ln-numbers>1</div></li>" * 10_000,
        "<div class='gutter " + "lineno " * 100_000 + "'>x",
        "<pre><span class=lineno>" + "9" * 100_000 + "</span> x</pre>",
        "<div class=fragment>" * 1_900 + "<div class=line>x</div>" * 10_000,
        "<td class=gutter>1<td class=code><div class=line>",
        "<pre><span class=lineno>1",
    ],
    ids=lambda page: page[:40],
)
def test_hostile_listings_come_back(page: str) -> None:
    assert len(extract(page, ExtractSettings()).text) <= len(page)

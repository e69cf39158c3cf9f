"""LaTeX: what authors define, numbers and citations, tables, limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data.markup import latex, tex, tex_lexer
from firn.data.markup.jats import Include
from firn.data.markup.work import MarkupError


def text(source: str, **files: str) -> str:
    made = latex.work(
        {"main.tex": source, **{name.replace("__", "."): body for name, body in files.items()}}, "main.tex", Include()
    )
    return made.text


def body(source: str, preamble: str = "") -> str:
    return text(f"\\documentclass{{article}}{preamble}\\begin{{document}}{source}\\end{{document}}")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Caf\\'e na\\\"{\\i}ve Erd\\H{o}s \\v{C}ech \\ss{} \\o re", "Café naïve Erdős Čech ß øre"),
        ("``So'' -- she said --- `it' \\ldots 5\\,\\% \\& \\_ \\#1", "“So” – she said — ‘it’ …5 % & _ #1"),
        ("a % comment\nb", "a b"),
        ("one\n\ntwo", "one\n\ntwo"),
        ("\\emph{very} \\textbf{bold} {\\it old} \\unknown[opt]{kept}", "very bold old kept"),
        ("\\vspace{2cm}\\hskip 3pt plus 1pt text\\label{x}", "text"),
        ("Let $x\\in\\R$ be", "Let $x\\in\\mathbb{R}$ be"),
        ("\\[ a = b \\]", "$$a = b$$"),
        ("\\(z\\) and \\verb|a_b%c|", "$z$ and a_b%c"),
        ("\\pair{a}{b} \\opt{x} \\opt[o]{x}", "<a,b> dx ox"),
        ("\\swap a.b; end", "b-a end"),
        ("\\iffalse no \\else yes \\fi \\ifdraft no\\fi \\drafttrue\\ifdraft now\\fi", "yes now"),
        ("\\begin{warn}careful\\end{warn}", "Warning: careful!"),
        ("\\begin{itemize}\\item a\\item[b:] c\\begin{enumerate}\\item d\\end{enumerate}\\end{itemize}",
         "- a\n- b: c\n  1. d"),
        ("\\begin{tabular}{l|r}\\hline a & b \\\\ \\cmidrule(lr){1-2} \\multicolumn{2}{c}{x \\& y}\\\\\\end{tabular}",
         "| a | b |\n| --- | --- |\n| x & y |"),
        ("\\begin{verbatim}\n\\x{ %\n\\end{verbatim}", "```\n\\x{ %\n```"),
        ("\\begin{lstlisting}[language=Python]\ndef f(): pass\n\\end{lstlisting}", "```python\ndef f(): pass\n```"),
        ("\\begin{tikzpicture}\\draw (0,0);\\end{tikzpicture}after", "after"),
        ("\\begin{abstract}Short.\\end{abstract}", "## Abstract\n\nShort."),
        ("\\begin{thm}[Gauss]\\label{t}It is.\\end{thm} By \\ref{t}.", "Claim 1 (Gauss). It is.\n\nBy 1."),
        ("w\\footnote{A remark.} x\\footnote{\\url{http://a.b/c_d}}.", "w x (http://a.b/c_d).\n\nA remark."),
        ("\\section{One}\\subsection{Two}\\label{s}See \\S\\ref{s}.", "## One\n\n### Two\n\nSee §1.1."),
        ("\\begin{equation}\\label{e}x\\end{equation} by \\eqref{e}", "$$x \\tag{1}$$\n\nby (1)"),
        ("\\begin{align}a&=b\\label{e}\\\\c&=d\\nonumber\\end{align}",
         "\\begin{align*}\na&=b \\tag{1} \\\\\nc&=d\n\\end{align*}"),
        ("\\begin{figure}\\includegraphics{x}\\caption{A core.}\\label{f}\\end{figure}Figure~\\ref{f}",
         "Figure 1: A core.\n\nFigure 1"),
    ],
)  # fmt: skip
def test_what_is_written(source: str, expected: str) -> None:
    preamble = (
        "\\newcommand{\\R}{\\mathbb{R}}\\newcommand\\pair[2]{<#1,#2>}\\newcommand{\\opt}[2][d]{#1#2}"
        "\\def\\swap#1.#2;{#2-#1}\\newif\\ifdraft\\newenvironment{warn}{Warning: }{!}\\newtheorem{thm}{Claim}"
    )
    assert body(source, preamble) == expected


def test_title_and_what_stands_around_the_text() -> None:
    made = text(
        "\\documentclass{article}\\title{On \\emph{Firn}\\thanks{No one}}\\author{A. B.}\\begin{document}\\maketitle"
        "\\section{Main}Text.\\section*{Funding}Money.\\section{More}Words.\\bibliography{x}\\end{document}After"
    )
    assert made == "# On Firn\n\n## Main\n\nText.\n\n## More\n\nWords."


def test_citations_by_number_and_by_name() -> None:
    numbers = "\\begin{thebibliography}{9}\\bibitem{b} B.\\bibitem{a} A.\\end{thebibliography}"
    assert body("As \\cite{a,b}, \\cite[p.~3]{b}." + numbers) == "As [2, 1], [1, p. 3]."
    named = '\\bibitem[{Knuth and Plass(1981)}]{k} x \\bibitem[{F\\"arber(2019)}]{f}'
    source = "\\documentclass{a}\\begin{document}\\citet{k} and \\citep[see][]{f}; \\citeauthor{k}\\end{document}"
    assert text(source, main__bbl=named) == "Knuth and Plass (1981) and (see Färber, 2019); Knuth and Plass"


def test_files_are_included_from_the_set_and_nowhere_else() -> None:
    body = "\\input{one}\\include{../../etc/passwd}\\mac"
    source = f"\\documentclass{{a}}\\usepackage{{mine}}\\begin{{document}}{body}\\end{{document}}"
    made = latex.work(
        {"m.tex": source, "one.tex": "One.", "mine.sty": "\\newcommand{\\mac}{macro}\\def\\x@y{no}"}, "m.tex", Include()
    )
    assert made.text == "One.macro"
    assert made.meta["missing_files"] == ["../../etc/passwd"]


def test_the_main_file_is_found() -> None:
    files = {
        "a/supplement.tex": "\\documentclass{article}\\begin{document}x\\end{document}",
        "paper.tex": "\\documentclass{article}\\begin{document}x\\end{document}",
        "intro.tex": "\\section{x}",
        "fig.tex": "\\documentclass{standalone}\\begin{document}x\\end{document}",
    }
    assert latex.main_file(files) == "paper.tex"
    assert latex.main_files(files) == ["paper.tex", "a/supplement.tex"]
    assert latex.main_file({"x.sty": ""}) is None


@pytest.mark.parametrize(
    "source",
    [
        "\\def\\zz{x\\zz}\\zz",
        "\\def\\za#1{#1#1}" + "\\za{" * 40 + "x" + "}" * 40,
        "\\def\\za#1{" + "#1" * 9_000 + "}\\za{" + "x " * 9_000 + "}",
        "\\input{main}",
        "\\begin{quote}" * 100 + "x",
        "\\footnote{" * 100,
    ],
)
def test_macros_and_files_without_end_are_refused(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tex, "MAX_EXPANDED", 1 << 20)
    with pytest.raises(MarkupError):
        text(source)


@given(
    st.lists(
        st.sampled_from(
            ["\\", "{", "}", "$", "$$", "[", "]", "%", "&", "#", "#1", "\n\n", " ", "a", "~",
             "\\begin{itemize}", "\\item",
             "\\end{itemize}", "\\begin{tabular}{l}", "\\end{tabular}", "\\def\\zz#1{#1}", "\\zz",
                 "\\newcommand{\\yy}[2][x]{#1#2}",
             "\\yy", "\\if", "\\iffalse", "\\else", "\\fi", "\\section", "\\caption", "\\cite", "\\ref",
                 "\\label{a}", "\\[", "\\]",
             "\\begin{equation}", "\\end{equation}", "\\verb|x|", "\\begin{verbatim}", "\\'", "\\let\\zz=\\yy",
                 "\\footnote", "\\title",
             "\\\\", "\\csname", "\\endcsname", "\\vskip", "\\begin{document}", "\\end{document}", "\\begin",
             "\\end", "\\bibitem"]
        ),
        max_size=60,
    )
)  # fmt: skip
def test_any_source_is_read_or_refused(pieces: list[str]) -> None:
    try:
        made = text("".join(pieces))
    except MarkupError:
        return
    assert "\x01" not in made
    assert tex_lexer.VERBATIM not in made


@given(
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\\{}$&#^_~%`'-[]\"\x00\x01\u2028"), max_size=80)
)
def test_plain_words_come_through(words: str) -> None:
    from firn.data.normalise import normalise

    assert "".join(text(words).split()) == "".join(normalise(words).split())

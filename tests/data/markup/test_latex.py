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
        ("$$x=\\cases{a&if $t<0$\\cr b&$t>0$\\cr}$$ $x\\hbox{ if $y$}z$, $a{b$ c $d$",
         "$$x=\\cases{a&if $t<0$\\cr b&$t>0$\\cr}$$\n\n$x\\hbox{ if $y$}z$, $a{b$ c $d$"),
        ("\\(z\\) and \\verb|a_b%c|", "$z$ and a_b%c"),
        ("\\pair{a}{b} \\opt{x} \\opt[o]{x}", "<a,b> dx ox"),
        ("\\swap a.b; end", "b-a end"),
        ("\\iffalse no \\else yes \\fi \\ifdraft no\\fi \\drafttrue\\ifdraft now\\fi", "yes now"),
        ("\\begin{warn}careful\\end{warn}", "Warning: careful!"),
        ("\\begin{itemize}\\item a\\item[b:] c\\begin{enumerate}\\item d\\end{enumerate}\\end{itemize}",
         "- a\n- b: c\n  1. d"),
        ("\\begin{tabular}{l|r}\\hline a & b \\\\ \\cmidrule(lr){1-2} \\multicolumn{2}{c}{x \\& y}\\\\\\end{tabular}",
         "| a | b |\n| --- | --- |\n| x & y |  |"),
        ("\\begin{tabular}{lll} & \\multicolumn{2}{c}{top} \\\\ a & b & c \\\\ \\multicolumn3l{end} \\end{tabular}",
         "|  | top |  |\n| --- | --- | --- |\n| a | b | c |\n| end |  |  |"),
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
        ("\\ifthenelse{\\boolean{long}}{no}{yes} \\setboolean{long}{true}\\ifthenelse{\\boolean{long}}{A}{B}"
         " \\ifthenelse{\\NOT\\boolean{long}}{A}{B} \\ifthenelse{\\not\\equal{a}{\\kind}}{A}{B} \\iftoggle{t_1}{A}{B}"
         " \\ifthenelse{\\isodd{1}}{A}{B}", "yes A B B A B"),
        ("\\begin{frame}<1->[fragile]{Title \\emph{x}}text\\end{frame}\\begin{block}{Why}So.\\end{block}"
         "\\begin{frame}\\frametitle{Next}text\\end{frame}",
         "#### Title x\n\ntext\n\n#### Why\n\nSo.\n\n#### Next\n\ntext"),
        ("\\lstinline{x{y}} \\lstinline[language=C]|a_b| \\mintinline{python}{d = {}} \\verb{c{", "x{y} a_b d = {} c"),
        ("10\\textsuperscript{-3} 4\\textsuperscript{th} x\\textsuperscript{$n$} e\\textsuperscript{2n}",
         "10⁻³ 4th x$n$ e^(2n)"),
        ("\\gls{api}, \\gls{api}, \\glspl{api}; \\Gls{term}; \\acrfull{api}, \\acrlong{api}",
         "Application Interface (API), API, APIs; Firn; Application Interface (API), Application Interface"),
        ("\\ac{ice} \\ac{ice} \\gls{no}", "Old Ice (OI) OI no"),
        ("\\centerline{\\bf a}\\centerline{b} c", "a\n\nb\n\nc"),
        ("$$x=y\\eqno{\\rm(3a)}$$ $$z \\tag{1} \\\\ w \\tag{2}$$",
         "$$x=y \\tag{3a}$$\n\n$$z \\tag{1} \\\\ w \\tag{2}$$"),
    ],
)  # fmt: skip
def test_what_is_written(source: str, expected: str) -> None:
    preamble = (
        "\\newcommand{\\R}{\\mathbb{R}}\\newcommand\\pair[2]{<#1,#2>}\\newcommand{\\opt}[2][d]{#1#2}"
        "\\def\\swap#1.#2;{#2-#1}\\newif\\ifdraft\\newenvironment{warn}{Warning: }{!}\\newtheorem{thm}{Claim}"
        "\\newcommand{\\kind}{a}"
        "\\newboolean{long}\\newtoggle{t_1}\\toggletrue{t_1}\\newacronym[x=y]{api}{API}{Application Interface}"
        "\\newglossaryentry{term}{name={firn}, description={old snow, short=no}}"
        "\\DeclareAcronym{ice}{short = OI, long = {Old Ice}}"
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


def test_a_file_is_not_read_within_itself() -> None:
    files = {"main.tex": "\\documentclass{a}\\begin{document}One \\input{a}\\input{a}\\end{document}"}
    files |= {"a.tex": "two \\input{b}\\input{main}", "b.tex": "three \\input{a}"}
    made = latex.work(files, "main.tex", Include())
    assert made.text == "One two three two three"
    assert made.meta["missing_files"] == ["a", "main"]


AMS_TEX = r"""\input amstex
\documentstyle{amsppt}
\magnification=\magstep1 \hsize=6.5truein \baselineskip=14pt plus 1pt
\font\big=cmr10 scaled \magstep2 \font\sc = cmcsc10 at 12pt \headline={\hfil head}
\define\R{\Bbb R}
\topmatter
\title On Groups
and Rings\endtitle
\author A. Author\endauthor \affil Somewhere\endaffil \subjclass 11A\endsubjclass
\abstract We do $x\in\R$.\endabstract
\endtopmatter
\document
\head 1. Intro\endhead
See \cite{12, Thm.~3}.\footnote"*"{A note.}
$$\align a&=b\\ c&=d \tag1.2\endalign$$
and
$$M=\matrix 1&2\\3&4\endmatrix \tag"(*)"$$
\proclaim{Theorem 1} Let it be.\endproclaim
\demo{Proof.} Easy.\qed\enddemo
\roster\item"(1)" one \item"(2)" two\endroster
\Refs \ref\no1\by Knuth\endref \endRefs
\enddocument
after"""

PLAIN_TEX = r"""\magnification=1200 \nopagenumbers \myskip=12pt
\def\cl{\centerline}\def\ref#1{[#1]}
\cl{On Snow}\cl{A. Author}
\bigskip\cl{\bf 1. Intro}

Text\ref{7}.\footnote{*}{A note.} $$x=y \eqno(1)$$ where $\alpha=3$.
\medskip\noindent More.
\beginsection 2. Rest

\item{(i)} first
\itemitem{(a)} second

\halign{\hfil#&\quad#\cr a&b\cr c&d\cr}
{\bf References}\par
\item{[7]} REFERENCE
\vfill\eject
\leftline{\bf Figure captions}
1. A core.
%s
after"""


def test_ams_tex() -> None:
    expected = (
        "# On Groups and Rings\n\n## Abstract\n\nWe do $x\\in\\Bbb R$.\n\n## 1. Intro\n\nSee [12, Thm. 3].\n\n"
        "A note.\n\n"
        "$$\\begin{aligned}a&=b\\\\ c&=d\\end{aligned} \\tag{1.2}$$\n\nand\n\n"
        "$$M=\\begin{matrix}1&2\\\\3&4\\end{matrix} \\tag{*}$$\n\nTheorem 1. Let it be.\n\nProof. Easy.\n\n"
        "(1) one\n\n(2) two"
    )
    assert text(AMS_TEX) == expected


@pytest.mark.parametrize("end", ["\\bye", "\\end"])
def test_plain_tex(end: str) -> None:
    assert text(PLAIN_TEX % end) == (
        "On Snow\n\nA. Author\n\n## 1. Intro\n\nText[7].\n\nA note.\n\n$$x=y \\tag{1}$$\n\nwhere $\\alpha=3$.\n\n"
        "More.\n\n## 2. Rest\n\n(i) first\n\n(a) second\n\n| a | b |\n| --- | --- |\n| c | d |\n\n"
        "## Figure captions\n\n1. A core."
    )


@pytest.mark.parametrize(
    "unit",
    ["\\newacronym{", "\\newglossaryentry{a}{", "a=", "\\gls{", "\\title ", "\\title{", "\\endtitle ", "\\proclaim{",
     "\\halign{", "\\tag ", "$\\tag ", "\\footnote", "\\font", "\\lstinline{", "\\ifthenelse{", "\\equal{",
     "\\headline={", "\\eqno", "x", "${", "$${", "$"],
)  # fmt: skip
def test_much_of_anything_takes_no_more_than_its_length(unit: str) -> None:
    """Were any of it quadratic, this would take minutes."""
    for source in (unit * (200_000 // len(unit)), f"\\newglossaryentry{{a}}{{{unit * (200_000 // len(unit))}"):
        try:
            assert len(text(f"{source}\\endtitle")) <= 4 * len(source)
        except MarkupError:
            continue


def test_keys_of_the_glossary_have_an_end() -> None:
    looped = "\\newacronym{a}{\\gls{b}\\gls{b}}{x}\\newacronym{b}{\\gls{a}\\gls{a}}{y}"
    assert body("\\gls{a} \\gls{b}", looped) == "x (bb) y (aa)"
    long = f"\\newacronym{{a}}{{{'x' * 250}}}{{}}"
    assert len(body("\\gls{a} " * 20_000, long)) < 2_000_000


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
    withdrawn = "%auto-ignore\nThis paper has been withdrawn."
    assert latex.main_files({"x.tex": withdrawn}) == []
    assert latex.main_files({"x.tex": f"{withdrawn}\\begin{{document}}x\\end{{document}}"}) == ["x.tex"]
    assert latex.main_files({"a.tex": withdrawn, "b.tex": "\\input{a} text"}) == ["b.tex"]


@pytest.mark.parametrize(
    "source",
    [
        "\\def\\zz{x\\zz}\\zz",
        "\\def\\za#1{#1#1}" + "\\za{" * 40 + "x" + "}" * 40,
        "\\def\\za#1{" + "#1" * 9_000 + "}\\za{" + "x " * 9_000 + "}",
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
             "\\end", "\\bibitem", "\\title", "\\endtitle", "\\proclaim", "\\endproclaim", "\\bye", "\\tag", "\\align",
             "\\endalign", "\\halign", "\\font", "=", "=1pt", "\\gls", "\\newacronym", "\\ifthenelse", "\\lstinline{",
             "\\textsuperscript", "\\begin{frame}", "\\end{frame}", "\\eqno", "\\cr", "\\headline", "\\input{main}",
             '"']
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

"""What the reader of LaTeX knows of commands and environments. Tables only."""

from __future__ import annotations

#: Control sequence -> text.
SYMBOLS = {
    "\\%": "%", "\\&": "&", "\\$": "$", "\\#": "#", "\\_": "_", "\\{": "{", "\\}": "}", "\\ ": " ", "\\,": " ",
    "\\;": " ", "\\:": " ", "\\!": "", "\\/": "", "\\-": "", "\\@": "", "\\quad": " ", "\\qquad": " ", "\\space": " ",
    "\\enspace": " ", "\\thinspace": " ", "\\nobreakspace": " ", "\\hfill": " ", "\\hfil": " ", "\\newline": " ",
    "\\ldots": "…", "\\dots": "…", "\\textellipsis": "…", "\\S": "§", "\\P": "¶", "\\copyright": "©", "\\pounds": "£",
    "\\textregistered": "®", "\\texttrademark": "™", "\\textdegree": "°", "\\textbackslash": "\\", "\\textbar": "|",
    "\\textless": "<", "\\textgreater": ">", "\\textasciitilde": "~", "\\textasciicircum": "^", "\\texttildelow": "~",
    "\\textunderscore": "_", "\\textbullet": "•", "\\textendash": "–", "\\textemdash": "—", "\\textquoteleft": "‘",
    "\\textquoteright": "’", "\\textquotedblleft": "“", "\\textquotedblright": "”", "\\textquotedbl": '"',
    "\\textquotesingle": "'", "\\lq": "‘", "\\rq": "’", "\\ss": "ß", "\\ae": "æ", "\\AE": "Æ", "\\oe": "œ", "\\OE": "Œ",
    "\\o": "ø", "\\O": "Ø", "\\l": "ł", "\\L": "Ł", "\\aa": "å", "\\AA": "Å", "\\i": "ı", "\\j": "ȷ", "\\dag": "†",
    "\\ddag": "‡", "\\dagger": "†", "\\LaTeX": "LaTeX", "\\TeX": "TeX", "\\LaTeXe": "LaTeX2e", "\\BibTeX": "BibTeX",
    "\\textmu": "µ", "\\texteuro": "€", "\\euro": "€", "\\EUR": "€", "\\textpm": "±", "\\texttimes": "×",
    "\\nobreakdash": "", "\\slash": "/", "\\guillemotleft": "«", "\\guillemotright": "»", "\\og": "« ", "\\fg": " »",
    "\\textsection": "§", "\\textdagger": "†", "\\checkmark": "✓", "\\cmark": "✓", "\\xmark": "✗",
    "\\textasteriskcentered": "*",
    "\\eg": "e.g.", "\\ie": "i.e.", "\\etal": "et al.", "\\th": "þ", "\\TH": "Þ", "\\dh": "ð", "\\dj": "đ",
}  # fmt: skip

#: Control sequence -> combining character for the letter that follows.
ACCENTS = {
    "\\'": "\u0301", "\\`": "\u0300", "\\^": "\u0302", '\\"': "\u0308", "\\~": "\u0303", "\\=": "\u0304",
    "\\.": "\u0307", "\\u": "\u0306", "\\v": "\u030c", "\\H": "\u030b", "\\c": "\u0327", "\\k": "\u0328",
    "\\r": "\u030a", "\\d": "\u0323", "\\b": "\u0331",
}  # fmt: skip

#: Control sequence -> how many arguments go with it when it is left out.
LEFT_OUT = {
    **dict.fromkeys(
        """author affiliation affil address email institute authorrunning titlerunning date thanks keywords pacs
        bibliographystyle bibliography addbibresource nocite usepackage RequirePackage documentclass documentstyle
        pagestyle thispagestyle vspace hspace vspace* hspace* includegraphics includegraphics* includepdf graphicspath
        index glossary pagenumbering newcounter stepcounter refstepcounter hyphenation input ccsdesc acmConference
        inst IEEEauthorblockN IEEEauthorblockA footnotemark setcitestyle hypersetup color
        textcolor@ colorbox@ linespread vphantom hphantom phantom tikzset pgfplotsset usetikzlibrary lstset captionsetup
        newlength newsavebox usebox theoremstyle allowdisplaybreaks@ markright noalign orcid
        institution city country state postcode streetaddress acmDOI acmISBN acmYear acmPrice received
        DOI lhead rhead chead lfoot rfoot cfoot special ifthenelse@ openup urlstyle externaldocument
        bibitem@ printbibliography@ newblock@ preprint subjclass subjclass* dedicatory curraddr urladdr fnmark tnotetext
        ead cortext corref fntext fnref tnoteref shorttitle shortauthors altaffiliation noaffiliation@ collaboration
        homepage titlecontents documentversion PassOptionsToPackage loadglsentries cline specialrule
        arrayrulecolor rowcolor columncolor cellcolor definecolorset vskip@ chaptermark sectionmark subsectionmark
        setlist fontfamily fontseries fontshape selectlanguage foreignlanguage@ lstinputlisting verbatiminput
        rightline@ tableofcontents@ acmSubmissionID acmArticle acmVolume acmNumber acmMonth setcopyright copyrightyear
        acmJournal terms category numberwithin@ counterwithin icmltitlerunning""".split(), 1
    ),
    **dict.fromkeys(
        """setlength addtolength setcounter addtocounter settowidth definecolor@ colorlet newcolumntype
        DeclareGraphicsExtensions@ titleformat@ PassOptionsToPackage fontsize rule counterwithin markboth
        DeclareUnicodeCharacter newfloat setmainfont@ pdfbookmark numberwithin icmlauthor icmlaffiliation
        icmlcorrespondingauthor crefname@ SetKwInOut SetKwFunction newacronym@ lstdefinelanguage lstdefinestyle
        AtBeginEnvironment SetMathAlphabet@ floatname declaretheoremstyle@ renewbibmacro
        newglossaryentry DeclareAcronym acrodef""".split(), 2
    ),
    **dict.fromkeys(
        """definecolor addcontentsline crefname Crefname newacronym DeclareMathAlphabet@
        DeclareFieldFormat""".split(), 3
    ),
    **dict.fromkeys("DeclareFontShape DeclareFontFamily@ SetSymbolFont".split(), 6),
}  # fmt: skip
LEFT_OUT = {f"\\{name}": count for name, count in LEFT_OUT.items() if not name.endswith("@")}

#: Commands whose first arguments are settings; the last one is text.
SETTINGS_FIRST = {
    "\\textcolor": 1, "\\colorbox": 1, "\\fcolorbox": 2, "\\raisebox": 1, "\\parbox": 1, "\\makebox": 0,
    "\\framebox": 0, "\\resizebox": 2, "\\scalebox": 1, "\\rotatebox": 1, "\\multicolumn": 2, "\\multirow": 2,
    "\\href": 1, "\\foreignlanguage": 1, "\\hyperref": 0, "\\adjustbox": 1, "\\hyperlink": 1, "\\hypertarget": 1,
    "\\resizebox*": 2, "\\texorpdfstring": 0, "\\todo": 0, "\\SI": 0,
}  # fmt: skip

#: Registers and glue of plain TeX, which a length follows without braces.
LENGTHS = frozenset(
    "\\" + name
    for name in """vskip hskip kern parindent parskip baselineskip hsize vsize leftskip rightskip topskip hoffset
    voffset textwidth textheight oddsidemargin evensidemargin topmargin headheight headsep footskip columnsep tabcolsep
    abovedisplayskip belowdisplayskip raggedbottom@ lineskip jot mathsurround overfullrule tolerance penalty
    hfuzz vfuzz hbadness vbadness clubpenalty widowpenalty linewidth columnwidth itemsep parsep topsep partopsep
    pretolerance hangindent hangafter pageno interlinepenalty raise lower moveleft moveright setbox floatsep
    textfloatsep intextsep magnification magstep multiply divide advance looseness marginparwidth""".split()
    if not name.endswith("@")
)

#: Command -> level of the heading; 1 is a chapter's.
HEADINGS = {
    "\\part": 1, "\\chapter": 1, "\\section": 2, "\\subsection": 3, "\\subsubsection": 4, "\\paragraph": 5,
    "\\subparagraph": 6,
}  # fmt: skip

#: Environments that are one formula.
FORMULAS = frozenset(
    """equation equation* displaymath math align align* alignat alignat* flalign flalign* gather gather* multline
    multline* eqnarray eqnarray* dmath dmath* subequations@ IEEEeqnarray IEEEeqnarray* darray empheq""".split()
)
#: ... of several lines, which keep the environment.
LINES = frozenset("align alignat flalign gather multline eqnarray IEEEeqnarray".split())

#: Environments left out with all in them.
SKIPPED = frozenset(
    """tikzpicture pgfpicture pspicture picture thebibliography CCSXML keywords keyword filecontents forest tikzcd
    psfrags axis bytefield IEEEkeywords comment frontmatter@ authors acks@ titlepage@ overpic asy dot2tex circuitikz
    feynmandiagram references""".split()
)

#: Environments -> arguments in braces that are no text.
ENVIRONMENT_ARGUMENTS = {
    "tabular": 1, "tabular*": 2, "tabularx": 2, "tabulary": 2, "longtable": 1, "array": 1, "minipage": 1,
    "wrapfigure": 2, "wraptable": 2, "multicols": 1, "thebibliography": 1, "adjustbox": 1, "CJK": 2, "CJK*": 2,
    "subfigure": 1, "subtable": 1, "xltabular": 2, "tabu": 1, "spacing": 1, "adjustwidth": 2, "list": 2, "tblr": 1,
    "turn": 1, "rotate": 1, "resizebox": 2, "scope": 0, "floatingfigure": 1, "subequations": 0,
}  # fmt: skip

TABLES = frozenset("tabular tabular* tabularx tabulary longtable xltabular tabu supertabular tblr".split())
LISTS = frozenset(
    """itemize enumerate description inparaenum compactitem compactenum list enumerate* itemize* enumitem
    asparaenum questions trivlist@ inparaitem""".split()
)
#: Environments whose line breaks are the author's.
BROKEN = frozenset("center flushleft flushright verse quote quotation tabbing obeylines".split())
#: Environment -> heading above it.
TITLED = {
    "abstract": "Abstract", "acknowledgments": "Acknowledgments", "acknowledgements": "Acknowledgments",
    "acknowledgment": "Acknowledgments", "ack": "Acknowledgments", "acks": "Acknowledgments",
}  # fmt: skip
#: Beamer's: the title follows in braces.
FRAMES = frozenset("frame block alertblock exampleblock".split())
#: What theorem-like environments are called where the author does not say.
STATEMENTS = {
    "theorem": "Theorem", "lemma": "Lemma", "proposition": "Proposition", "corollary": "Corollary",
    "definition": "Definition", "remark": "Remark", "example": "Example", "conjecture": "Conjecture", "claim": "Claim",
    "proof": "Proof", "thm": "Theorem", "lem": "Lemma", "prop": "Proposition", "cor": "Corollary", "defn": "Definition",
    "problem": "Problem", "exercise": "Exercise", "solution": "Solution", "notation": "Notation",
    "assumption": "Assumption",
}  # fmt: skip

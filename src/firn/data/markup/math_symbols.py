"""Characters of mathematics and what LaTeX calls them. Tables only.

Names are those of LaTeX with amsmath and amssymb, which every reader of LaTeX knows.
"""

from __future__ import annotations

import unicodedata

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau "
    "upsilon phi chi psi omega"
).split()

#: Character -> LaTeX.
SYMBOLS = {
    "\\": "\\backslash", "{": "\\{", "}": "\\}", "%": "\\%", "#": "\\#", "&": "\\&", "$": "\\$", "_": "\\_",
    "^": "\\hat{}", "~": "\\sim", "\u00a0": "~", "\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2013": "-",
    "\u2014": "-", "\u2217": "*", "\u204e": "*", "\u22c5": "\\cdot", "\u00b7": "\\cdot", "\u2022": "\\bullet",
    "\u00d7": "\\times", "\u00f7": "\\div", "\u00b1": "\\pm", "\u2213": "\\mp", "\u2218": "\\circ", "\u00b0": "^\\circ",
    "\u2032": "'", "\u2033": "''", "\u2034": "'''", "\u2026": "\\ldots", "\u22ef": "\\cdots", "\u22ee": "\\vdots",
    "\u22f1": "\\ddots", "\u221e": "\\infty", "\u2202": "\\partial", "\u2207": "\\nabla", "\u2206": "\\Delta",
    "\u2126": "\\Omega", "\u210f": "\\hbar", "\u210e": "h", "\u2113": "\\ell", "\u2118": "\\wp", "\u211c": "\\Re",
    "\u2111": "\\Im", "\u2135": "\\aleph", "\u2205": "\\emptyset", "\u2200": "\\forall", "\u2203": "\\exists",
    "\u2204": "\\nexists", "\u00ac": "\\neg", "\u2227": "\\wedge", "\u2228": "\\vee", "\u2229": "\\cap",
    "\u222a": "\\cup", "\u2216": "\\setminus", "\u2295": "\\oplus", "\u2296": "\\ominus", "\u2297": "\\otimes",
    "\u2299": "\\odot", "\u22c6": "\\star", "\u2605": "\\star", "\u2020": "\\dagger", "\u2021": "\\ddagger",
    "\u25a1": "\\square", "\u25a0": "\\blacksquare", "\u22a4": "\\top", "\u22a5": "\\perp", "\u2225": "\\parallel",
    "\u2016": "\\|", "\u2223": "\\mid", "\u2224": "\\nmid", "\u2220": "\\angle", "\u25b3": "\\triangle",
    "\u25ca": "\\lozenge", "\u266d": "\\flat", "\u266f": "\\sharp", "\u266e": "\\natural", "\u22c9": "\\ltimes",
    "\u22ca": "\\rtimes", "\u2240": "\\wr", "\u25c3": "\\triangleleft", "\u25b9": "\\triangleright",
    "\u22b2": "\\triangleleft", "\u22b3": "\\triangleright",
    # relations
    "<": "<", ">": ">", "\u2264": "\\leq", "\u2265": "\\geq", "\u2a7d": "\\leqslant", "\u2a7e": "\\geqslant",
    "\u226a": "\\ll", "\u226b": "\\gg", "\u2260": "\\neq", "\u2261": "\\equiv", "\u2262": "\\not\\equiv",
    "\u2248": "\\approx", "\u2243": "\\simeq", "\u2245": "\\cong", "\u2247": "\\ncong", "\u223c": "\\sim",
    "\u2241": "\\nsim", "\u221d": "\\propto", "\u2254": ":=", "\u225c": "\\triangleq", "\u2251": "\\doteqdot",
    "\u2250": "\\doteq", "\u227a": "\\prec", "\u227b": "\\succ", "\u2aaf": "\\preceq", "\u2ab0": "\\succeq",
    "\u227c": "\\preccurlyeq", "\u227d": "\\succcurlyeq", "\u227e": "\\precsim", "\u227f": "\\succsim",
    "\u2272": "\\lesssim", "\u2273": "\\gtrsim", "\u2208": "\\in", "\u2209": "\\notin", "\u220b": "\\ni",
    "\u2282": "\\subset", "\u2283": "\\supset", "\u2286": "\\subseteq", "\u2287": "\\supseteq",
    "\u2284": "\\not\\subset", "\u2285": "\\not\\supset", "\u2288": "\\nsubseteq", "\u2289": "\\nsupseteq",
    "\u228a": "\\subsetneq", "\u228b": "\\supsetneq", "\u22a2": "\\vdash", "\u22a3": "\\dashv", "\u22a8": "\\models",
    "\u22d7": "\\gtrdot", "\u22d6": "\\lessdot", "\u2234": "\\therefore", "\u2235": "\\because",
    # arrows
    "\u2190": "\\leftarrow", "\u2192": "\\to", "\u2191": "\\uparrow", "\u2193": "\\downarrow",
    "\u2194": "\\leftrightarrow", "\u21d0": "\\Leftarrow", "\u21d2": "\\Rightarrow", "\u21d4": "\\Leftrightarrow",
    "\u21a6": "\\mapsto", "\u21aa": "\\hookrightarrow", "\u21a9": "\\hookleftarrow", "\u27f6": "\\longrightarrow",
    "\u27f5": "\\longleftarrow", "\u27f9": "\\Longrightarrow", "\u27fa": "\\Longleftrightarrow",
    "\u27fc": "\\longmapsto", "\u21dd": "\\leadsto", "\u219d": "\\leadsto", "\u21cc": "\\rightleftharpoons",
    "\u21c0": "\\rightharpoonup", "\u21a0": "\\twoheadrightarrow", "\u2197": "\\nearrow", "\u2198": "\\searrow",
    # large operators
    "\u2211": "\\sum", "\u220f": "\\prod", "\u2210": "\\coprod", "\u222b": "\\int", "\u222c": "\\iint",
    "\u222d": "\\iiint", "\u222e": "\\oint", "\u22c2": "\\bigcap", "\u22c3": "\\bigcup", "\u22c0": "\\bigwedge",
    "\u22c1": "\\bigvee", "\u2a01": "\\bigoplus", "\u2a02": "\\bigotimes", "\u2a00": "\\bigodot",
    "\u2a06": "\\bigsqcup", "\u221a": "\\surd",
    # fences
    "\u2329": "\\langle", "\u232a": "\\rangle", "\u27e8": "\\langle", "\u27e9": "\\rangle", "\u3008": "\\langle",
    "\u3009": "\\rangle", "\u300a": "\\langle\\langle", "\u300b": "\\rangle\\rangle", "\u2308": "\\lceil",
    "\u2309": "\\rceil", "\u230a": "\\lfloor", "\u230b": "\\rfloor",
    # letters that have a name only in LaTeX
    "\u2146": "d", "\u2147": "e", "\u2148": "i", "\u03d1": "\\vartheta", "\u03d5": "\\phi", "\u03c6": "\\varphi",
    "\u03b5": "\\varepsilon", "\u03f5": "\\epsilon", "\u03f1": "\\varrho", "\u03d6": "\\varpi",
    "\u03f0": "\\varkappa", "\u03dd": "\\digamma", "\u00b5": "\\mu", "\u00c5": "\\mathrm{\u00c5}",
    # thought, not written
    "\u2061": "", "\u2062": "", "\u2063": "", "\u2064": "", "\u200b": "", "\u00ad": "", "\ufeff": "",
    "\u2009": "\\,", "\u200a": "\\,", "\u2002": "\\;", "\u2003": "\\quad", "\u2005": "\\:", "\u205f": "\\:",
}  # fmt: skip

for _place, _name in enumerate(_GREEK):
    # Of the capitals, those that look like Latin letters have no name.
    for _first, _spelling in ((0x3B1, _name), (0x391, _name.capitalize())):
        _letter = chr(_first + _place)
        _named = _name != "omicron" and (
            _first == 0x3B1
            or _spelling in ("Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega")
        )
        if _letter.isalpha() and _letter not in SYMBOLS:
            _latin = unicodedata.name(_letter).split()[-1][0]
            SYMBOLS[_letter] = f"\\{_spelling}" if _named else (_latin.lower() if _first == 0x3B1 else _latin)
SYMBOLS.update({"\u0397": "H", "\u03a1": "P", "\u03a7": "X", "\u03a5": "\\Upsilon"})

#: LaTeX with space on both sides: relations, arrows and operators between two terms.
SPACED = frozenset(
    (
        "= < > + - := \\leq \\geq \\leqslant \\geqslant \\ll \\gg \\neq \\equiv \\approx \\simeq \\cong \\sim "
        "\\propto \\prec \\succ \\in \\notin \\ni \\subset \\supset \\subseteq \\supseteq \\to \\leftarrow "
        "\\leftrightarrow \\Rightarrow \\Leftrightarrow \\mapsto \\longrightarrow \\times \\cdot \\pm \\mp \\cup "
        "\\cap \\wedge \\vee \\oplus \\otimes \\circ \\setminus \\mid \\parallel \\vdash \\models \\lesssim \\gtrsim "
        "\\triangleq \\doteq \\div"
    ).split()
)

#: Words that LaTeX sets upright as names of functions.
FUNCTIONS = frozenset(
    "arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log "
    "max min Pr sec sin sinh sup tan tanh".split()
)

#: What stands over a term -> command. Spacing and combining forms are one.
OVER = {
    "\u00af": "bar", "\u203e": "overline", "\u0304": "bar", "\u0305": "overline", "^": "hat", "\u02c6": "hat",
    "\u0302": "hat", "~": "tilde", "\u02dc": "tilde", "\u0303": "tilde", "\u223c": "tilde", "\u20d7": "vec",
    "\u2192": "vec", "\u21c0": "vec", "\u02d9": "dot", "\u0307": "dot", ".": "dot", "\u00a8": "ddot",
    "\u0308": "ddot", "..": "ddot", "\u02c7": "check", "\u030c": "check", "\u02d8": "breve", "\u0306": "breve",
    "\u00b4": "acute", "`": "grave", "_": "overline", "-": "bar", "\u2212": "bar", "\u2013": "bar",
    "\u00b0": "mathring", "\u02da": "mathring", "\u23de": "overbrace", "\ufe37": "overbrace", "\u2190": "overleftarrow",
    "\u23dc": "overparen", "\u2015": "overline",
}  # fmt: skip

#: What stands under a term -> command.
UNDER = {
    "\u0332": "underline", "_": "underline", "\u00af": "underline", "\u203e": "underline", "\u0331": "underline",
    "\u23df": "underbrace", "\ufe38": "underbrace",
}  # fmt: skip

#: `mathvariant` -> command.
VARIANTS = {
    "bold": "mathbf", "bold-italic": "boldsymbol", "double-struck": "mathbb", "fraktur": "mathfrak",
    "bold-fraktur": "mathfrak", "script": "mathcal", "bold-script": "mathcal", "sans-serif": "mathsf",
    "bold-sans-serif": "mathsf", "sans-serif-italic": "mathsf", "monospace": "mathtt", "normal": "mathrm",
}  # fmt: skip

_FONTS = {
    "DOUBLE-STRUCK": "mathbb", "SCRIPT": "mathcal", "FRAKTUR": "mathfrak", "BLACK-LETTER": "mathfrak",
    "SANS-SERIF": "mathsf", "MONOSPACE": "mathtt", "BOLD": "mathbf", "ITALIC": "",
}  # fmt: skip


def symbol(character: str) -> str:
    """LaTeX for one character of a formula; what has no name in LaTeX stays what it is."""
    known = SYMBOLS.get(character)
    if known is not None or character.isascii():
        return character if known is None else known
    plain = unicodedata.normalize("NFKC", character)
    if plain != character and len(plain) == 1:  # letters of a font: U+1D400 and on, and those of Letterlike Symbols
        name = unicodedata.name(character, "")
        font = next((command for word, command in _FONTS.items() if word in name), None)
        if font is not None:
            inner = SYMBOLS.get(plain, plain)
            return f"\\{font}{{{inner}}}" if font else inner
    return character

"""The signals once more, in plain Python and by other means: what the kernels are tested against."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from firn.data.characters import _ALONE, _TERMINAL

STOP = {"the", "be", "to", "of", "and", "that", "have", "with"}


def kind(c: str) -> str:
    """A letter per kind: u upper case, l lower case, o other letter, i a letter that is a word, d number, m mark,
    _ and s white space; some punctuation is itself, any other symbol p."""
    category = unicodedata.category(c)
    if c == "_" or c in ".,:/":
        return c
    if c in "'’":
        return "'"
    if c.isspace():
        return "s"
    if c.isalpha():
        alone = 0x20000 <= ord(c) < 0x40000 or any(first <= ord(c) <= last for first, last in _ALONE)
        return "i" if alone else {"Lu": "u", "Ll": "l"}.get(category, "o")
    if category[0] == "N":
        return "d"
    return "m" if category[0] == "M" or category == "Cf" else "p"


# A word at the start of a string of kinds. The look-behinds take at most two marks, as the strategies below make them.
_WORD = re.compile(
    r"i m* | '?[ulod_m] (?: [ulod_m]"
    r" | (?<! l)(?<! lm)(?<! lmm) \. (?=[ulod_m]) | \. (?=[lod_m])"
    r" | (?: (?<=d) | (?<=dm) | (?<=dmm) ) [,:/] (?=d) )*",
    re.VERBOSE,
)


def tokens(text: str) -> list[str]:
    """Words and symbols."""
    kinds = "".join(map(kind, text))
    found: list[str] = []
    at = 0
    while at < len(text):
        glued = kinds[at] == "'" and re.search(r"[ulo]m*$", kinds[:at]) and re.match(r"[ulo]", kinds[at + 1 :])
        if kinds[at] == "s":
            end = at + 1
        elif kinds[at] in "iulod_m" or glued:
            match = _WORD.match(kinds, at)
            assert match
            end = match.end()
        else:
            end = at + 1
            while end < len(text) and (text[end] == text[at] or kinds[end] == "m"):
                end += 1
        if kinds[at] != "s":
            found.append(text[at:end])
        at = end
    return found


def is_word(token: str) -> bool:
    return any(c.isalpha() or unicodedata.category(c)[0] == "N" for c in token)


def terminal(c: str) -> bool:
    return any(first <= ord(c) <= last for first, last in _TERMINAL)


def sentences(line: str) -> int:
    """As a rule-based splitter has it: what follows a sentence's end and is no punctuation begins a sentence."""
    count, ended = 0, False
    for token in tokens(line):
        end = terminal(token[0]) and (token[0] != "." or len(token) == 1)
        punctuation = not is_word(token) and unicodedata.category(token[0])[0] == "P" and token[0] != "_"
        if count == 0 or (ended and not punctuation and not end):
            count, ended = count + 1, False
        ended = ended or end
    return count


def repeats(items: list[str]) -> tuple[int, int]:
    counts = Counter(items)
    return len(items) - len(counts), sum(len(item) * (count - 1) for item, count in counts.items())


def top(words: list[str], n: int) -> int:
    grams = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    best = max(grams, key=Counter(grams).__getitem__, default="")
    return len(best) * grams.count(best) if grams.count(best) > 1 else 0


def duplicated(words: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    total, at = 0, 0
    while at + n <= len(words):
        gram = tuple(words[at : at + n])
        if gram in seen:
            total, at = total + sum(map(len, gram)), at + n
        else:
            seen.add(gram)
            at += 1
    return total


def signals(text: str) -> dict[str, float]:
    """Every signal of a text."""

    def ratio(part: float, whole: float) -> float:
        return part / whole if whole else 0.0

    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    nonblank = [line for line in lines if line.strip()]
    nonempty = [line for line in lines if line]
    paragraphs = [p for p in re.split(r"\n{2,}", text.strip()) if p]
    everything = tokens(text)
    words = [token for token in everything if is_word(token)]
    size, count = len(text), len(everything)
    ascii_lower = re.sub("[A-Z]", lambda m: m[0].lower(), text)
    return {
        "characters.count": size,
        "characters.alphanumeric.fraction": ratio(sum(c.isalnum() for c in text), size),
        "characters.curly.count": text.count("{"),
        "phrases.lorem_ipsum.count": ascii_lower.count("lorem ipsum"),
        "words.count": len(words),
        "words.tokens": count,
        "words.mean_characters": ratio(sum(map(len, words)), len(words)),
        "words.letter.fraction": ratio(sum(any(c.isalpha() for c in w) for w in everything), count),
        "words.stop_english.distinct": len(STOP & set(everything)),
        "sentences.count": sum(map(sentences, lines)),
        "symbols.hash.per_token": ratio(text.count("#"), count),
        "symbols.ellipsis.per_token": ratio(text.count("...") + text.count("…"), count),
        "symbols.newline.per_token": ratio(text.count("\n"), count),
        "lines.count": len(lines),
        "lines.mean_characters": ratio(sum(map(len, lines)), len(lines)),
        "lines.max_characters": max(map(len, lines), default=0),
        "lines.bullet.fraction": ratio(sum(line.lstrip().startswith(("-", "•")) for line in lines), len(lines)),
        "lines.ellipsis.fraction": ratio(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "lines.terminal.fraction": ratio(sum(terminal(line[-1]) for line in nonblank), len(nonblank)),
        "lines.short_30.fraction": ratio(sum(len(line) <= 30 for line in nonblank), len(nonblank)),
        "dup_lines.nonblank.repeats.characters": ratio(repeats(nonblank)[1], len(text.replace("\n", ""))),
        "dup_lines.repeats.fraction": ratio(repeats(nonempty)[0], len(nonempty)),
        "dup_lines.repeats.characters": ratio(repeats(nonempty)[1], size),
        "dup_paragraphs.repeats.fraction": ratio(repeats(paragraphs)[0], len(paragraphs)),
        "dup_paragraphs.repeats.characters": ratio(repeats(paragraphs)[1], size),
        **{f"top_ngrams.{n}.characters": ratio(top(everything, n), size) for n in (2, 3, 4)},
        **{f"dup_ngrams.{n}.characters": ratio(duplicated(everything, n), size) for n in range(5, 11)},
    }

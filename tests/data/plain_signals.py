"""The signals once more, in plain Python and by other means: what the kernels are tested against."""

from __future__ import annotations

import math
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


def copies(items: list[str]) -> tuple[int, int]:
    counts = Counter(items)
    return sum(c for c in counts.values() if c > 1), sum(len(item) * c for item, c in counts.items() if c > 1)


def top_longest(words: list[str], n: int) -> int:
    counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    most = max(counts.values(), default=0)
    return most * max(sum(map(len, gram)) for gram, c in counts.items() if c == most) if most > 1 else 0


def covered(words: list[str], n: int) -> int:
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    counts = Counter(grams)
    inside = {at for i, gram in enumerate(grams) if counts[gram] > 1 for at in range(i, i + n)}
    return sum(len(words[at]) for at in inside)


def folded(text: str) -> list[str]:
    """Words as near-duplicates are compared by, one after another."""
    found, word, alone = [], "", False
    for c in text + "\n":
        if unicodedata.category(c)[0] == "M" or unicodedata.category(c) == "Cf":
            continue
        number, single = unicodedata.category(c)[0] == "N", kind(c) == "i"
        if word and (not (c.isalpha() or number) or single or alone):
            found.append(word)
            word = ""
        if c.isalpha():
            low = c.lower()
            base = [d for d in unicodedata.normalize("NFD", low) if unicodedata.category(d) != "Mn"]
            word += base[0] if len(base) == 1 else low if len(low) == 1 else c
        elif number and word[-1:] != "\0":
            word += "\0"
        alone = single
    return found


_BASE64 = re.compile("[A-Za-z0-9+/=\n]{64,}")
_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4}){8,}")
_PAIRS = re.compile(r"""(?:(?:[0\\][xX])?[0-9a-fA-F]{2}(?:[,\ \t-\r]+|(?=["'\\])|\Z)){8,}""")


def encoded(text: str) -> list[int]:
    """Lengths of the stretches of encoded data."""
    found, at, free = [], 0, 0  # free: where the last stretch ended
    while at < len(text):
        match = _PAIRS.match(text, at) or _ESCAPES.match(text, at)
        if not match and (at == free or not re.match("[A-Za-z0-9+/=\n]", text[at - 1])):
            match = _BASE64.match(text, at)
        if match:
            found.append(match.end() - at)
            at = free = match.end()
        else:
            at += 1
    return found


def _byte(c: str) -> int:
    try:
        return c.encode("cp1252")[0]
    except UnicodeEncodeError:
        return ord(c) if ord(c) < 256 else 0


_WRONG = re.compile(b"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


def suspects(text: str) -> int:
    # A character of Windows-1252 becomes its byte, any other one that matches nothing.
    return len(_WRONG.findall(bytes(_byte(c) if ord(c) >= 128 else 0x20 for c in text)))


def median(values: list[int]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return 0 if not ordered else ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def stop_fraction(text: str, stop: tuple[str, ...]) -> float:
    """Words within a stop word / words. A stop word is its first token, or all where every letter is a word."""
    everything = tokens(text.lower())
    runs = [tokens(word) if kind(word[0]) == "i" else tokens(word)[:1] for word in stop]
    within = {
        at
        for run in runs
        for first in range(len(everything))
        if everything[first : first + len(run)] == run
        for at in range(first, first + len(run))
    }
    words = [at for at, token in enumerate(everything) if is_word(token)]
    return len(within.intersection(words)) / len(words) if words else 0.0


def signals(text: str) -> dict[str, float]:
    """Every signal of a text, but for those that need to know more than the text."""
    return {**base(text), **more(text)}


def more(text: str) -> dict[str, float]:
    """Signals that datatrove's rules do not need."""

    def ratio(part: float, whole: float) -> float:
        return part / whole if whole else 0.0

    lines = [line for line in text.split("\n") if line]
    paragraphs = [p for p in re.split(r"\n{2,}", text.strip()) if p]
    words = [token for token in tokens(text) if is_word(token)]
    spaced, small, folds = text.split(), folded(text), Counter(folded(text))
    size, letters = len(text), sum(map(len, words))
    ascii_lower = re.sub("[A-Z]", lambda m: m[0].lower(), text)
    head = "".join(ascii_lower.splitlines(keepends=True)[:5]) if "\n" in text else ascii_lower
    line_copies, paragraph_copies = copies(lines), copies(paragraphs)
    generated = ("auto-generated", "autogenerated", "automatically generated", "generated automatically")
    runs = encoded(text)
    marks = text.count("#") + text.count("...") + text.count(". . .") + text.count("…")
    kinds = [unicodedata.category(c) for c in text]
    return {
        "dup_lines.all.fraction": ratio(line_copies[0], len(lines)),
        "dup_lines.all.characters": ratio(line_copies[1], sum(map(len, lines))),
        "dup_paragraphs.all.fraction": ratio(paragraph_copies[0], len(paragraphs)),
        "dup_paragraphs.all.characters": ratio(paragraph_copies[1], sum(map(len, paragraphs))),
        **{f"top_word_ngrams.{n}.characters": ratio(top_longest(words, n), letters) for n in (2, 3, 4)},
        **{f"dup_word_ngrams.{n}.covered": ratio(covered(words, n), letters) for n in range(5, 11)},
        "spaced_words.count": len(spaced),
        "spaced_words.mean_characters": ratio(sum(map(len, spaced)), len(spaced)),
        "spaced_words.median_characters": median([min(len(w), 4096) for w in spaced]),
        "spaced_words.letter.fraction": ratio(sum(any(c.isalpha() for c in w) for w in spaced), len(spaced)),
        "spaced_words.upper.fraction": ratio(
            sum(
                any(unicodedata.category(c) == "Lu" for c in w) and not any(unicodedata.category(c) == "Ll" for c in w)
                for w in spaced
            ),
            len(spaced),
        ),
        "spaced_words.stop_english.count": sum(re.sub("[A-Z]", lambda m: m[0].lower(), w) in STOP for w in spaced),
        "symbols.mark.per_spaced_word": ratio(marks, len(spaced)),
        "folded_words.count": len(small),
        "folded_words.distinct.fraction": ratio(len(folds), len(small)),
        "folded_words.entropy": -sum(c / len(small) * math.log(c / len(small)) for c in folds.values()),
        "characters.letter.fraction": ratio(sum(k[0] == "L" for k in kinds), size),
        "characters.upper.fraction": ratio(kinds.count("Lu"), size),
        "characters.digit.fraction": ratio(sum(k[0] == "N" for k in kinds), size),
        "characters.brace.fraction": ratio(text.count("{") + text.count("}"), size),
        "characters.white.fraction": ratio(sum(map(str.isspace, text)), size),
        "nonempty_lines.count": len(lines),
        "nonempty_lines.bullet.fraction": ratio(sum(x.startswith(("-", "*", "•", "●")) for x in lines), len(lines)),
        "nonempty_lines.ellipsis.fraction": ratio(sum(x.endswith(("...", ". . .", "…")) for x in lines), len(lines)),
        "nonempty_lines.terminal_ascii.fraction": ratio(
            sum(x.rstrip().endswith((".", "!", "?", '"')) for x in lines), len(lines)
        ),
        "nonempty_lines.mean_spaced_words": ratio(sum(len(x.split()) for x in lines), len(lines)),
        "lines.paragraph_200.count": sum(len(x) >= 200 for x in lines),
        "phrases.javascript.count": ascii_lower.count("javascript"),
        "sentences.split_ascii.count": sum(
            any(c.isalpha() or unicodedata.category(c)[0] == "N" or c == "_" for c in part)
            for part in re.split("[.!?]", text)
        ),
        "code.generated.count": sum(head.count(phrase) for phrase in (*generated, "this file is generated")),
        "code.xml.count": text.encode()[:100].count(b"<?xml version="),
        "code.encoded.fraction": ratio(sum(runs), size),
        "code.encoded.max_characters": max(runs, default=0),
        "encoding.replacement.count": text.count("\ufffd"),
        "encoding.suspect.count": suspects(text),
    }


def base(text: str) -> dict[str, float]:
    """Signals that datatrove's rules need."""

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

"""The signals: what is measured of a text. Each name has one definition, and the definitions are here.

Where a rule of the literature is measured differently by different systems, firn measures what FineWeb's rules were
tuned on (datatrove), up to word segmentation (see `words`). Throughout:

- a *character* is a Unicode code point; *white space* is what str.isspace says;
- a *line* ends at "\\n" (the read stage leaves no other line separator); a last line that is empty is none;
- a *word* and a *symbol* are defined in `words`; a *token* is either;
- a *paragraph* is what stands between two or more "\\n", in the text without white space at its ends;
- *repeats* are the occurrences after the first (`all` would count the first as well);
- a fraction whose denominator is zero is 0, and so is the mean of nothing: an empty text has zeros only.

Signals come in families, each measured in one pass; a preset's points name the families they need.
"""

from __future__ import annotations

#: family -> signal -> definition. The order within a family is the order in which its kernel writes.
FAMILIES: dict[str, dict[str, str]] = {
    "characters": {
        "characters.count": "characters of the text",
        "characters.alphanumeric.fraction": "characters that are letters or numbers (str.isalnum) / characters",
        "characters.curly.count": "curly brackets that open, {",
        "phrases.lorem_ipsum.count": "occurrences of 'lorem ipsum', in any ASCII case",
    },
    "words": {
        "words.count": "words",
        "words.tokens": "words and symbols",
        "words.mean_characters": "characters of words / words",
        "words.letter.fraction": "words that hold a letter / tokens",
        "words.stop_english.distinct": "how many of the, be, to, of, and, that, have, with occur, in lower case",
        "sentences.count": "sentences: each line with a token begins one, and so does each token other than punctuation"
        " that follows a sentence's end in its line (Sentence_Terminal characters; an ellipsis of full stops is none)",
        "symbols.hash.per_token": "# / tokens",
        "symbols.ellipsis.per_token": "ellipses, ... and U+2026 / tokens (six full stops are two)",
        "symbols.newline.per_token": "newlines / tokens",
    },
    "lines": {
        "lines.count": "lines",
        "lines.mean_characters": "characters of lines / lines",
        "lines.max_characters": "characters of the longest line",
        "lines.bullet.fraction": "lines whose first character other than white space is - or U+2022 / lines",
        "lines.ellipsis.fraction": "lines that end with ... or U+2026, white space aside / lines",
        "lines.terminal.fraction": "lines whose last character ends a sentence (Sentence_Terminal) / lines not blank",
        "lines.short_30.fraction": "lines of at most 30 characters and not blank / lines not blank",
        "dup_lines.nonblank.repeats.characters": "characters of repeats among the lines that are not blank"
        " / characters other than newline",
    },
    "repetition": {
        "dup_lines.repeats.fraction": "repeats among the lines that are not empty / such lines",
        "dup_lines.repeats.characters": "characters of repeats among the lines that are not empty / characters",
        "dup_paragraphs.repeats.fraction": "repeats among paragraphs / paragraphs",
        "dup_paragraphs.repeats.characters": "characters of repeats among paragraphs / characters",
        **{
            f"top_ngrams.{n}.characters": f"length of the most frequent {n}-gram of tokens, one space between tokens,"
            " times how often it occurs / characters (of several as frequent: the first; overlaps count; 0 where"
            " none occurs twice, which datatrove counts too and which only moves the reason why tiny texts are removed)"
            for n in (2, 3, 4)
        },
        **{
            f"dup_ngrams.{n}.characters": f"characters of tokens within {n}-grams that occurred before, reading on"
            " behind each such n-gram / characters"
            for n in (5, 6, 7, 8, 9, 10)
        },
    },
}

#: Every signal's family.
FAMILY: dict[str, str] = {name: family for family, names in FAMILIES.items() for name in names}

#: The words of words.stop_english.distinct (Rae et al. 2021, arXiv:2112.11446, appendix A1.1).
STOP_ENGLISH = ("the", "be", "to", "of", "and", "that", "have", "with")

"""The signals: what is measured of a text. Each name has one definition, and the definitions are here.

Where a rule of the literature is measured differently by different systems, firn measures what FineWeb's rules were
tuned on (datatrove), up to word segmentation (see `words`). Throughout:

- a *character* is a Unicode code point; *white space* is what str.isspace says;
- a *line* ends at "\\n" (the read stage leaves no other line separator); a last line that is empty is none;
- a *word* and a *symbol* are defined in `words`; a *token* is either;
- a *paragraph* is what stands between two or more "\\n", in the text without white space at its ends;
- *repeats* are the occurrences after the first (`all` would count the first as well);
- a fraction whose denominator is zero is 0, and so is the mean of nothing: an empty text has zeros only.

Published recipes measure the same rule in several ways. Besides datatrove's there are DCLM's (`duplicates_all`,
`ngrams_all`, `spaced_words`, `line_kinds`) and what RedPajama-V2 adds (`folded_words`, `character_kinds`); `grouped`
signals are for languages whose words no spaces divide.

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
    "duplicates": {
        "dup_lines.repeats.fraction": "repeats among the lines that are not empty / such lines",
        "dup_lines.repeats.characters": "characters of repeats among the lines that are not empty / characters",
        "dup_paragraphs.repeats.fraction": "repeats among paragraphs / paragraphs",
        "dup_paragraphs.repeats.characters": "characters of repeats among paragraphs / characters",
    },
    "ngrams": {
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
    "duplicates_all": {
        "dup_lines.all.fraction": "lines not empty that occur more than once, the first too / lines not empty",
        "dup_lines.all.characters": "characters of lines that occur more than once, the first too"
        " / characters of lines",
        "dup_paragraphs.all.fraction": "paragraphs that occur more than once, the first too / paragraphs",
        "dup_paragraphs.all.characters": "characters of paragraphs that occur more than once, the first too"
        " / characters of paragraphs",
    },
    "ngrams_all": {
        **{
            f"top_word_ngrams.{n}.characters": f"characters of the most frequent {n}-gram of words times how often it"
            " occurs / characters of words (of several as frequent: the longest; 0 where none occurs twice)"
            for n in (2, 3, 4)
        },
        **{
            f"dup_word_ngrams.{n}.covered": f"characters of words within any {n}-gram of words that occurs more than"
            " once, each word counted once / characters of words"
            for n in (5, 6, 7, 8, 9, 10)
        },
    },
    "grouped_words": {
        "grouped_words.count": "words, grouped in scripts without spaces (see `grouping`)",
        "grouped_words.tokens": "grouped words and symbols",
        "grouped_words.mean_characters": "characters of words / grouped words",
        "grouped_words.letter.fraction": "grouped words that hold a letter / grouped tokens",
        "symbols.hash.per_grouped_token": "# / grouped tokens",
        "symbols.ellipsis.per_grouped_token": "ellipses, ... and U+2026 / grouped tokens",
        "symbols.newline.per_grouped_token": "newlines / grouped tokens",
        "stop_words.distinct": "how many of the stop words of the document's language occur, as they are written:"
        " as the first token of the stop word; anywhere in scripts without spaces and after ~; 0 without a list",
    },
    "grouped_ngrams": {
        **{f"top_grouped_ngrams.{n}.characters": f"as top_ngrams.{n}.characters, of grouped tokens" for n in (2, 3, 4)},
        **{
            f"dup_grouped_ngrams.{n}.characters": f"as dup_ngrams.{n}.characters, of grouped tokens"
            for n in range(5, 11)
        },
    },
    "spaced_words": {
        "spaced_words.count": "runs of characters other than white space",
        "spaced_words.mean_characters": "characters of spaced words / spaced words",
        "spaced_words.median_characters": "median of the characters of spaced words (of an even number: the mean of"
        " two; more than 4096 count as 4096)",
        "spaced_words.letter.fraction": "spaced words that hold a letter / spaced words",
        "spaced_words.upper.fraction": "spaced words with an upper-case and without a lower-case letter / spaced words",
        "spaced_words.stop_english.count": "spaced words that are one of the eight stop words, in any ASCII case",
        "symbols.mark.per_spaced_word": "#, ..., '. . .' and U+2026 / spaced words",
        "folded_words.count": "words as MinHash sees them: lower case, no diacritics, a number as 0, no punctuation",
        "folded_words.distinct.fraction": "different folded words / folded words",
        "folded_words.entropy": "-sum p ln p over the different folded words, p being each one's share",
    },
    "character_kinds": {
        "characters.letter.fraction": "letters / characters",
        "characters.upper.fraction": "upper-case letters / characters",
        "characters.digit.fraction": "numbers (general category N) / characters",
        "characters.brace.fraction": "{ and } / characters",
        "characters.white.fraction": "white space / characters",
    },
    "line_kinds": {
        "nonempty_lines.count": "lines that are not empty",
        "nonempty_lines.bullet.fraction": "such lines that begin with -, *, U+2022 or U+25CF / such lines",
        "nonempty_lines.ellipsis.fraction": "such lines that end with ..., '. . .' or U+2026 / such lines",
        "nonempty_lines.terminal_ascii.fraction": 'such lines that end with . ! ? or ", white space aside / such lines',
        "nonempty_lines.mean_spaced_words": "spaced words / such lines",
        "lines.paragraph_200.count": "lines of at least 200 characters",
        "phrases.javascript.count": "occurrences of 'javascript', in any ASCII case",
        "sentences.split_ascii.count": "stretches between . ! ? that hold a letter, a number or an underscore",
    },
    "code": {
        "code.generated.count": "in the first five lines, in any ASCII case: auto-generated, autogenerated,"
        " automatically generated, generated automatically, this file is generated",
        "code.xml.count": "<?xml version= within the first 100 bytes",
        "code.encoded.fraction": "characters of encoded data / characters: runs of 64 or more of A-Z a-z 0-9 + / = and"
        " newline; of 8 or more pairs of hexadecimal digits, each after 0x or \\x or nothing and before a comma, white"
        " space, \\ or a quote; of 8 or more \\uXXXX",
        "code.encoded.max_characters": "characters of the longest such run",
    },
    "source_files": {  # 0 in files of other languages than a definition names
        "source_files.visible.fraction": "in HTML: characters outside of tags, comments, script and style / characters",
        "source_files.visible.characters": "in HTML: the number of such characters",
        "source_files.comments.fraction": "in Python: characters of comments, and of strings in triple quotes that"
        " begin a line, / characters; in languages with // (see code.languages): characters of comments / characters",
    },
    "cuts": {
        "cuts.spaced_words.fraction": "1 - spaced words here / spaced words of the document's text before any edit",
    },
    "stop_words": {
        "stop_words.fraction": "words that are stop words of the document's language, in lower case / words; as"
        " stop_words.distinct takes them, but in scripts without spaces as runs of words, and none after ~; 0 without a"
        " list",
    },
    "listed_words": {
        "listed_words.count": "how often words and phrases of the list for the document's language occur, in lower case"
        " (see `word_lists`); 0 for a language without a list",
    },
    "encoding": {
        "encoding.replacement.count": "U+FFFD, which stands for what could not be decoded",
        "encoding.suspect.count": "stretches that read like UTF-8 taken for Windows-1252: a character whose byte there"
        " begins a sequence of UTF-8, and as many as that asks for whose bytes continue one",
    },
    "languages": {
        "languages.own.characters": "characters of lines told to be in the document's language / characters of lines"
        " whose language is told: those of 40 or more letters",
    },
}

#: Every signal's family.
FAMILY: dict[str, str] = {name: family for family, names in FAMILIES.items() for name in names}

#: Signals of a document's URL, columns `url/...` (firn.data.urls); they are measured where a preset has URL rules.
URL_SIGNALS: dict[str, str] = {
    "url.listed.count": "blocklists that name the URL, its host or a domain above it",
    "url.words.score": "sum of the scores of the listed words that occur between characters other than A-Z a-z 0-9",
    "url.subwords.score": "sum of the scores of the listed strings that occur in the URL without such characters",
}

#: The words of words.stop_english.distinct (Rae et al. 2021, arXiv:2112.11446, appendix A1.1).
STOP_ENGLISH = ("the", "be", "to", "of", "and", "that", "have", "with")

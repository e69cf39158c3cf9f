"""Rules: firn's presets beside datatrove's own filters, verdict by verdict, and documents per second on one core.

    python bench/rules.py [gopher c4 fineweb fineweb2] [--list N] [--seconds 15]

Needs datatrove, spacy and nltk beside firn, and the real data that the tests read (FIRN_TEST_DATA). Both sides get the
same texts, in firn's normal form, and are told that they are English, as lid.176 finds; only rules are compared. For
each disagreement it prints the rule, what each side measured of it and its limit, and the tokens that only one side
has, which is the cause wherever the two numbers differ.

fineweb2 is compared on sentences in its twenty languages, 25 to a document, and the numbers of tokens besides. It needs
what datatrove splits words with: jieba, sudachipy with sudachidict-core, pythainlp, kiwipiepy, pyvi, indic-nlp-library,
pymorphy3.

Speed is measured in turns of 50 documents, measure and filter of firn against datatrove's filters, in one process, with
nothing read or written on either side.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.filters import gopher_repetition_filter as repetition
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION, split_into_sentences, split_into_words

from firn.data import characters
from firn.data.filter import Bound
from firn.data.language import detect
from firn.data.measurement import Rows
from firn.data.normalise import normalise
from firn.data.preset import LanguageTable, read_table
from firn.data.rules import Rules, load
from firn.data.words import classify, split

DATA = Path(os.environ.get("FIRN_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

FILTERS: dict[str, Callable[[], list[Any]]] = {
    "gopher": lambda: [GopherRepetitionFilter(), GopherQualityFilter()],
    "c4": lambda: [C4QualityFilter()],
    "fineweb": lambda: [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ],
}

#: Languages of fineweb2: lid.176's code -> datatrove's.
LANGUAGES = {code: next(iter(e.also)) for code, e in read_table(LanguageTable, "fineweb2", "").languages.items()}

#: datatrove's reason -> firn's rule.
REASONS = {
    "dup_para_frac": "gopher.dup_paragraphs",
    "dup_para_char_frac": "gopher.dup_paragraph_characters",
    "dup_line_frac": "gopher.dup_lines",
    "dup_line_char_frac": "gopher.dup_line_characters",
    **{f"top_{n}_gram": f"gopher.top_{n}_gram" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"gopher.dup_{n}_grams" for n in range(5, 11)},
    "gopher_short_doc": "gopher.min_words",
    "gopher_long_doc": "gopher.max_words",
    "gopher_below_avg_threshold": "gopher.min_mean_word_length",
    "gopher_above_avg_threshold": "gopher.max_mean_word_length",
    "gopher_too_many_hashes": "gopher.hash_signs",
    "gopher_too_many_ellipsis": "gopher.ellipses",
    "gopher_too_many_bullets": "gopher.bullet_lines",
    "gopher_too_many_end_ellipsis": "gopher.ellipsis_lines",
    "gopher_below_alpha_threshold": "gopher.words_with_letter",
    "gopher_enough_stop_words": "gopher.stop_words",
    "lorem_ipsum": "c4.lorem_ipsum",
    "curly_bracket": "c4.curly_bracket",
    "too_few_sentences": "c4.min_sentences",
    "line_punct_ratio": "fineweb.punctuated_lines",
    "short_line_ratio": "fineweb.short_lines",
    "char_dup_ratio": "fineweb.char_duplicates",
    "list_ratio": "fineweb.newlines",
    "empty": "fineweb.punctuated_lines",
}


def corpora() -> Iterator[tuple[str, str]]:
    """(name, text) of the documents at hand."""
    for file in ("text/c4/c4_sample", "text/cc-head/cc_en_head-0091", "text/cc-head/cc_en_head-0174"):
        with gzip.open(DATA / f"{file}.jsonl.gz", "rt") as stream:
            for number, line in enumerate(stream):
                yield f"{file.split('/')[1]} {number}", json.loads(line)["text"]
    with open(DATA / "text/quality-labels/majority_data.jsonl") as stream:
        for number, line in enumerate(stream):
            yield f"quality-labels {number}", json.loads(line)["text"]
    with gzip.open(DATA / "html/dev-ground-truth.jsonl.gz", "rt") as stream:
        for line in stream:
            page = json.loads(line)
            yield f"wcxb-dev {page['file_id']}", page["ground_truth"].get("main_content") or ""
    with open(DATA / "dedup/minhash-articles/articles_1000.train") as stream:
        for line in stream:
            name, _, text = line.partition(" ")
            yield f"articles {name}", text


def is_english(text: str) -> bool:
    """Whether lid.176 takes a text for English, as FineWeb asks."""
    language, score = detect(text[:2000])
    return language == "en" and score >= 0.65


class Ours:
    """A preset of firn, measure and filter."""

    def __init__(self, preset: str):
        self.rules: Rules = load(preset)

    def __call__(self, texts: list[str]) -> list[tuple[Bound | None, float | None, str]]:
        """Per text: the first bound that it breaks, its value, and the text as edited."""
        rows = Rows(self.rules.measure, len(texts))
        for index, text in enumerate(texts):
            rows.measure(index, np.frombuffer(text.encode(), np.uint8), "en", 1.0)
        table = rows.table()
        found: list[tuple[Bound | None, float | None]] = [(None, None)] * len(texts)
        for bound in reversed(self.rules.bounds):
            values = table.column(bound.signal)
            for index in np.flatnonzero(bound.fails(values)).tolist():
                found[index] = (bound, values[index].as_py())
        edited = table.column("edited").to_pylist()
        return [
            (*entry, text if edit is None else edit) for entry, edit, text in zip(found, edited, texts, strict=True)
        ]


class Theirs:
    """datatrove's filters."""

    def __init__(self, preset: str):
        self.filters = FILTERS[preset]()

    def __call__(self, texts: list[str]) -> list[tuple[str | None, str]]:
        """Per text: the rule that removes it, in firn's name, and the text as edited."""
        outcomes: list[tuple[str | None, str]] = []
        for text in texts:
            document = Document(text=text, id="0")
            outcome = next((o for f in self.filters if (o := f.filter(document)) is not True), None)
            outcomes.append((REASONS[outcome[1]] if outcome else None, document.text))
        return outcomes


def their_values(text: str) -> dict[str, float]:
    """firn's signals that rules name, as datatrove measures them; of points after an edit, the text is given edited."""
    words = split_into_words(text, "en")
    plain = [w for w in words if any(c not in PUNCTUATION_SET for c in w)]
    lines, nonblank = text.splitlines(), [line for line in text.split("\n") if line.strip()]
    size, count = len(text) or 1, len(words) or 1
    duplicates = repetition.find_duplicates(re.split("\n+", text))
    paragraphs = re.split("\n{2,}", text.strip())
    repeated = repetition.find_duplicates(paragraphs)
    terminal = tuple(TERMINAL_PUNCTUATION)
    return {
        "words.count": len(plain),
        "words.tokens": len(words),
        "words.mean_characters": sum(map(len, plain)) / (len(plain) or 1),
        "words.letter.fraction": sum(any(c.isalpha() for c in w) for w in words) / count,
        "words.stop_english.distinct": len({"the", "be", "to", "of", "and", "that", "have", "with"} & set(words)),
        "symbols.hash.per_token": text.count("#") / count,
        "symbols.ellipsis.per_token": (text.count("...") + text.count("…")) / count,
        "symbols.newline.per_token": text.count("\n") / count,
        "sentences.count": sum(len(split_into_sentences(line, "en")) for line in lines),
        "lines.bullet.fraction": sum(x.lstrip().startswith(("•", "-")) for x in lines) / (len(lines) or 1),
        "lines.ellipsis.fraction": sum(x.rstrip().endswith(("...", "…")) for x in lines) / (len(lines) or 1),
        "lines.terminal.fraction": sum(x.endswith(terminal) for x in nonblank) / (len(nonblank) or 1),
        "lines.short_30.fraction": sum(len(x) <= 30 for x in nonblank) / (len(nonblank) or 1),
        "dup_lines.nonblank.repeats.characters": repetition.find_duplicates(nonblank)[1]
        / (len(text.replace("\n", "")) or 1),
        "dup_lines.repeats.fraction": duplicates[0] / len(re.split("\n+", text)),
        "dup_lines.repeats.characters": duplicates[1] / size,
        "dup_paragraphs.repeats.fraction": repeated[0] / len(paragraphs),
        "dup_paragraphs.repeats.characters": repeated[1] / size,
        **{
            f"top_ngrams.{n}.characters": repetition.find_top_duplicate(grams) / size
            for n in (2, 3, 4)
            if (grams := repetition.get_n_grams(words, n))
        },
        **{f"dup_ngrams.{n}.characters": repetition.find_all_duplicate(words, n) / size for n in range(5, 11)},
        "phrases.lorem_ipsum.count": text.lower().count("lorem ipsum"),
        "characters.curly.count": text.count("{"),
    }


def our_tokens(text: str) -> list[str]:
    """firn's tokens as strings."""
    data = np.frombuffer(text.encode(), np.uint8)
    found, left = [], text
    for length in split(data, classify(data, characters.classes()))[1].tolist():
        left = left.lstrip()
        found.append(left[:length])
        left = left[length:]
    return found


def compare(preset: str, documents: list[tuple[str, str]], shown: int) -> None:
    """Print how far the verdicts agree, and each disagreement with its cause."""
    texts = [text for _, text in documents]
    ours, theirs, rules = Ours(preset)(texts), Theirs(preset)(texts), load(preset)
    bounds = {bound.rule: bound for bound in rules.bounds}
    agree = [(o[0] is None) == (t[0] is None) for o, t in zip(ours, theirs, strict=True)]
    kept = [(o[2], t[1]) for o, t in zip(ours, theirs, strict=True) if o[0] is None and t[0] is None]
    removed = [(o[0].rule, t[0]) for o, t in zip(ours, theirs, strict=True) if o[0] is not None and t[0] is not None]
    same = sum(a == b for a, b in removed)
    print(f"\n{preset}: the same verdict on {sum(agree)} of {len(agree)} documents, {100 * np.mean(agree):.2f}%")
    print(f"  both keep {len(kept)}, of which {sum(a == b for a, b in kept)} with equal text; ", end="")
    print(f"both remove {len(removed)}, {same} by the same rule")
    by_corpus: dict[str, list[bool]] = {}
    for (name, _), ok in zip(documents, agree, strict=True):
        by_corpus.setdefault(name.split()[0], []).append(ok)
    print("  " + ", ".join(f"{name} {sum(oks)}/{len(oks)}" for name, oks in by_corpus.items()))
    differing = [index for index, ok in enumerate(agree) if not ok]
    for index in differing[:shown]:
        (name, text), (bound, value, edited) = documents[index], ours[index]
        rule = bound.rule if bound else theirs[index][0]
        assert rule is not None
        bound = bounds[rule]
        point, _, signal = bound.signal.partition("/")
        at = text if point in ("extracted", "file") else edited
        if value is None:
            value = _value(rules, text, bound.signal)
        limit = bound.at_least if bound.at_least is not None else bound.at_most
        print(f"  {name}: firn {'removes' if ours[index][0] else 'keeps'}, {rule} ", end="")
        print(f"{value:.4f}, datatrove {their_values(at).get(signal, float('nan')):.4f}, limit {limit:g}")
        mine, other = Counter(our_tokens(at)), Counter(split_into_words(at, "en"))
        print(f"    tokens {mine.total()} and {other.total()}; {_only(mine - other)} | {_only(other - mine)}")
    if len(differing) > shown:
        print(f"  ... and {len(differing) - shown} more (--list)")


def _only(tokens: Counter[str]) -> str:
    return " ".join(token[:20] for token, _ in tokens.most_common(8)) or "none"


def _value(rules: Rules, text: str, signal: str) -> float:
    rows = Rows(rules.measure, 1)
    rows.measure(0, np.frombuffer(text.encode(), np.uint8), "en", 1.0)
    return float(rows.table().column(signal)[0].as_py())


def speed(preset: str, texts: list[str], seconds: float, turn: int = 50) -> None:
    """Print documents per second, the median over turns, and their ratio."""
    ours, theirs = Ours(preset), Theirs(preset)
    ours(texts[:turn])
    theirs(texts[:2])
    rates, started, at = [], time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        chunk = texts[at : at + turn]
        at = at + turn if at + 2 * turn <= len(texts) else 0
        begun = time.perf_counter()
        ours(chunk)
        between = time.perf_counter()
        theirs(chunk)
        rates.append((turn / (between - begun), turn / (time.perf_counter() - between)))
    mine, other = np.median(rates, axis=0)
    ratio = np.median([a / b for a, b in rates])
    print(f"  firn {mine:,.0f} docs/s, datatrove {other:,.0f} docs/s: {ratio:.0f} times as fast ({len(rates)} turns)")


def sentences() -> dict[str, list[str]]:
    """lid.176's code -> documents of 25 sentences, one a line."""
    found = {}
    with tarfile.open(DATA / "langid/lingua-testdata.tar.xz") as archive:
        for code in LANGUAGES:
            stream = archive.extractfile(f"./language-testdata/sentences/{code}.txt")
            assert stream is not None
            lines = normalise(stream.read().decode()).splitlines()
            found[code] = ["\n".join(lines[at : at + 25]) for at in range(0, len(lines) - 24, 25)]
    return found


def languages(shown: int) -> None:
    """Print how FineWeb-2's verdicts and numbers of tokens compare, language by language."""
    rules = load("fineweb2")
    print("\nfineweb2 on sentences: language, same verdict, removed by firn and datatrove, tokens of firn / datatrove")
    agreed = total = 0
    for code, texts in sentences().items():
        other = LANGUAGES[code]
        try:
            split_into_words(texts[0], other)
        except (ImportError, OSError) as error:
            print(f"  {code} left out, its words cannot be split by datatrove here: {error}")
            continue
        entry = read_table(LanguageTable, "fineweb2", "").languages[code]
        limits = entry.limits
        theirs = [
            GopherRepetitionFilter(
                language=other,
                dup_para_frac=0,
                dup_line_char_frac=0,
                dup_para_char_frac=0,
                dup_line_frac=limits["gopher.dup_lines"],
                top_n_grams=[(n, limits[f"gopher.top_{n}_gram"]) for n in (2, 3, 4)],
                dup_n_grams=[(n, limits[f"gopher.dup_{n}_grams"]) for n in range(5, 11)],
            ),
            FineWebQualityFilter(
                language=other,
                short_line_thr=999,
                char_duplicates_ratio=0.1,
                line_punct_thr=limits["fineweb.punctuated_lines"],
                new_line_ratio=limits["fineweb.newlines"],
            ),
            GopherQualityFilter(
                language=other,
                max_avg_word_length=limits["gopher.max_mean_word_length"],
                min_avg_word_length=limits["gopher.min_mean_word_length"],
                stop_words=list(entry.stop_words),
                max_non_alpha_words_ratio=limits["gopher.words_with_letter"],
            ),
        ]
        rows = Rows(rules.measure, len(texts))
        for index, text in enumerate(texts):
            rows.measure(index, np.frombuffer(text.encode(), np.uint8), code, 1.0)
        table = rows.table()
        fails = [(b.rule, b.fails(table.column(b.signal), table.column("language"))) for b in rules.bounds]
        ours = [next((rule for rule, failed in fails if failed[index]), None) for index in range(len(texts))]
        reasons = []
        for text in texts:
            outcome = next((o for f in theirs if (o := f.filter(Document(text=text, id="0"))) is not True), None)
            reasons.append(REASONS[outcome[1]] if outcome else None)
        same = sum((a is None) == (b is None) for a, b in zip(ours, reasons, strict=True))
        agreed, total = agreed + same, total + len(texts)
        counts = [len(split_into_words(text, other)) for text in texts]
        ratio = np.median(np.array(table.column("extracted/grouped_words.tokens")) / counts)
        removed = f"{sum(o is not None for o in ours)} and {sum(r is not None for r in reasons)}"
        print(f"  {code} {same}/{len(texts)}, {removed}, {ratio:.2f}")
        differing = [(a, b) for a, b in zip(ours, reasons, strict=True) if (a is None) != (b is None)]
        for (mine, their), times in Counter(differing).most_common(shown):
            print(f"    {times} times: firn {mine or 'keeps'}, datatrove {their or 'keeps'}")
    print(f"  in all {agreed}/{total}, {100 * agreed / total:.2f}%")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*", default=[*FILTERS, "fineweb2"])
    parser.add_argument("--list", type=int, default=10_000, help="disagreements that are printed, per preset")
    parser.add_argument("--seconds", type=float, default=15, help="how long speed is measured, per preset; 0: not")
    given = parser.parse_args()
    if "fineweb2" in given.presets:
        given.presets.remove("fineweb2")
        languages(given.list)
    if not given.presets:
        return
    documents = [(name, t) for name, text in corpora() if (t := normalise(text)).strip() and is_english(t)]
    size = np.mean([len(text) for _, text in documents])
    print(f"{len(documents)} English documents of {size:,.0f} characters on average")
    for preset in given.presets:
        compare(preset, documents, given.list)
        if given.seconds:
            order = np.random.default_rng(0).permutation(len(documents))
            speed(preset, [documents[index][1] for index in order], given.seconds)


if __name__ == "__main__":
    main()

"""What is peculiar to one wiki: its names of namespaces, and the words for redirects and disambiguation pages.

A dump names its namespaces, but not their aliases, nor its magic words and templates. `words.yaml` holds those of the
larger Wikipedias, of all languages together: none of these words means anything else in another language.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import yaml

FILE, CATEGORY, MEDIA = 6, 14, -2

# Prefixes of other languages' wikis: two or three letters, or longer names with a hyphen.
_LANGUAGE = re.compile(r"[a-z]{2,3}|[a-z]{2,4}(?:-[a-z]{1,10}){1,2}|simple")
_NO_LANGUAGE = frozenset("wp mw wmf doi rfc oed pmc".split())

# `#REDIRECT [[Page]]`, in whatever language: no list begins so. Marks within words (Hindi, Thai) are no `\w`.
_LETTERS = r"[^\s!-/:-@\[-`{-~]"
_REDIRECT = re.compile(rf"\s*+#[^\W\d_]{_LETTERS}*+(?:[ \t]{_LETTERS}++)?[ \t]*+:?\s*+\[\[[^\[\]\n]{{1,300}}\]\]")

_TEMPLATE = re.compile(r"\{\{\s*+([^|{}\n<]{1,60}+)")
_SUFFIX = re.compile(r"[(（]([^()（）]++)[)）]\s*$")
_WORD = "__DISAMBIG__"


@cache
def _words() -> dict[str, frozenset[str]]:
    text = Path(__file__).with_name("words.yaml").read_text(encoding="utf-8")
    return {kind: frozenset(words.split(", ")) for kind, words in yaml.safe_load(text).items()}


@dataclass(frozen=True)
class Site:
    """A wiki. dbname: `enwiki`. base: address of its main page. spaces: names of its namespaces, by number."""

    dbname: str | None = None
    base: str | None = None
    language: str | None = None
    spaces: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def files(self) -> frozenset[str]:
        """Names of the namespaces of files, lower case."""
        return _words()["file"] | self._names(FILE) | self._names(MEDIA)

    @cached_property
    def categories(self) -> frozenset[str]:
        """Names of the namespace of categories, lower case."""
        return _words()["category"] | self._names(CATEGORY)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Numbers of the namespaces by name, lower case, for dumps whose pages do not say theirs."""
        return {name.lower(): number for number, name in self.spaces.items() if name}

    def _names(self, number: int) -> frozenset[str]:
        name = self.spaces.get(number)
        return frozenset([name.lower()]) if name else frozenset()


def is_language(prefix: str) -> bool:
    """Whether a link `[[prefix:Page]]` leads to the same page in another language."""
    return _LANGUAGE.fullmatch(prefix) is not None and prefix not in _NO_LANGUAGE


def is_redirect(text: str) -> bool:
    """Whether a page's markup begins as that of a redirect, for dumps that do not say so (export-0.3)."""
    return _REDIRECT.match(text) is not None


def is_disambiguation(title: str, text: str) -> bool:
    """Whether a page only lists the meanings of its title: by magic word, by template, or by the title's suffix."""
    suffix = _SUFFIX.search(title)
    if _WORD in text or (suffix and suffix[1].lower() in _words()["suffixes"]):
        return True
    names = {name.replace("_", " ").strip().lower() for name in _TEMPLATE.findall(text)}
    return not names.isdisjoint(_words()["disambiguation"])

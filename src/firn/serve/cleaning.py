"""What cleaning came to, as plain data: `run` fills it in, the page and the command line show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Amount:
    """So much text. bytes: UTF-8. tokens: counted, or estimated (`Cleaning.counted`)."""

    documents: int = 0
    bytes: int = 0
    tokens: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.documents + other.documents, self.bytes + other.bytes, self.tokens + other.tokens)


@dataclass(frozen=True)
class Loss:
    """What one rule of a stage took from a source. verdict: of the ledger; of `changed` documents `amount` holds the
    documents, and of their text what was cut out. Several edits of the filter may have changed one document."""

    source: str
    stage: str
    verdict: str
    rule: str
    amount: Amount


@dataclass(frozen=True)
class Passage:
    """What came into a stage from a source, and what went on."""

    source: str
    stage: str
    entered: Amount
    left: Amount


@dataclass(frozen=True)
class Part:
    """The documents of one source, language or domain: as they were read, and what stays. reason: the rule that took
    most of them."""

    name: str
    read: Amount
    stays: Amount
    reason: str = ""


@dataclass(frozen=True)
class Cleaning:
    """The funnel. counted: whether tokens are a tokenizer's, or estimated from words; of each source in proportion to
    its bytes. domains: those with most documents."""

    passages: Sequence[Passage]
    losses: Sequence[Loss]
    sources: Sequence[Part]
    languages: Sequence[Part]
    domains: Sequence[Part]
    counted: bool

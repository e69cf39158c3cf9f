"""Keys, tokens and passwords, as they are left in code and configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Private keys, and keys known by the form that their issuers give them. Every repetition is bounded, or walks on
#: characters that the next part cannot match, so that time is linear.
PRIVATE = r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[A-Za-z0-9+/=\s]{0,20000}-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
ISSUED = (
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # Amazon Web Services
    r"|\b(?:gh[opsur]|github_pat|glpat|hf|npm|xox[abprs]|sk|pk|rk)[-_][\w-]{16,255}"  # GitHub, Slack, Stripe, others
    r"|\bAIza[\w-]{35}"  # Google
    r"|(?<![\w-])eyJ[\w-]{10,4000}\.[\w-]{10,4000}\.[\w-]{10,4000}"  # JSON Web Token
)
# Hugging Face's are of letters alone.
_LETTERS = re.compile(rb"(?<![\w-])hf_[A-Za-z]{34}(?![\w-])")
_ISSUED = re.compile(ISSUED.encode())
_BEGIN = re.compile(rb"(?:AKIA|ASIA|gh[opsur]_|github_pat|glpat|hf_|npm_|xox[abprs]-|[spr]k[-_]|AIza|eyJ)")
_PRIVATE = re.compile(PRIVATE.encode())

_LOGIN = re.compile(rb"(?<=://)[^\s/@:\"'<>]{1,100}:[^\s/@\"'<>]{1,100}(?=@)")
# A name that speaks of a secret, and a value in quotes, or to the end of a line of configuration.
_IS = re.compile(rb":=|=>|=|:")
_NAME = re.compile(
    rb"(?:password|passwd|secret|token|api_?-?key|access_?-?key|auth_?-?key|private_?-?key|secret_?-?key)"
    rb"[\"']?\]?[ \t]{0,8}\Z",
    re.IGNORECASE,
)
_LONGEST = 24  # bytes of a name and what follows it
_VALUE = re.compile(rb"[ \t]{0,8}(?:\"([^\s\"]{8,200})\"|'([^\s']{8,200})'|([A-Za-z0-9+/_=.-]{16,200})(?=\s|\Z))")
# Cheap tests for the words above.
_WORDS = (b"assw", b"ASSW", b"ecret", b"ECRET", b"oken", b"OKEN", b"key", b"Key", b"KEY")
_EXAMPLE = re.compile(
    rb"x{4}|\*{3}|\.{3}|example|your|change|<|\$\{|\{\{|%\(|dummy|sample|placeholder|test", re.IGNORECASE
)


def issued(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of keys of known form that begin between two bytes of a text."""
    for begin in _BEGIN.finditer(text, start, end):
        if (match := _ISSUED.match(text, begin.start())) and _mixed(match[0]):
            yield match.span()


def logins(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of `user:password` in URLs."""
    return (match.span() for match in _LOGIN.finditer(text, start, end))


def unwindowed(text: bytes) -> Iterator[tuple[int, int]]:
    """Spans of private keys, of keys of letters alone, and of values given to passwords, secrets, tokens and keys.

    They are looked for in a whole text. Values are of letters and digits mixed, and no mere examples.
    """
    if b"PRIVATE KEY-----" in text:
        yield from (match.span() for match in _PRIVATE.finditer(text))
    if b"hf_" in text:
        yield from (match.span() for match in _LETTERS.finditer(text) if not _EXAMPLE.search(match[0]))
    if not any(word in text for word in _WORDS):
        return
    for sign in _IS.finditer(text):
        if not _NAME.search(text, max(0, sign.start() - _LONGEST), sign.start()):
            continue
        if match := _VALUE.match(text, sign.end()):
            value = match[match.lastindex or 0]
            if _mixed(value) and not _EXAMPLE.search(value):
                yield match.span(match.lastindex or 0)


def _mixed(value: bytes) -> bool:
    """Whether letters and digits stand in it, as they do in what was drawn at random."""
    return any(48 <= c <= 57 for c in value) and any(65 <= c <= 90 or 97 <= c <= 122 for c in value)

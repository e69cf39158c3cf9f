"""Excerpts fit to be shown on a page: personal data and secrets become typed placeholders.

This is for what a person looks at, a few hundred characters at a time; it errs towards replacing too much.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from firn.data.pii.secrets import ISSUED, PRIVATE

# Share of neighbours that differ, from which on a run is taken for drawn at random: of letters and digits so drawn
# they are 0.45, a capital followed by a small letter not counted; of `ThreadPoolExecutor2` 0.17.
_CHANGES = 0.2

# Every repetition is bounded or walks on characters that the next part cannot match, so that time is linear.
_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}\s?(?:@|\(at\)|\[at\])\s?(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}", re.IGNORECASE
)
_USER_AT_HOST = re.compile(r"(?<=://)[^\s/@]{1,100}@")
_IPV4 = re.compile(r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]*\d)")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:])", re.IGNORECASE)
_PHONE = re.compile(
    r"(?<![\w.+-])(?:"
    r"\+\d(?:[\s().-]{0,2}\d){7,14}"  # +49 (0)30 123456
    r"|(?<!\w/)(?:"  # but for the numbers in a path: 2013/05/16021234
    r"\(\d{2,5}\)[\s.-]?\d{2,5}(?:[\s.-]?\d{2,5}){1,3}"  # (030) 123 456
    r"|(?:\d{1,3}[\s.-])?\d{3}([\s.-])\d{3}\1\d{4}"  # 212-555-0123
    r"|0\d{1,4}[\s/-]\d{4,8}(?:[\s-]\d{2,6}){0,2}"  # 030/1234567, 07911 123456
    r"|0\d{2,4}(?:[ /-]\d{2,4}){2,4}"  # 089 12 34 56
    r"|\d{2}([.-])\d{2}\2\d{2}\2\d{2}(?:\2\d{2})?"  # 03.93.92.16.85
    r"))(?:x\d{1,6})?(?!\w|[.-]\d)"
)
_NUMBER_OF_A_PERSON = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")  # social security, United States
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}\s?(?:[A-Z0-9]{4}\s?){2,7}[A-Z0-9]{1,4}\b")
_PRIVATE, _ISSUED = re.compile(PRIVATE), re.compile(ISSUED)
# Of a URL; signed ones are as good as a password.
_PARAMETER = re.compile(
    r"(?<=[?&;])([\w.-]{0,40}?(?:token|secret|sig|signature|key|passw(?:or)?d|pwd|auth|credential|session(?:id)?)=)"
    r"[^&#\s\"'<>]{7,4000}[^&#\s\"'<>,.;:)]",
    re.IGNORECASE,
)
# A commit's hash is no secret, and stands in addresses.
_TOKEN = re.compile(r"(?<![\w+/-])(?<!commit=)[A-Za-z0-9+/_-]{24,4000}={0,2}(?![\w+/=-])")
_WORD = re.compile(r"[A-Za-z0-9]+")
_CHANGE = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[0-9]|(?<=[0-9])[A-Za-z]")
# Not a number between two slashes, which is part of a path: segments/1368696381249/warc.
_CARD = re.compile(r"(?<![\w.-])(?!(?<=/)\d+/)\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,7}(?![\w-]|\.\d)")


def redact(text: str) -> str:
    """`text` with e-mail and IP addresses, phone, card and account numbers, and secrets replaced."""
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    return text


def visible(text: str) -> str:
    """Without the control characters that could reorder or hide what stands around them."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def escaped(data: bytes, characters: int) -> str:
    """The beginning of raw bytes as text that a terminal can be given: what is no UTF-8, and control characters, are
    spelled out (`\\x1b`), and personal data is replaced."""
    text = data[: 8 * characters + 65_536].decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return excerpt("".join(map(_spelled, text)), characters)


def _spelled(c: str) -> str:
    if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return c
    return f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" if ord(c) < 1 << 16 else f"\\U{ord(c):08x}"


def shown(text: object) -> str:
    """`text` as a page may show it: redacted, and `visible`. The template escapes it."""
    return redact(visible(str(text)))


def locator(address: str) -> str:
    """An address as it can be asked for again: whole but for `visible`, and for the login of a URL and what signs it.
    Its hashes, dates and offsets are no secrets."""
    return _PARAMETER.sub(r"\1[key]", _USER_AT_HOST.sub("[login]@", visible(address)))


def excerpt(text: str, characters: int) -> str:
    """The beginning of `text`, redacted, of at most `characters` characters; an ellipsis where it was cut."""
    # Redacted before it is cut, with room to spare, so that no address is left half.
    room = 2 * characters + 4096
    shown = redact(text[:room])
    whole = len(text) <= room and len(shown) <= characters
    return shown if whole else shown[:characters].rstrip() + "…"


def _issued(match: re.Match[str]) -> str:
    """A key of known form, and not a name of small letters that begins as one: `hf-internal-testing`."""
    return match[0] if re.fullmatch(r"[a-z_-]+", match[0]) else "[key]"


def _token(match: re.Match[str]) -> str:
    """A long run is a secret where it, or a part of it between slashes, looks drawn at random, as names and paths do
    not. Of a path the other parts stay."""
    run = match[0]
    if re.fullmatch(r"[0-9a-fA-F]{32,}", run) and sum(map(str.isdigit, run)) >= 4:
        return "[key]"
    parts = run.split("/")
    if not any(map(_looks_random, [run, *parts])):
        return run
    # Secrets in base64 have slashes too: what stays is too short to tell much, or plain.
    return "/".join(part if len(part) <= 3 or not _changes(part) else "[key]" for part in parts)


def _looks_random(run: str) -> bool:
    kinds = sum(any(test(c) for c in run) for test in (str.islower, str.isupper, str.isdigit))
    return len(run) >= 32 and kinds == 3 and _changes(run) >= _CHANGES


def _changes(run: str) -> float:
    """Share of neighbours within words, of letters and digits, that differ in kind: small, capital or digit."""
    words = _WORD.findall(run)
    pairs = sum(len(word) - 1 for word in words)
    return sum(len(_CHANGE.findall(word)) for word in words) / pairs if pairs else 0.0


_STEPS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (_PRIVATE, "[key]"),
    (_ISSUED, _issued),
    (_PARAMETER, r"\1[key]"),
    (_USER_AT_HOST, "[login]@"),
    (_EMAIL, "[e-mail]"),
    (_IPV4, "[IP address]"),
    (_IPV6, "[IP address]"),
    (_IBAN, "[account number]"),
    (_CARD, "[card number]"),
    (_NUMBER_OF_A_PERSON, "[personal number]"),
    (_PHONE, "[phone number]"),
    (_TOKEN, _token),
)

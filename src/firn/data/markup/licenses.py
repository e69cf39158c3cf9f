"""Which licence a file names: SPDX identifiers for Creative Commons, else the URL as it stands."""

from __future__ import annotations

import re

_CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org/(?:licenses/(by(?:-nc)?(?:-nd|-sa)?)(?:/(\d\.\d))?|publicdomain/(zero|mark)(?:/(\d\.\d))?)",
    re.IGNORECASE,
)
_SPOKEN = re.compile(
    r"creative commons,?\s+(?P<zero>cc0|zero|public domain)|"
    r"creative commons\s+attribution(?P<nc>[- ]non-?commercial)?(?P<end>[- ]no-?deriv\w*|[- ]share-?alike)?"
    r"(?:[- ]?(?P<version>\d\.\d))?|\bcc[- ](?P<code>by(?:-nc)?(?:-nd|-sa)?)\b(?:[- ](?P<code_version>\d\.\d))?",
    re.IGNORECASE,
)
_PUBLIC_DOMAIN = re.compile(r"\bpublic domain\b", re.IGNORECASE)


def from_url(url: str) -> str | None:
    """The SPDX identifier of a Creative Commons URL, or the URL itself where it is another one."""
    url = url.strip()
    found = _CREATIVE_COMMONS.search(url)
    if not found:
        return url if url.startswith(("http://", "https://")) else None
    kind, version, public, public_version = found.groups()
    if kind:
        return _named(kind, version)
    return f"CC0-{public_version or '1.0'}" if public.lower() == "zero" else "CC-PDM-1.0"


def from_text(text: str) -> str | None:
    """The licence that a sentence names, without a version where the sentence has none; None where it names none."""
    if url := _CREATIVE_COMMONS.search(text):
        return from_url(url[0])
    found = _SPOKEN.search(text)
    if not found:
        return "public-domain" if _PUBLIC_DOMAIN.search(text) else None
    if found["zero"]:
        return "CC0-1.0"
    if found["code"]:
        return _named(found["code"], found["code_version"])
    end = (found["end"] or "").lower()
    kind = "by" + ("-nc" if found["nc"] else "") + ("-nd" if "deriv" in end else "-sa" if end else "")
    return _named(kind, found["version"])


def _named(kind: str, version: str | None) -> str:
    return f"CC-{kind.upper()}" + (f"-{version}" if version else "")

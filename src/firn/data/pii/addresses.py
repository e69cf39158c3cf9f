"""E-mail and IP addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address

# Names of mailboxes in ASCII and Latin letters with diacritics (two bytes, 0xC3 to 0xC9): in scripts without spaces the
# words before an address would be taken for part of it.
_LOCAL = rb"(?:[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]|[\xc3-\xc9][\x80-\xbf])"
_LETTER = rb"(?:[A-Za-z0-9]|[\xc3-\xc9][\x80-\xbf])"
_EMAIL = re.compile(
    rb"(?<![A-Za-z0-9._%+-])(?<![\xc3-\xc9][\x80-\xbf])"
    rb"(?:mailto:)?((?:[A-Za-z0-9_+]|[\xc3-\xc9][\x80-\xbf])" + _LOCAL + rb"{0,63}?)"
    rb"\s?(?:@|\(at\)|\[at\])\s?"
    rb"((?:" + _LETTER + rb"(?:" + _LETTER + rb"|-){0,62}\.){1,8}(?:[A-Za-z]{2,24}|xn--[A-Za-z0-9-]{2,59}))"
)
# Top-level domains of more than two letters: those of IANA's root zone under which most mailboxes lie. Without such a
# list `x@self.weight` in source code is an address.
_DOMAINS = frozenset(
    b"com org net edu gov mil int info biz name pro aero asia cat coop jobs mobi museum post tel travel xxx "
    b"academy agency app art bank blog business cafe care center church city cloud club coach codes community "
    b"company computer consulting cool dance date design dev digital earth eco education email energy engineer "
    b"engineering estate events example exchange expert express family fashion film finance fitness foundation fun "
    b"fund gallery games global gmbh gold green group guide guru haus health help homes hospital host hosting "
    b"house icu immo inc ink institute insure international invest kitchen land law legal life link live llc love "
    b"ltd management market marketing media money network news ngo ninja one online ong org page partners parts "
    b"photo photography photos place plus press productions properties pub racing radio recipes rehab rent repair "
    b"report review reviews rocks run sale school science security services shop show site social software "
    b"solutions space sport store stream studio style support surf swiss systems team tech technology theater "
    b"today tools top tours town toys trade training university vip vision web website wiki wine work works world "
    b"wtf xyz yoga zone berlin wien tirol bayern koeln cologne hamburg saarland ruhr london paris bzh corsica "
    b"alsace amsterdam brussels vlaanderen gent eus gal scot wales cymru irish istanbul moscow quebec nyc boston "
    b"miami vegas tokyo osaka kyoto nagoya okinawa sydney melbourne capetown durban africa google amazon microsoft "
    b"apple".split()
)
# Endings of two letters that are no country's, and files' endings: `icon@2x.js`.
_FILES = frozenset(b"js ts md cc hh".split())

_OCTET = rb"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rb"(?<![A-Za-z0-9.-])(?:" + _OCTET + rb"\.){3}" + _OCTET + rb"(?![A-Za-z0-9-]|\.\d)")
_IPV6 = re.compile(rb"(?<![A-Za-z0-9:.])[0-9A-Fa-f:]{7,39}(?![A-Za-z0-9:])")
# Numbers of versions and of sections are written like addresses.
_VERSION = re.compile(
    rb"(?:\bv|\bver|version|release|build|firmware|driver|update|revision|\brev|\bsection|\bsec|\xc2\xa7|chapter|\bfigure|"
    rb"\bfig|\btable|theorem|lemma|definition|equation|\beq|clause|article|appendix|[A-Za-z0-9]/)[ .:#=]{0,3}\Z",
    re.IGNORECASE,
)


def emails(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of e-mail addresses between two bytes of a text. `git@` is a protocol's user and no person's."""
    for match in _EMAIL.finditer(text, start, end):
        labels = match[2].split(b".")
        # What follows a full stop without a space is the next sentence: `a@b.com.Then`.
        while len(labels) > 1 and not _is_domain(labels[-1]):
            labels.pop()
        if len(labels) > 1 and match[1].lower() != b"git":
            yield match.start(1), match.start(2) + len(b".".join(labels))


def _is_domain(label: bytes) -> bool:
    label = label.lower()
    return (len(label) == 2 and label not in _FILES) or label in _DOMAINS or label.startswith(b"xn--")


def ipv4(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of public IPv4 addresses between two bytes of a text; addresses of networks at home say nothing."""
    for match in _IPV4.finditer(text, start, end):
        octets = [int(part) for part in match[0].split(b".")]
        # 1.2.3.4 and 8.8.8.8: sections, versions, well-known servers.
        if max(octets) < 10 or _VERSION.search(text, max(0, match.start() - 16), match.start()):
            continue
        if _public(IPv4Address(bytes(octets))):
            yield match.span()


def ipv6(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of public IPv6 addresses between two bytes of a text.

    A shortened one (`::`) must lie in 2000::/3, all that is given out (IANA); `std::ad::be` is no address.
    """
    for match in _IPV6.finditer(text, start, end):
        try:
            address = IPv6Address(match[0].decode("ascii"))
        except AddressValueError:
            continue
        short = b"::" in match[0]
        long_group = max(len(group) for group in match[0].split(b":")) >= 3
        if long_group and _public(address) and (not short or 0x2000 <= int(address) >> 112 <= 0x3FFF):
            yield match.span()


def _public(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not address.is_multicast

"""What a robots.txt says of a URL, for several robots at once, and by which of its lines (RFC 9309).

The longest pattern that matches decides, and of equally long ones `allow`. `*` stands for any characters, `$` at the
end for the end of the URL; case counts in paths, and not in names of robots. A robot obeys the groups that name it,
together, or else those of `*`. As usual outside of the RFC too: a missing colon and frequent misspellings are
understood, of a robot's name what comes before a space or slash counts, and a cut-off byte order mark is passed over.

Beside who may fetch a page, a group may say that what may be fetched is not for training: `Content-Usage: train-ai=n`
(IETF, draft-ietf-aipref-attach-05), and `Content-Signal: ai-train=no` (https://contentsignals.org), each with a pattern
before it or for the whole site. There too the longest pattern decides, and of equally long ones the one that says no.

Of a file only LIMIT bytes are read. A URL is compared with each of its patterns in time linear in both: there are no
regular expressions to go back and forth in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Bytes that are read of a file (section 2.5: at least 500 KiB).
LIMIT = 500 << 10
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Characters of a line that are shown.
_SHOWN = 200

_FIELDS = {
    **dict.fromkeys((b"user-agent", b"useragent", b"user agent"), "agent"),
    **dict.fromkeys((b"allow",), "allow"),
    **dict.fromkeys((b"disallow", b"dissallow", b"dissalow", b"disalow", b"diasllow", b"disallaw"), "disallow"),
    **dict.fromkeys((b"content-usage", b"content-signal"), "usage"),
}
_TRAINING = re.compile(rb"\s*(?:train-ai|ai-train)\s*=\s*(y|yes|n|no)\s*(?:;.*)?", re.IGNORECASE)
_LINE_END = re.compile(rb"\r\n|\r|\n")
# A product token (section 2.2.1), and digits, since robots have them in their names.
_NAME = re.compile(rb"[A-Za-z0-9_-]+")
_EVERYONE = re.compile(rb"\*(?:\s|$)")
_ADDRESS = re.compile(r"(https?)://(?:[^/?#]*@)?([^/?#@]*)([^#]*)", re.IGNORECASE | re.DOTALL)
_PORT = re.compile(r":(\d{0,5})$")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_IN_URL = re.compile(rb"%([0-9A-Fa-f]{2})|[^\x21-\x7e]|[$*]")
_IN_PATTERN = re.compile(rb"%([0-9A-Fa-f]{2})|[^\x21-\x7e]|[$]")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def place(url: str) -> tuple[str, bytes] | None:
    """Authority and path of a URL: `https://example.com:8080`, and all that a pattern is compared with, in normal form.

    Scheme and port are of the authority, which has a robots.txt of its own; a default port is left out. None for a URL
    that is not of http or https.
    """
    if not (found := _ADDRESS.match(url.strip())):
        return None
    scheme, host, path = found[1].lower(), found[2].lower(), found[3]
    if port := _PORT.search(host):
        host = host[: port.start()] if port[1] in ("", _DEFAULT_PORTS[scheme]) else host
    if not (host := host.rstrip(".")):
        return None
    path = path if path.startswith("/") else f"/{path}"
    return f"{scheme}://{host}", _IN_URL.sub(_coded, path.encode("utf-8", "replace"))


def is_robots_txt(url: str) -> bool:
    """Whether a robots.txt lies at this URL."""
    found = place(url) if "/robots.txt" in url else None
    return found is not None and found[1].partition(b"?")[0] == b"/robots.txt"


def reduced(body: bytes) -> bytes:
    """A robots.txt without what no robot obeys: other lines are empty, so that the numbers of lines stay."""
    return b"\n".join(line if _directive(line) else b"" for line in _lines(body)).rstrip(b"\n")


@dataclass(frozen=True, slots=True)
class Rule:
    """A line that allows or disallows, to fetch a page or to train on it.

    line: its number, from 1. written: as it stands there. robots: a bit for each that obeys it.
    parts: of the pattern in normal form, between its `*`. anchored: it ends in `$`. length: bytes of the whole pattern.
    """

    line: int
    written: bytes
    robots: int
    allow: bool
    parts: tuple[bytes, ...]
    anchored: bool
    length: int

    @property
    def text(self) -> str:
        """The line, as far as it is shown."""
        shown = self.written[: 4 * _SHOWN].decode("utf-8", "replace").strip()[:_SHOWN]
        return "".join(c if c.isprintable() else "\ufffd" for c in shown)

    def matches(self, path: bytes) -> bool:
        """Whether the pattern matches this path."""
        head, *middle = self.parts
        if not path.startswith(head):
            return False
        at = len(head)
        if not middle:
            return not self.anchored or at == len(path)
        last = middle.pop()
        for part in middle:
            at = path.find(part, at)
            if at < 0:
                return False
            at += len(part)
        if self.anchored:
            return len(path) - len(last) >= at and path.endswith(last)
        return path.find(last, at) >= 0


class Robots:
    """The rules of a robots.txt for these robots, by their names without version. body: the file, or `reduced`."""

    def __init__(self, body: bytes, agents: Sequence[str]):
        self._agents = agents
        bits = {agent.lower().encode(): 1 << index for index, agent in enumerate(agents)}
        all_agents, everyone = (1 << len(agents)) - 1, 1 << len(agents)
        access: list[Rule] = []
        usage: list[Rule] = []
        named = group = 0
        ruled = False  # whether the group has a rule, so that the next name begins another
        for number, line in enumerate(_lines(body), 1):
            if (found := _directive(line)) is None:
                continue
            field, value = found
            if field == "agent":
                group, ruled = (0, False) if ruled else (group, False)
                if _EVERYONE.match(value):
                    group |= everyone
                elif name := _NAME.match(value):
                    group |= bits.get(name[0].lower(), 0)
                named |= group
                continue
            ruled = True
            if field != "usage":
                if group and value:
                    access.append(_rule(number, line, group, field == "allow", value))
            elif group and (wish := _usage(value)):
                usage.append(_rule(number, line, group, wish[1], wish[0]))

        def obeyed(rules: list[Rule], first: bool) -> list[tuple[Rule, int]]:
            """Rules and who obeys them, those that decide first; `first`: of equally long ones."""
            rules.sort(key=lambda rule: (-rule.length, rule.allow is not first, rule.line))
            others = all_agents & ~named
            found = [(r, r.robots & all_agents | (others if r.robots & everyone else 0)) for r in rules]
            return [(rule, robots) for rule, robots in found if robots]

        self._rules = obeyed(access, True), obeyed(usage, False)

    def disallows(self, path: bytes) -> tuple[str, Rule] | None:
        """The first of the robots that may not fetch this path (of `place`) or train on it, and the rule of that."""
        return next((found for rules in self._rules if (found := self._refused(rules, path))), None)

    def _refused(self, rules: list[tuple[Rule, int]], path: bytes) -> tuple[str, Rule] | None:
        decided, by = 0, list[tuple[int, Rule]]()
        for rule, robots in rules:
            if (hit := robots & ~decided) and rule.matches(path):
                decided |= hit
                if not rule.allow:
                    by.append((hit, rule))
        if not by:
            return None
        hit, rule = min(by, key=lambda each: each[0] & -each[0])
        return self._agents[(hit & -hit).bit_length() - 1], rule


def _lines(body: bytes) -> Iterator[bytes]:
    if len(body) > LIMIT:
        # Half a pattern would mean more than the whole one.
        body = body[: max(body.rfind(b"\n", 0, LIMIT), body.rfind(b"\r", 0, LIMIT), 0)]
    for mark in _BYTE_ORDER_MARK:
        body = body[1:] if body[:1] == bytes([mark]) else body
    return iter(_LINE_END.split(body))


def _directive(line: bytes) -> tuple[str, bytes] | None:
    """What a line says: `agent`, `allow`, `disallow` or `usage`, and of what; None for any other line."""
    line = line.partition(b"#")[0].strip()
    name, colon, value = line.partition(b":")
    if not colon:
        words = line.split(maxsplit=2)
        if len(words) != 2:
            return None
        name, value = words
    field = _FIELDS.get(name.strip().lower())
    return (field, value.strip()) if field else None


def _usage(value: bytes) -> tuple[bytes, bool] | None:
    """The pattern of a line about usage, and whether training is wished; None where it says nothing of that."""
    pattern, *rest = value.split(maxsplit=1) or [b""]
    wishes = value
    if pattern.startswith((b"/", b"*")):
        wishes = rest[0] if rest else b""
    else:
        pattern = b"/"
    said = [found[1].lower() for part in wishes.split(b",") if (found := _TRAINING.fullmatch(part))]
    return (pattern, not any(word in (b"n", b"no") for word in said)) if said else None


def _rule(number: int, line: bytes, robots: int, allow: bool, pattern: bytes) -> Rule:
    anchored = pattern.endswith(b"$")
    normal = _IN_PATTERN.sub(_coded, pattern[:-1] if anchored else pattern)
    head, *others = normal.split(b"*")
    # Several `*` after each other are one, and a `*` at the end keeps the empty last part.
    parts = (head, *(part for part in others[:-1] if part), *others[-1:])
    return Rule(number, line, robots, allow, parts, anchored, len(normal) + anchored)


def _coded(found: re.Match[bytes]) -> bytes:
    """Percent-encoding (section 2.2.2): what is not ASCII gets it, what needs none loses it, the rest in upper case."""
    octet = int(found[1], 16) if found[1] else found[0][0]
    return bytes([octet]) if found[1] and octet in _UNRESERVED else b"%%%02X" % octet

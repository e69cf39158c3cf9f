"""What a URL says of its page: blocklists and scored words.

A blocklist is a file of one entry a line, a host (`example.com`, which holds for every host below it) or a URL without
its scheme (`example.com/forum`, which holds for all below it; `example.com/watch?v=7` for that page alone); `#` and `!`
begin comments. Hosts may be written as others do it: `0.0.0.0 example.com`, `*.example.com`, `||example.com^`. A file
with many lines that are none of this is refused. The layout of Université Toulouse Capitole's lists (UT1,
https://dsi.ut-capitole.fr/blacklists) is a folder of such files per category, `domains` and `urls`, or an archive of
one: `expressions` are left out, since patterns from outside may take unbounded time. Accepted are such a file, plain or
.gz, such a folder, and such a .tar.gz, local or remote.

Entries are kept as hashes of 64 bits, eight bytes each: of a list of five million, one host in four million million is
taken for another.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from firn.core.errors import InputError
from firn.core.hashing import hash64
from firn.core.settings import Settings

#: Files of a UT1 category that are read.
UT1_FILES = ("domains", "urls")
_LINE = 4096  # bytes of an entry at most
_HOST = 253  # characters of a host's name at most
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]*:[0-9a-f:]+", re.IGNORECASE)
_NAME = re.compile(r"[0-9a-z_-]+(?:\.[0-9a-z_-]+)+|[0-9a-f:.]{2,45}")
# A file with more lines that are no entries than this, and than one line in so many, is no list.
_STRAY, _SHARE = 10, 10


class UrlSettings(Settings):
    """Rules on URLs: what is measured of them."""

    words: dict[str, float] = {}
    """Scores of words that stand alone in the URL, in lower case."""
    subwords: dict[str, float] = {}
    """Scores of strings of a-z and 0-9 anywhere in the URL, other characters aside."""
    lists: tuple[str, ...] = ()
    """Names of the blocklists that are consulted."""


def normal(url: str) -> tuple[str, str]:
    """(host, path) of a URL as lists have them: lower case, without scheme, port, `www.`, query and closing slash.

    A name in other letters is as the domain name system has it (`xn--...`).
    """
    text = url.strip().lower()
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host = (parts.hostname or "").rstrip(".")
        if not host.isascii():
            host = host[:_HOST].encode("idna").decode()
    except ValueError:  # brackets that hold no address, a name that no host can have
        return "", ""
    return host.removeprefix("www."), parts.path.rstrip("/")


def entry(line: bytes) -> str | None:
    """What a line of a list names: a host, a host and a path, or these and a query. None where it names nothing.

    Raises ValueError where it is no entry at all.
    """
    text = line[:_LINE].decode("utf-8", "replace").partition("#")[0].strip()
    if not text or text.startswith("!"):
        return None
    first, _, rest = text.partition(" ")
    if rest and _ADDRESS.fullmatch(first):  # a line of a hosts file
        text = rest.split()[0]
    text = text.removeprefix("||").removesuffix("^").removeprefix("*").removeprefix(".")
    address, _, query = text.partition("?")
    host, path = normal(address)
    if not _NAME.fullmatch(host):
        raise ValueError(text)
    return host + path + (f"?{query.lower()}" if query else "")


# Parameters that say where a visitor came from, and nothing of the page.
_TRACKING = re.compile(r"^(?:utm_[a-z_]+|fbclid|gclid|dclid|msclkid|mc_cid|mc_eid|igshid|yclid|_ga)=", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical(url: str) -> str:
    """What two URLs of one page have in common: without scheme, `www.`, default port, fragment, closing slash and
    parameters of tracking; the host in lower case. The order of parameters stays, as pages may depend on it.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").rstrip(".").removeprefix("www."), parts.port
    except ValueError:
        return url
    if port is not None and port != _DEFAULT_PORTS.get(parts.scheme.lower()):
        host += f":{port}"
    query = "&".join(pair for pair in parts.query.split("&") if pair and not _TRACKING.match(pair))
    return host + parts.path.rstrip("/") + (f"?{query}" if query else "")


def keys(host: str, path: str, query: str = "") -> Iterator[bytes]:
    """What a list may hold that names this URL: the host, domains above it, each beginning of the path, the whole."""
    labels = host.split(".")[-16:]
    for first in range(len(labels) - 1):
        yield ".".join(labels[first:]).encode()
    at = 0
    for _ in range(16):
        at = path.find("/", at + 1)
        if at < 0:
            break
        yield (host + path[:at]).encode("utf-8", "replace")
    if path:
        yield (host + path).encode("utf-8", "replace")
    if query:
        yield f"{host}{path}?{query[:_LINE].lower()}".encode("utf-8", "replace")


class Blocklist:
    """Hashes of the entries of one list, sorted. Raises InputError where many lines are no entries."""

    def __init__(self, lines: Iterable[bytes], where: str = "the list"):
        hashes, stray = [], []
        for line in lines:
            try:
                if named := entry(line):
                    hashes.append(hash64(named.encode("utf-8", "replace")))
            except ValueError as error:
                stray.append(str(error)[:80])
        if len(stray) > max(_STRAY, len(hashes) // _SHARE):
            mend = "give one host, or host and path, a line: example.com, example.com/forum"
            raise InputError(f"{len(stray):,} lines name no host, as {stray[0]!r}", where=where, mend=mend)
        self.hashes: NDArray[np.uint64] = np.unique(np.array(hashes, np.uint64))

    def names(self, url: str) -> bool:
        """Whether the list names the URL."""
        host, path = normal(url)
        wanted = np.array([hash64(key) for key in keys(host, path, url.partition("?")[2].partition("#")[0])], np.uint64)
        if not wanted.size or not self.hashes.size:
            return False
        at = np.minimum(np.searchsorted(self.hashes, wanted), self.hashes.size - 1)
        return bool((self.hashes[at] == wanted).any())


def read_lines(path: Path) -> Iterator[bytes]:
    """Lines of a list's file: plain, .gz, or a .tar.gz of one UT1 category. Raises InputError."""
    category: str | None = None
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if packed else raw
            head = stream.read(512)
            stream.seek(0)
            if packed and head[257:262] == b"ustar":
                with tarfile.open(
                    fileobj=stream, mode="r|"
                ) as archive:  # members are read in passing, none is unpacked
                    for member in archive:
                        folder, _, name = member.name.rpartition("/")
                        if not member.isfile() or name not in UT1_FILES:
                            continue
                        if category not in (None, folder):
                            mend = f"unpack it, and name one folder: a list is one category, as {category}"
                            raise InputError(
                                f"has several categories: {category}, {folder}", where=str(path), mend=mend
                            )
                        category = folder
                        yield from archive.extractfile(member) or ()
            else:
                yield from stream
    except (OSError, EOFError, tarfile.TarError) as error:
        raise InputError(f"the list cannot be read: {error}", where=str(path), mend="fetch it anew") from error


class UrlRules:
    """Measures URLs."""

    def __init__(self, settings: UrlSettings, lists: Mapping[str, Blocklist]):
        self._settings, self._lists = settings, lists

    def measure(self, url: str | None) -> tuple[float, float, float]:
        """Values of signals.URL_SIGNALS; zeros for a document without a URL."""
        if not url:
            return 0.0, 0.0, 0.0
        text = url[:_LINE].lower()
        plain = "".join(c if "a" <= c <= "z" or "0" <= c <= "9" else " " for c in text)
        words, joined = set(plain.split()), plain.replace(" ", "")
        return (
            float(sum(found.names(text) for found in self._lists.values())),
            float(sum(score for word, score in self._settings.words.items() if word in words)),
            float(sum(score for word, score in self._settings.subwords.items() if word in joined)),
        )

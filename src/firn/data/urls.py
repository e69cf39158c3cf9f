"""What a URL says of its page: blocklists and scored words.

A blocklist is a file of one entry a line, a host (`example.com`, which holds for every host below it) or a URL without
its scheme (`example.com/forum`, which holds for all below it); `#` begins a comment. The layout of Université Toulouse
Capitole's lists (UT1, https://dsi.ut-capitole.fr/blacklists) is a folder of such files per category, `domains` and
`urls`, or an archive of it: `expressions` are left out, since patterns from outside may take unbounded time. Accepted
are such a file, plain or .gz, such a folder, and such a .tar.gz, local or remote.

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


class UrlSettings(Settings):
    """Rules on URLs: what is measured of them."""

    words: dict[str, float] = {}
    """Scores of words that stand alone in the URL, in lower case."""
    subwords: dict[str, float] = {}
    """Scores of strings of a-z and 0-9 anywhere in the URL, other characters aside."""
    lists: tuple[str, ...] = ()
    """Names of the blocklists that are consulted."""


def normal(url: str) -> tuple[str, str]:
    """(host, path) of a URL as lists have them: lower case, without scheme, port, `www.`, query and closing slash."""
    text = url.strip().lower()
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host = (parts.hostname or "").rstrip(".")
    except ValueError:  # brackets that hold no address
        return "", ""
    return host.removeprefix("www."), parts.path.rstrip("/")


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


def keys(host: str, path: str) -> Iterator[bytes]:
    """What a list may hold that names this URL: the host, domains above it, and each beginning of the path."""
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


class Blocklist:
    """Hashes of the entries of one list, sorted."""

    def __init__(self, lines: Iterable[bytes]):
        hashes = []
        for line in lines:
            entry = line[:_LINE].partition(b"#")[0].decode("utf-8", "replace").strip()
            if entry:
                hashes.append(hash64("".join(normal(entry)).encode("utf-8", "replace")))
        self.hashes: NDArray[np.uint64] = np.unique(np.array(hashes, np.uint64))

    def names(self, url: str) -> bool:
        """Whether the list names the URL."""
        wanted = np.array([hash64(key) for key in keys(*normal(url))], np.uint64)
        if not wanted.size or not self.hashes.size:
            return False
        at = np.minimum(np.searchsorted(self.hashes, wanted), self.hashes.size - 1)
        return bool((self.hashes[at] == wanted).any())


def read_lines(path: Path) -> Iterator[bytes]:
    """Lines of a list's file: plain, .gz, or a .tar.gz of a UT1 category. Raises InputError."""
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
                        if member.isfile() and member.name.rsplit("/", 1)[-1] in UT1_FILES:
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

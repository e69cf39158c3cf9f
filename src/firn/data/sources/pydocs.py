"""The source `pydocs`: the documentation of the Python that runs firn, as a crawl would have it.

A stage of its own renders the pages and writes them as `crawl.warc.gz`, which is then read as any WARC file is. It is
the same bytes on every machine with that version of Python: pages show nothing of the installation, dates are fixed
(1970 stands for "no date"), record ids are made from URLs, and the gzip members are stored, not compressed, since what
a compressor makes of a text differs between builds of zlib.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import uuid
import zlib
from pathlib import Path
from typing import Literal

from firn.core.engine import LocalEngine
from firn.core.errors import InputError
from firn.core.hashing import fingerprint
from firn.core.stage import Input, Stage, Task, Work
from firn.data.extract import ExtractSettings
from firn.data.raw import Pattern
from firn.data.sources import warc

_RENDERER = Path(__file__).with_name("pydocs_render.py")
_DATE = "1970-01-01T00:00:00Z"
# All that the renderer knows of the environment, besides where an unusual Python finds its own parts.
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "PATH": "", "HOME": "/", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_PARTS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
_STORED = 0xFFFF


class PydocsSource(warc.WarcSettings):
    """The documentation of the running Python's standard library, as HTML in a WARC file."""

    kind: Literal["pydocs"] = "pydocs"
    group: Pattern | None = r"^/(.+)\.html$"
    """Regular expression on the URL's path: its first group, or the whole match, names what must stay together in
    training or in validation. The module by default: `asyncio/events`."""


def tasks(name: str, source: PydocsSource, settings: ExtractSettings, engine: LocalEngine) -> list[Task]:
    """Makes the crawl where it is not there yet, and gives the one shard that reads it."""
    return [warc.task(name, "crawl.warc.gz", Input(engine.run([crawl()])[0], ("crawl",)), source, settings)]


def crawl() -> Task:
    """The shard that holds the pages: one output, `crawl`, a WARC file."""
    made_by = {"python": platform.python_version(), "renderer": fingerprint(_RENDERER.read_text("utf-8"))}
    return Task(STAGE, None, (), "pydocs", made_by)


def render() -> list[dict[str, str]]:
    """All pages: {"path", "html"}. Raises InputError where this Python cannot render them."""
    # Not a virtual environment's: the library is the base installation's.
    python = getattr(sys, "_base_executable", None) or sys.executable
    command = [python, "-s", "-S", "-P", "-X", "utf8", str(_RENDERER)]
    environment = {**{name: os.environ[name] for name in _PARTS if name in os.environ}, **_ENVIRONMENT}
    try:
        done = subprocess.run(command, capture_output=True, env=environment, cwd="/", check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        raise InputError(
            f"cannot render the documentation: {said.decode('utf-8', 'replace').strip()[-500:]}",
            where=str(python),
            mend="use another Python, or another source",
        ) from error
    return [json.loads(line) for line in done.stdout.splitlines()]


def run(work: Work) -> None:
    """Write the pages as a WARC file."""
    pages = render()
    with work.open("crawl", ".warc.gz") as out:
        about = f"software: pydoc of Python {platform.python_version()}\r\nformat: WARC File Format 1.1\r\n".encode()
        out.write(_member(_record("warcinfo", "http://pydoc.invalid/", "application/warc-fields", about)))
        for page in pages:
            body = page["html"].encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
            url = f"http://pydoc.invalid/{page['path']}"
            out.write(_member(_record("response", url, "application/http; msgtype=response", head.encode() + body)))
    work.note("pages", len(pages))


def _record(kind: str, url: str, mime: str, block: bytes) -> bytes:
    head = (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, url)}>\r\n"
        f"WARC-Date: {_DATE}\r\nWARC-Target-URI: {url}\r\nContent-Type: {mime}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def _member(data: bytes) -> bytes:
    """A gzip member (RFC 1952) of stored blocks (RFC 1951, section 3.2.4)."""
    out = bytearray(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")
    for at in range(0, len(data), _STORED):
        piece = data[at : at + _STORED]
        out.append(at + _STORED >= len(data))
        out += len(piece).to_bytes(2, "little") + (len(piece) ^ _STORED).to_bytes(2, "little") + piece
    return bytes(out) + zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")


STAGE = Stage("pydocs", 1, run)

"""Files on servers, read in pieces and with patience.

A busy server (403, 429, 503, SlowDown) and a broken connection are asked again, from the last byte that came, after a
pause that doubles and varies, or that the server named (`Retry-After`). A file that is another than it was at first
(its ETag or size) is an error. Nothing of this changes a byte that is read. At most so many connections to one server
are open at once, of all processes on this machine together.
"""

from __future__ import annotations

import email.utils
import errno
import fcntl
import io
import os
import random
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from firn.core.errors import InputError
from firn.core.files import Files, as_os_error, cache_folder, store_error
from firn.core.hashing import fingerprint

T = TypeVar("T")

#: Connections to one server at once.
CONNECTIONS = 8
#: How often a request is made before it is given up; where no connection comes about at all, less often.
ATTEMPTS, CONNECTING = 10, 4
#: Seconds before the second attempt, and the longest pause of our own, and of a server's choosing.
PAUSE, LONGEST, LONGEST_ASKED = 1.0, 60.0, 900.0
#: Bytes that are fetched at a time.
BLOCK = 4 << 20

# 403 is how Common Crawl refuses who asks too fast.
_BUSY = {403, 408, 425, 429, 500, 502, 503, 504}
_FINAL = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, ValueError, TypeError, ImportError)
# Seconds until a connection must stand, and within which something must come.
_CONNECT, _SILENCE = 30, 60
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # of a copy's own disk
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
# Seconds in which one who waits for a connection looks at each of them.
_LOOK = 0.1
_chance = random.Random()


class WithoutRanges(OSError):
    """The server gives whole files only."""

    def __init__(self) -> None:
        super().__init__("the server gives whole files only")


class PastEnd(Exception):
    """The file ends before the bytes that were asked for."""


class Remote:
    """A file on a server, as it was when it was first asked for.

    bytes: its size, None where the server does not say. identity: hash of its ETag or checksum, or else of size and
    date; None where the server says none of them. known: whether to ask for these; without them, `read` cannot tell
    whether the file has changed. Raises OSError where there is none, or it cannot be reached.
    """

    def __init__(self, files: Files, name: str = "", connections: int = CONNECTIONS, known: bool = True):
        self.files, self.url, self.connections = files, files.path(name), connections
        self.is_http = self.url.startswith(("http://", "https://"))
        info = patiently(lambda: self.files.fs.info(self.url), self.url, connections) if known else {}
        size = info.get("size")
        self.bytes: int | None = None if size is None else int(size)
        self.etag = _first(info, "ETag", "etag")
        tag = self.etag or _first(info, "md5Hash", "Content-MD5", "Digest", "blob_id")
        changed = _first(info, "Last-Modified", "LastModified", "updated", "mtime", "created")
        tells = self.bytes is not None and (tag or changed)
        self.identity = fingerprint(tag or [self.bytes, str(changed)]) if tells else None
        self._file: Any = None

    def read(self, start: int, end: int) -> bytes:
        """Bytes `start` to `end`, exclusive. Raises OSError, PastEnd, WithoutRanges, InputError for another file."""
        got = bytearray()

        def go_on() -> None:
            if self.is_http:
                fsspec.asyn.sync(self.files.fs.loop, self._get, start, end, got)
            else:
                data = self._read_file(start + len(got), end)
                if not data:
                    raise PastEnd
                got.extend(data)
            if len(got) < end - start:
                raise OSError(f"only {len(got):,} of {end - start:,} bytes came, from byte {start:,}")

        if end > start:
            patiently(go_on, self.url, self.connections)
        return bytes(got)

    def copy(self, path: Path) -> None:
        """Write the whole file to a local path. Raises OSError, InputError where it is another now."""
        try:
            if self.bytes is None:
                raise WithoutRanges
            with open(path, "wb") as out:
                for at in range(0, self.bytes, BLOCK):
                    out.write(self.read(at, min(at + BLOCK, self.bytes)))
        except WithoutRanges:

            def get() -> None:
                if self.is_http:
                    fsspec.asyn.sync(self.files.fs.loop, self._get_whole, path)
                else:
                    self.files.fs.get_file(self.url, str(path))

            patiently(get, self.url, self.connections)

    def changed(self) -> InputError:
        """The error of a file that is another than it was."""
        return InputError("changed while it was read", where=shown(self.url), mend="run the same command again")

    async def _get(self, start: int, end: int, got: bytearray) -> None:
        """Append what is missing of the range to `got`, as far as it comes."""
        fs, wanted = self.files.fs, f"bytes={start + len(got)}-{end - 1}"
        session = await fs.set_session()
        async with session.get(fs.encode_url(self.url), **self._options(Range=wanted)) as answer:
            answer.raise_for_status()
            if answer.status != 206:
                raise WithoutRanges
            placed = _RANGE.match(answer.headers.get("Content-Range", ""))
            if not placed or int(placed[1]) != start + len(got):
                raise OSError(f"answered with another part of the file than {wanted}")
            size = int(placed[3]) if placed[3] != "*" else None
            if size is not None and self.bytes not in (size, None):
                raise self.changed()
            if size is not None and end > size:
                raise PastEnd
            etag = answer.headers.get("ETag")
            if etag and self.etag and etag.removeprefix("W/") != self.etag.removeprefix("W/"):
                raise self.changed()
            async for data in answer.content.iter_any():
                got += data[: end - start - len(got)]
                if len(got) == end - start:
                    return

    async def _get_whole(self, path: Path) -> None:
        """Write the file, from its start."""
        fs = self.files.fs
        session = await fs.set_session()
        async with session.get(fs.encode_url(self.url), **self._options()) as answer:
            answer.raise_for_status()
            with open(path, "wb") as out:
                async for data in answer.content.iter_any():
                    out.write(data)

    def _options(self, **headers: str) -> dict[str, Any]:
        """How a file is asked for over HTTP: as it lies, for as long as something comes."""
        import aiohttp

        given = self.files.fs.kwargs
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_SILENCE)
        headers = {**given.get("headers", {}), "Accept-Encoding": "identity", **headers}
        return {**given, "headers": headers, "timeout": timeout}

    def _read_file(self, start: int, end: int) -> bytes:
        """A part of a file of any other file system; S3's are asked for under the condition of their ETag."""
        if self.etag is None:
            return bytes(self.files.fs.cat_file(self.url, start=start, end=end))
        if self._file is None:
            self._file = self.files.fs.open(self.url, "rb", cache_type="none")
        try:
            self._file.seek(start)
            return bytes(self._file.read(end - start))
        except OSError as error:
            if type(error).__name__ == "FileExpired":  # s3fs's own, which is installed only with firn[s3]
                raise self.changed() from error
            raise


def patiently(ask: Callable[[], T], url: str, connections: int = CONNECTIONS) -> T:
    """What `ask` returns, which makes one request to the URL's server, asked again where that may help.

    Raises OSError, FileNotFoundError where there is no such file, and what else `ask` raises for good.
    """
    attempt = 0
    while True:
        try:
            with _connection(url, connections):
                return ask()
        except (InputError, PastEnd, WithoutRanges):
            raise
        except Exception as error:  # each file system raises kinds of its own
            attempt += 1
            if any(_status(cause)[0] == 416 for cause in _causes(error)):
                raise PastEnd from _cause(error, url)
            asked = _again(error)
            if asked is None or attempt >= (CONNECTING if _unconnected(error) else ATTEMPTS):
                raise _told(error, shown(url)) from _cause(error, url)
            own = min(PAUSE * 2 ** (attempt - 1), LONGEST) * _chance.uniform(0.5, 1.5)
            time.sleep(max(own, min(asked, LONGEST_ASKED)))


def fetch(
    files: Files,
    name: str,
    key: str,
    folder: Path | None = None,
    connections: int = CONNECTIONS,
    identity: str | None = None,
) -> Path:
    """A local copy of a remote file, fetched once to a folder (default: in the cache) under `key`.

    identity: that of the `Remote` it is to be; None: any. Raises StoreError, InputError where the file is another.
    A connection that breaks is tried again, as `patiently` does.
    """
    copy = (folder or cache_folder() / "files") / key
    if copy.exists():
        return copy
    partial = copy.with_name(f"{secrets.token_hex(6)}.part")
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        remote = Remote(files, name, connections)
        if None not in (identity, remote.identity) and remote.identity != identity:
            raise remote.changed()
        remote.copy(partial)
        partial.replace(copy)
    except OSError as error:
        mend = "check the connection and the room in the cache folder, and run the same command again"
        raise store_error(error, shown(files.path(name)), "fetched", mend) from error
    finally:
        partial.unlink(missing_ok=True)
    return copy


class RemoteFile(io.RawIOBase):
    """A remote file being read, a block at a time. What goes wrong on the way is an OSError, which is no document's
    fault, or InputError where the file is another than `remote` was. Raises WithoutRanges where nothing can be resumed,
    since the server gives no parts of files or does not say how long this one is: `fetch` has a copy then."""

    def __init__(self, remote: Remote, block: int = BLOCK):
        self.remote, self._block = remote, block
        if remote.bytes is None:
            raise WithoutRanges
        self._position, self._start = 0, 0
        self._data = remote.read(0, min(block, remote.bytes))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self._position, self.remote.bytes or 0)[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._at_hand(len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _at_hand(self, most: int) -> bytes:
        """Up to `most` bytes from here on; fetched where they are not in the block at hand."""
        size = self.remote.bytes or 0
        if not self._start <= self._position < self._start + len(self._data):
            if self._position >= size:
                return b""
            self._start, self._data = self._position, b""
            self._data = self.remote.read(self._start, min(self._start + max(self._block, most), size))
        at = self._position - self._start
        return self._data[at : at + most]

    def tell(self) -> int:
        return self._position


def advice(url: str) -> str:
    """What to do where a URL cannot be reached."""
    match url.partition("://")[0]:
        case "s3":  # FSSPEC_* is read by fsspec.config
            return (
                "check the URL, the connection and the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                "~/.aws); a public bucket is read without any where FSSPEC_S3_ANON=true stands in the environment"
            )
        case "hf":
            return "check the URL and the connection; a private or gated dataset needs HF_TOKEN in the environment"
    return "check the URL and the connection"


def shown(url: str) -> str:
    """A URL without its query and user, in which passwords may stand; what is no URL stays as it is."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    server, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{server.rpartition('@')[2]}{slash}{path}" if scheme in ("http", "https") else url


@contextmanager
def _connection(url: str, most: int) -> Iterator[None]:
    """One of `most` connections to the URL's server. Locks on files hold the count, which a killed process lets go."""
    server = "/".join(url.split("/")[:3]) if "://" in url else url.split("/")[0]
    folder = Path(tempfile.gettempdir(), f"firn-connections-{os.getuid()}", fingerprint(server)[:16])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = os.getpid()
    while True:
        number += 1
        handle = os.open(folder / str(number % most), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
            return
        except BlockingIOError:
            pass
        finally:
            os.close(handle)
        time.sleep(_chance.uniform(0.5, 1.5) * _LOOK / most)


def _cause(error: Exception, url: str) -> Exception | None:
    """What a traceback may name as the cause: what others raise has all of the URL in its text, also a password."""
    return error if url == shown(url) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _status(error: BaseException) -> tuple[int | None, float]:
    """HTTP status that an error stands for, if any, and the seconds that the server asks to wait."""
    status, headers = getattr(error, "status", None), getattr(error, "headers", None)
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore's
        about = answer.get("ResponseMetadata", {})
        status, headers = about.get("HTTPStatusCode"), about.get("HTTPHeaders")
    wait = {name.lower(): value for name, value in dict(headers or {}).items()}.get("retry-after", "")
    if not isinstance(status, int):
        return None, 0.0
    try:
        return status, float(wait or 0)
    except ValueError:
        pass
    try:
        return status, max(email.utils.parsedate_to_datetime(wait).timestamp() - time.time(), 0.0)
    except ValueError:
        return status, 0.0


def _again(error: Exception) -> float | None:
    """Seconds that the server asks to wait before the same is asked again; None where that has no point."""
    for cause in _causes(error):
        status, wait = _status(cause)
        if status is not None:
            # S3 answers 403 to those who have no right to the file, and SlowDown (503) to those who are too fast.
            return wait if status in _BUSY and not (status == 403 and isinstance(error, PermissionError)) else None
    if (isinstance(error, _FINAL) and not _unconnected(error)) or getattr(error, "errno", None) in _DISK:
        return None
    return None if type(error).__name__ == "NoCredentialsError" else 0.0


def _unconnected(error: Exception) -> bool:
    kinds = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    # Of aiohttp, botocore, httpx, Python.
    return bool(kinds & {"ClientConnectorError", "EndpointConnectionError", "ConnectError", "ConnectionRefusedError"})


def _told(error: Exception, url: str) -> OSError:
    """The error in words that name its reason, as an OSError; FileNotFoundError where there is no such file."""
    for cause in _causes(error):
        status, _ = _status(cause)
        if status == 404:
            return FileNotFoundError(errno.ENOENT, "No such file", url)
        if status is not None:
            return OSError(errno.EIO, f"the server answers {status} {getattr(cause, 'message', '')}".rstrip(), url)
    *_, reason = _causes(error)  # fsspec says of any failure that there is no such file
    if isinstance(reason, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "No such file", url)
    told = as_os_error(reason if isinstance(reason, Exception) else error)
    return told if told.errno in _DISK else OSError(told.errno or errno.EIO, told.strerror or str(told), url)


def _first(info: Any, *keys: str) -> Any:
    """What a file system tells under the first of the keys that it knows."""
    return next((info[key] for key in keys if info.get(key)), None)

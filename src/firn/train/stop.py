"""What ends a run from outside, and what keeps two from one folder: signals, a time limit, a lock."""

from __future__ import annotations

import errno
import fcntl
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from firn.core.errors import FirnError
from firn.core.files import store_error

#: EX_TEMPFAIL of sysexits.h: not done, try again. Job schedulers can be told to start the job again on it.
AGAIN = 75


class Stopped(FirnError):
    """A signal, or the time limit, asked the run to stop, and it has saved itself."""

    def __init__(self, problem: str, *, where: str | None = None, key: str | None = None, mend: str | None = None):
        super().__init__(problem, where=where, key=key, mend=mend)
        name = problem.split()[-1]
        # The shell's convention for a program that a signal ended.
        self.exit_code = 128 + signal.Signals[name].value if name in signal.Signals.__members__ else AGAIN


@contextmanager
def alone_in(folder: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder; where another process trains in it, say so and wait for it. A killed holder lets go."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise store_error(error, str(folder)) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"another process is training in {folder}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            # A file system without locks: names unique to an attempt still keep both runs right, at twice the work.
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
        yield


class Stop:
    """Within it SIGINT and SIGTERM only set `cause`, as the time limit does; a second signal acts as it did before.

    Signals reach the main thread only. seconds: until the limit; None: there is none. cause: None while none came.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._signal: str | None = None
        self._end = None if seconds is None else time.monotonic() + seconds
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._before = {kind: signal.signal(kind, self._stop) for kind in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for kind, handler in self._before.items():
            signal.signal(kind, handler)
        self._before = {}

    @property
    def cause(self) -> str | None:
        """What asked to stop, `its time limit` or a signal's name."""
        if self._signal is None and self._end is not None and time.monotonic() >= self._end:
            return "its time limit"
        return self._signal

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        self.__exit__()


def duration(text: str) -> float:
    """Seconds of a duration such as `3h`, `90m` or `1h30m`. Raises ValueError."""
    found = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip())
    if not found or not any(found.groups()):
        raise ValueError(f"{text!r} is not a duration: write it as 3h, 90m or 1h30m")
    return float(sum(int(n or 0) * unit for n, unit in zip(found.groups(), (86400, 3600, 60, 1), strict=True)))

"""What stands between a run and its accidents: two trainers in one folder, signals, gradients that are not finite."""

from __future__ import annotations

import errno
import fcntl
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from firn.core.errors import FirnError
from firn.core.files import store_error


class TrainError(FirnError):
    """Training cannot go on: its loss is not finite, or it does not fit into memory."""


class Stopped(FirnError):
    """A signal asked the run to stop, and it has saved itself."""

    def __init__(self, problem: str, *, where: str | None = None, key: str | None = None, mend: str | None = None):
        super().__init__(problem, where=where, key=key, mend=mend)
        name = problem.split()[-1]
        # The shell's convention for a program that a signal ended.
        self.exit_code = 128 + (signal.Signals[name].value if name in signal.Signals.__members__ else 0)


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


class StopSignals:
    """Within it SIGINT and SIGTERM only set `name`; a second one acts as it did before. Only in the main thread."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {kind: signal.signal(kind, self._stop) for kind in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for kind, handler in self._before.items():
            signal.signal(kind, handler)
        self._before = {}

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        self.__exit__()


def check_bad_steps(bad: Sequence[Mapping[str, Any]], limit: int) -> None:
    """Raise TrainError where the last `limit` left-out steps follow one another."""
    steps = [entry["step"] for entry in bad[-limit:]]
    if len(steps) == limit and steps[-1] - steps[0] == limit - 1:
        raise TrainError(
            f"{limit} steps in a row gave a loss or gradient that is not finite (steps {steps[0]} to {steps[-1]})",
            key="train.bad_steps",
            mend="lower the learning rates (train.optimizer), set train.precision=fp32, or look at these documents "
            "steps with `firn show-batch`",
        )

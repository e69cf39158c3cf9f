"""Run folders for a while: gone when their work is done; of a killed process, found afterwards and taken away.

A file in the folder is locked by all processes that work there, and a killed process lets go of it. It is locked before
it has its name, so that a folder with such a file that no process holds is one that nobody will come back to. What only
has a like name has no such file.
"""

from __future__ import annotations

import fcntl
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "verify-"
_MARK = ".scratch"


@contextmanager
def scratch(runs: str | Path) -> Iterator[Path]:
    """A folder below `runs`, for as long as this lasts."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=runs) as own:
        new = Path(own, f"{_MARK}-new")
        new.write_text(platform.node())
        with _locked(new):
            new.rename(new.with_name(_MARK))
            yield Path(own)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Another process works in the folder, which may outlive the one that made it."""
    with _locked(folder / _MARK):
        yield


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open() as lock:
        with suppress(OSError):  # of a file system without locks nothing is taken away either
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def left_behind(runs: str | Path) -> list[Path]:
    """The folders below `runs` whose processes, on this machine, are all gone."""
    return [mark.parent for mark in sorted(Path(runs).glob(f"{_PREFIX}*/{_MARK}")) if _is_left(mark)]


def _is_left(mark: Path) -> bool:
    if mark.is_symlink() or mark.parent.is_symlink():
        return False
    try:
        with mark.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock.read() == platform.node()  # locks may not reach from one machine to another
    except (OSError, ValueError):
        return False

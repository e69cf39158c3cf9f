"""The worker process: takes tasks from a pipe, runs them, and shows in shared memory which document it is at."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import RawArray
from typing import Any

import pyarrow as pa

from firn.core.errors import FirnError
from firn.core.stage import Task, execute
from firn.core.store import Store

# Slots of the shared board, int64 each.
ROW, BEATS, ROWS, BYTES = range(4)
NO_ROW = -1


@dataclass(frozen=True)
class Limits:
    """Backstops per document. seconds: processor time. memory: bytes beyond what the task began with."""

    seconds: float
    memory: int


@dataclass(frozen=True)
class Failure:
    """Why a task did not end. `error` is set when it is a FirnError, which is final."""

    reason: str
    details: str
    error: FirnError | None


class BoardWatch:
    """Writes the row at hand and the progress to shared memory, and winds up the processor-time limit."""

    def __init__(self, board: Any, limits: Limits, quarantined: Mapping[int, str]):
        self.board, self.limits, self.quarantined = board, limits, quarantined

    def enter(self, row: int) -> None:
        self.board[ROW] = row
        self.board[BEATS] += 1
        # The default action of SIGPROF ends the process, whatever C code it is in.
        signal.setitimer(signal.ITIMER_PROF, self.limits.seconds)

    def advance(self, rows: int, bytes: int) -> None:
        self.board[ROWS] += rows
        self.board[BYTES] += bytes


def serve(tasks: Connection, lifeline: Connection, board: Any, root: str, limits: Limits) -> None:
    """Body of a worker process: until the pipe closes, receive (task, quarantined), send Manifest or Failure."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_driver, args=(lifeline,), daemon=True).start()
    pa.set_cpu_count(1)
    store = Store(root)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            task, quarantined = tasks.recv()
            tasks.send(_run(task, store, BoardWatch(board, limits, quarantined)))


def _run(task: Task, store: Store, watch: BoardWatch) -> Any:
    _limit_memory(watch.limits.memory)
    try:
        return execute(task, store, watch)
    except FirnError as error:
        return Failure(str(error), "", error)
    except MemoryError:
        return Failure(f"took more than {watch.limits.memory >> 20} MiB of memory", traceback.format_exc(), None)
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc(), None)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_memory(allowed: int) -> None:
    try:
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:  # not Linux: processor time is the only backstop
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + allowed, hard))


def _die_with_driver(lifeline: Connection) -> None:
    # The driver holds the other end and never writes: this returns only when the driver is gone.
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(71)


class Worker:
    """The driver's end of one worker process."""

    def __init__(self, context: Any, root: str, limits: Limits):
        self.pipe, theirs = context.Pipe()
        lifeline, self._lifeline = context.Pipe(duplex=False)
        self.board: Any = RawArray("q", 4)
        self.process = context.Process(target=serve, args=(theirs, lifeline, self.board, root, limits), daemon=True)
        self.process.start()
        theirs.close()
        lifeline.close()

    def send(self, task: Task, quarantined: Mapping[int, str]) -> None:
        """Start a task."""
        self.board[ROW], self.board[BEATS], self.board[ROWS], self.board[BYTES] = NO_ROW, 0, 0, 0
        self.pipe.send((task, dict(quarantined)))

    def kill(self) -> None:
        """End the process at once and wait for it."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self._lifeline.close()

    def death(self) -> str:
        """What ended the process, in words."""
        self.process.join()
        code = self.process.exitcode
        if code == -signal.SIGPROF:
            return "took too much processor time"
        return (
            f"ended its worker by signal {signal.Signals(-code).name}" if code < 0 else f"ended its worker: exit {code}"
        )


def context() -> Any:
    """How processes are started: never by forking the driver, whose threads would be copied half."""
    chosen = multiprocessing.get_context("forkserver" if sys.platform.startswith("linux") else "spawn")
    chosen.set_forkserver_preload(["firn.core.worker"])
    return chosen

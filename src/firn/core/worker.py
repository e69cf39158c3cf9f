"""The worker process: takes tasks from a pipe, runs them, and shows in shared memory which document it is at."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import re
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

from firn.core.errors import EngineError, FirnError
from firn.core.memory import MemoryBound
from firn.core.stage import Task, execute
from firn.core.store import Manifest, Store

# Slots of the shared board, int64 each.
ROW, BEATS, ROWS, BYTES, DOCUMENTS, BEGAN = range(6)
#: In the slot ROW: no document is being worked on.
NO_ROW = -1


@dataclass(frozen=True)
class Limits:
    """Backstops per document. seconds: processor time. memory: bytes beyond what the worker held when it came to it."""

    seconds: float
    memory: int


@dataclass(frozen=True)
class Failure:
    """Why a task did not end.

    reason: one line. details: the traceback. error: set where it is a FirnError, which is final. again: it may go
    better another time, and no document is to blame (OSError).
    """

    reason: str
    details: str = ""
    error: FirnError | None = None
    again: bool = False


class BoardWatch:
    """Shows the row at hand and the progress in shared memory, and bounds the row's processor time and memory."""

    def __init__(self, board: Any, limits: Limits):
        self.board, self.limits = board, limits
        self.quarantined: Mapping[int, str] = {}
        self._memory = MemoryBound(limits.memory)

    def enter(self, row: int) -> None:
        self.board[ROW] = row
        self.board[BEATS] += 1
        self._memory.set()
        # The default action of SIGPROF ends the process, whatever C code it is in.
        signal.setitimer(signal.ITIMER_PROF, self.limits.seconds)

    def leave(self) -> None:
        if self.board[ROW] != NO_ROW:
            self.unbind()
            self.board[ROW] = NO_ROW

    def unbind(self) -> None:
        """Lift the bounds; the board keeps the row, which the driver asks for where a task failed."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._memory.lift()

    def advance(self, rows: int, bytes: int, documents: int) -> None:
        self.board[ROWS] += rows
        self.board[BYTES] += bytes
        self.board[DOCUMENTS] = documents


def serve(tasks: Connection, lifeline: Connection, board: Any, root: str, limits: Limits) -> None:
    """Body of a worker process: until the pipe closes, receive (task, quarantined), send Manifest or Failure."""
    board[BEGAN] = 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_driver, args=(lifeline,), daemon=True).start()
    pa.set_cpu_count(1)
    store, watch = Store(root), BoardWatch(board, limits)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            tasks.send(_run(tasks.recv_bytes(), store, watch))


def _run(message: bytes, store: Store, watch: BoardWatch) -> Manifest | Failure:
    try:
        task: Task
        task, watch.quarantined = pickle.loads(message)
        return execute(task, store, watch)
    except FirnError as error:
        return Failure(str(error), error=error)
    except MemoryError:
        watch.unbind()
        return Failure(f"took more than {watch.limits.memory >> 20} MiB of memory", traceback.format_exc())
    except OSError as error:
        return Failure(_describe(error), traceback.format_exc(), again=True)
    except Exception as error:
        return Failure(_describe(error), traceback.format_exc())
    finally:
        watch.unbind()


def _describe(error: Exception) -> str:
    """One short line, the same on every machine, since it may enter a ledger."""
    text = re.sub(r"0x[0-9a-fA-F]+", "0x…", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text}"[:200]


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
        self.board: Any = RawArray("q", 6)
        self.process = context.Process(target=serve, args=(theirs, lifeline, self.board, root, limits), daemon=True)
        self.process.start()
        theirs.close()
        lifeline.close()

    def send(self, message: bytes) -> bool:
        """Start the task in `message` (a pickled task and its quarantined rows). False where the worker is gone."""
        self.board[ROW], self.board[BEATS] = NO_ROW, 0
        self.board[ROWS], self.board[BYTES], self.board[DOCUMENTS] = 0, 0, 0
        try:
            self.pipe.send_bytes(message)
        except OSError:
            return False
        return True

    def check_began(self) -> None:
        """Raise EngineError where the process, which has ended, never came to work: importing what began it failed."""
        self.process.join()
        if not self.board[BEGAN] and (self.process.exitcode or 0) >= 0:
            raise EngineError(
                f"a worker process ended before it began to work: exit {self.process.exitcode}",
                mend="worker processes import the script that starts them: in one of your own, put what calls firn "
                'below `if __name__ == "__main__":`; otherwise the lines above say what is wrong',
            )

    def kill(self) -> None:
        """End the process at once and wait for it."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self._lifeline.close()

    def death(self) -> str:
        """What ended the process, in words."""
        self.process.join()
        code = self.process.exitcode or 0
        if code == -signal.SIGPROF:
            return "took too much processor time"
        if code >= 0:
            return f"ended its worker: exit {code}"
        with contextlib.suppress(ValueError):
            return f"ended its worker by signal {signal.Signals(-code).name}"
        return f"ended its worker by signal {-code}"


def context() -> Any:
    """How processes are started: never by forking the driver, whose threads would be copied half."""
    chosen = multiprocessing.get_context("forkserver" if sys.platform.startswith("linux") else "spawn")
    chosen.set_forkserver_preload(["firn.core.worker"])
    return chosen

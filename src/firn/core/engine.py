"""The local engine: runs tasks in worker processes, with retries, and quarantines documents that kill their worker."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any

from firn.core import quarantine
from firn.core.errors import EngineError
from firn.core.progress import Progress
from firn.core.stage import Task
from firn.core.store import Manifest, Store
from firn.core.worker import BEATS, BYTES, NO_ROW, ROW, ROWS, Failure, Limits, Worker, context

# Wall-clock backstop, as a multiple of the processor-time limit: for documents that sleep or wait.
WALL_FACTOR = 10


@dataclass
class Job:
    """A task on its way: where it died before, and which of its rows are out."""

    index: int
    task: Task
    quarantined: dict[int, str]
    deaths: int = 0


@dataclass
class Running:
    """A job in a worker. beats, since: when the worker last went on to another document."""

    job: Job
    beats: int = 0
    since: float = field(default_factory=time.monotonic)


class LocalEngine:
    """Tasks on this machine.

    workers: processes (default: the number of processors). document_seconds, document_memory: what one document may
    take of processor time and memory before it is given up; the limits that decide verdicts are the stages' own.
    """

    def __init__(
        self,
        store: Store,
        workers: int | None = None,
        progress: Progress | None = None,
        document_seconds: float = 60.0,
        document_memory: int = 4 << 30,
    ):
        self.store, self.progress = store, progress or Progress("quiet")
        self.count = workers or os.cpu_count() or 1
        self._limits = Limits(document_seconds, document_memory)
        self._context = context()
        self._idle: list[Worker] = []
        self._busy: dict[Worker, Running] = {}

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every worker. Shards in the making are left to no manifest."""
        for worker in [*self._idle, *self._busy]:
            worker.kill()
        self._idle, self._busy = [], {}

    def run(self, tasks: Sequence[Task]) -> list[Manifest]:
        """Manifests in the order of `tasks`; those that the store holds are not made again.

        Raises the stage's own FirnError, or EngineError when a task fails for good.
        """
        if not tasks:
            return []
        started = time.monotonic()
        done: dict[str, Manifest] = {}
        todo: dict[str, Job] = {}
        for index, task in enumerate(tasks):
            if found := self.store.lookup(task.stage.name, task.fingerprint):
                done[task.fingerprint] = found
            elif task.fingerprint not in todo:
                todo[task.fingerprint] = Job(index, task, quarantine.load(self.store, task))
        name = tasks[0].stage.name
        cached = len(done)
        self.progress.begin(name, total=len(tasks), cached=cached, bytes=sum(j.task.bytes for j in todo.values()))
        try:
            self._drain(name, deque(todo.values()), done)
        except BaseException:
            self.close()
            self.progress.abandon(name)
            raise
        manifests = [done[task.fingerprint] for task in tasks]
        self.progress.end(name, manifests, cached, time.monotonic() - started)
        return manifests

    def _drain(self, name: str, together: deque[Job], done: dict[str, Manifest]) -> None:
        alone: deque[Job] = deque()
        rows = bytes = 0
        while together or alone or self._busy:
            while together and len(self._busy) < self.count:
                self._start(together.popleft())
            if not together and not self._busy and alone:
                self._start(alone.popleft())
            # A worker that dies closes its pipe, so that the pipes alone tell of every end.
            ready = wait([worker.pipe for worker in self._busy], timeout=0.2)
            for worker in [w for w in self._busy if w.pipe in ready or self._hangs(w)]:
                outcome, job = self._collect(worker)
                rows, bytes = rows + worker.board[ROWS], bytes + worker.board[BYTES]
                if isinstance(outcome, Manifest):
                    done[job.task.fingerprint] = outcome
                else:
                    alone.append(self._retry(job, outcome, worker.board[ROW]))
            self.progress.advance(
                name,
                done=len(done),
                rows=rows + sum(w.board[ROWS] for w in self._busy),
                bytes=bytes + sum(w.board[BYTES] for w in self._busy),
            )

    def _start(self, job: Job) -> None:
        worker = self._idle.pop() if self._idle else Worker(self._context, self.store.root, self._limits)
        worker.send(job.task, job.quarantined)
        self._busy[worker] = Running(job)

    def _hangs(self, worker: Worker) -> bool:
        running = self._busy[worker]
        if worker.board[BEATS] != running.beats:
            running.beats, running.since = worker.board[BEATS], time.monotonic()
        entered = worker.board[ROW] != NO_ROW
        return entered and time.monotonic() - running.since > WALL_FACTOR * self._limits.seconds

    def _collect(self, worker: Worker) -> tuple[Manifest | Failure, Job]:
        job = self._busy.pop(worker).job
        if not worker.pipe.poll():
            worker.kill()
            return Failure("did not come to an end", "", None), job
        try:
            outcome: Any = worker.pipe.recv()
        except (EOFError, OSError):
            reason = worker.death()
            worker.kill()
            return Failure(reason, "", None), job
        self._idle.append(worker)
        if isinstance(outcome, Failure) and outcome.error is not None:
            raise outcome.error
        return outcome, job

    def _retry(self, job: Job, failure: Failure, row: int) -> Job:
        """The job again, by itself. A document that fails when its shard runs alone is put into quarantine."""
        job.deaths += 1
        if job.deaths == 1:
            return job
        if row == NO_ROW or len(job.quarantined) >= quarantine.MOST_PER_SHARD:
            raise EngineError(
                f"the {job.task.stage.name} stage failed: {failure.reason}\n{failure.details}".rstrip(),
                where=job.task.label,
                mend="run the same command again; if it fails again, please report it with the lines above",
            )
        job.quarantined = quarantine.add(self.store, job.task, row, failure.reason)
        self.progress.note(f"{job.task.stage.name} {job.task.label}: input row {row} {failure.reason}; in quarantine")
        return job

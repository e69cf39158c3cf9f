"""The local engine: runs tasks in worker processes, with retries, and quarantines documents that kill their worker.

A shard that let its files go (`Store.release`) counts as done. Where a task that is to run reads one, it is made again
first, from the task of this engine that it came from.
"""

from __future__ import annotations

import os
import pickle
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self

from firn.core import quarantine
from firn.core.errors import EngineError
from firn.core.progress import Making, Progress
from firn.core.stage import Input, Task
from firn.core.store import Manifest, Store
from firn.core.worker import BEATS, BYTES, DOCUMENTS, NO_ROW, ROW, ROWS, Failure, Limits, Worker, context

# Wall-clock backstop, as a multiple of the processor-time limit: for documents that sleep or wait.
WALL_FACTOR = 10
# How often a task is tried again whose failure is no document's fault, and the pause before it, in seconds.
RETRIES, PAUSE = 2, 0.5


@dataclass
class Job:
    """A task on its way. deaths: how often it failed at each row (NO_ROW: at none). quarantined: rows it leaves out."""

    task: Task
    quarantined: dict[int, str]
    deaths: Counter[int] = field(default_factory=Counter)


@dataclass
class Running:
    """A job in a worker. beats, since: when the worker last went on to another document. started: when it got it."""

    job: Job
    beats: int = 0
    since: float = field(default_factory=time.monotonic)
    started: float = field(default_factory=time.monotonic)


class LocalEngine:
    """Tasks on this machine.

    workers: processes (default: the processors this process may use), started when there is something to do.
    document_seconds, document_bytes: backstops of processor time and memory for one document; the limits that decide
    verdicts are the stages' own, in bytes, nodes and depth. whole: of which stages (by name) shards that let files go
    are made again even where no task reads them; default none. Use it in `with`, or call `close`.
    """

    def __init__(
        self,
        store: Store,
        workers: int | None = None,
        progress: Progress | None = None,
        document_seconds: float = 60.0,
        document_bytes: int = 4 << 30,
        whole: Callable[[str], bool] = lambda stage: False,
    ):
        self.store, self.progress = store, progress or Progress("quiet")
        self.workers = workers or _processors()
        self._limits, self._whole = Limits(document_seconds, document_bytes), whole
        self._context = context()
        self._idle: list[Worker] = []
        self._busy: dict[Worker, Running] = {}
        # By fingerprint: every task so far; which of their shards let files go; those made again.
        self._tasks: dict[str, Task] = {}
        self._released: set[str] = set()
        self._remade: dict[str, Manifest] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every worker. What a shard in the making has written is named by no manifest."""
        for worker in [*self._idle, *self._busy]:
            worker.kill()
        self._idle, self._busy = [], {}

    def run(self, tasks: Sequence[Task]) -> list[Manifest]:
        """Manifests in the order of `tasks`, all of one stage; those that the store holds are not made again.

        Raises the stage's own FirnError, StoreError where the store cannot be written, EngineError where a task fails
        for good. What was finished before stays.
        """
        done = self.find(tasks)
        again = self.to_make_again(task for task in tasks if task.fingerprint not in done)
        for stage, group in groupby(again, key=lambda task: task.stage.name):
            remaking = list(group)
            shards = f"{len(remaking)} {'shard' if len(remaking) == 1 else 'shards'}"
            self.progress.note(f"{stage:<10}  {shards} to be made again: a later stage reads files that were let go")
            self._remade |= {manifest.fingerprint: manifest for manifest in self._run(remaking, {})}
        return self._run(tasks, done)

    def ready(self, step: Callable[[int, Callable[[str], None]], None]) -> None:
        """Do what lets tasks begin sooner and changes no shard. step: gets the number of workers, and whom to tell."""
        step(self.workers, self.progress.note)

    def find(self, tasks: Iterable[Task]) -> dict[str, Manifest]:
        """Fingerprint -> shard, of those tasks whose shards are there, or were and let their files go."""
        done = {}
        for task in tasks:
            stage, print = task.stage.name, task.fingerprint
            if print in done:
                continue
            self._tasks[print] = task
            if found := self.store.lookup(stage, print):
                done[print] = found
            elif not self._whole(stage) and (found := self.store.lookup(stage, print, released=True)):
                done[print] = found
                self._released.add(print)
        return done

    def to_make_again(self, tasks: Iterable[Task]) -> list[Task]:
        """The tasks whose shards must be made again before `tasks` can run, in an order in which they can be."""
        again: set[str] = set()
        waiting = list(tasks)
        while waiting:
            for input in waiting.pop().inputs:
                if not isinstance(input, Input) or (print := input.manifest.fingerprint) not in self._released:
                    continue
                if print in again or print in self._remade:
                    continue
                if not self.store.holds(input.manifest, *input.files):
                    again.add(print)
                    waiting.append(self._tasks[print])
        # What a task reads was found before it.
        return [task for print, task in self._tasks.items() if print in again]

    def _run(self, tasks: Sequence[Task], done: dict[str, Manifest]) -> list[Manifest]:
        """Make what is not `done`, and tell of it."""
        if not tasks:
            return []
        started = time.monotonic()
        missing = {task.fingerprint: task for task in tasks if task.fingerprint not in done}
        stage, cached = tasks[0].stage.name, sum(task.fingerprint in done for task in tasks)
        todo = [self._with_inputs(task) for task in missing.values()]
        to_read = {"rows": sum(task.rows for task in todo), "bytes": sum(task.bytes for task in todo)}
        self.progress.begin(stage, label=_common(tasks), total=len(tasks), cached=cached, **to_read)
        self.progress.there([done[task.fingerprint] for task in tasks if task.fingerprint in done])
        try:
            self._make(stage, todo, done, len(tasks))
        except BaseException as error:
            self.close()
            self.progress.abandon(stage, interrupted=isinstance(error, KeyboardInterrupt))
            raise
        manifests = [done[task.fingerprint] for task in tasks]
        self.progress.end(stage, manifests, cached, time.monotonic() - started)
        return manifests

    def _with_inputs(self, task: Task) -> Task:
        """The task, with the files of shards that were made again in place of those they had before.

        Raises EngineError where their content is another, which a pure function's is not.
        """
        if not self._remade:
            return task
        inputs = []
        for input in task.inputs:
            if isinstance(input, Input) and (made := self._remade.get(input.manifest.fingerprint)) is not None:
                if made.identity(*input.files) != input.identity:
                    raise EngineError(
                        "made again, the shard is not what it was",
                        where=f"{made.stage} {made.label}",
                        mend="run the same command again, which goes on with the shard as it is now",
                    )
                input = replace(input, manifest=made)
            inputs.append(input)
        return replace(task, inputs=tuple(inputs))

    def _make(self, stage: str, todo: list[Task], done: dict[str, Manifest], total: int) -> None:
        """Run the tasks into `done`."""
        # The largest first, so that no worker is left with one at the end.
        together = deque(
            Job(task, quarantine.load(self.store, task)) for task in sorted(todo, key=lambda t: t.bytes, reverse=True)
        )
        alone: deque[Job] = deque()
        rows = bytes = 0
        while together or alone or self._busy:
            while together and len(self._busy) < self.workers:
                self._start(together.popleft())
            if alone and not together and not self._busy:
                self._start(alone.popleft())
            # A worker that dies closes its pipe, so that the pipes alone tell of every end.
            ready = wait([worker.pipe for worker in self._busy], timeout=0.2)
            for worker in [w for w in self._busy if w.pipe in ready or self._hangs(w)]:
                job, row = self._busy[worker].job, worker.board[ROW]
                rows, bytes = rows + worker.board[ROWS], bytes + worker.board[BYTES]
                outcome = self._collect(worker)
                if isinstance(outcome, Manifest):
                    done[job.task.fingerprint] = outcome
                    self.progress.shard(outcome)
                else:
                    self._failed(job, outcome, row)
                    alone.append(job)
            self.progress.advance(
                stage,
                done=total - len(together) - len(alone) - len(self._busy),
                rows=rows + sum(w.board[ROWS] for w in self._busy),
                bytes=bytes + sum(w.board[BYTES] for w in self._busy),
            )
            now = time.monotonic()
            self.progress.making(
                [
                    Making(r.job.task.label, w.board[ROWS], w.board[DOCUMENTS], w.board[BYTES], now - r.started)
                    for w, r in self._busy.items()
                ]
            )

    def _start(self, job: Job) -> None:
        message = pickle.dumps((job.task, job.quarantined))
        sent = False
        while not sent:
            worker = self._idle.pop() if self._idle else Worker(self._context, self.store.root, self._limits)
            self._busy[worker] = Running(job)
            sent = worker.send(message)
            if not sent:  # it died while it had nothing to do
                del self._busy[worker]
                worker.check_began()
                worker.kill()

    def _hangs(self, worker: Worker) -> bool:
        running = self._busy[worker]
        if worker.board[BEATS] != running.beats:
            running.beats, running.since = worker.board[BEATS], time.monotonic()
        entered = worker.board[ROW] != NO_ROW
        return entered and time.monotonic() - running.since > WALL_FACTOR * self._limits.seconds

    def _collect(self, worker: Worker) -> Manifest | Failure:
        """What came of the worker's task. Raises the FirnError that ended it."""
        if not worker.pipe.poll():
            del self._busy[worker]
            worker.kill()
            return Failure("did not come to an end")
        try:
            outcome: Any = worker.pipe.recv()
        except (EOFError, OSError):
            del self._busy[worker]
            worker.check_began()
            reason = worker.death()
            worker.kill()
            return Failure(reason)
        del self._busy[worker]
        self._idle.append(worker)
        if isinstance(outcome, Failure) and outcome.error is not None:
            raise outcome.error
        assert isinstance(outcome, Manifest | Failure)
        return outcome

    def _failed(self, job: Job, failure: Failure, row: int) -> None:
        """Make the job ready to be run again, by itself; a row that it fails at once more goes into quarantine.

        Raises EngineError where trying again has no point.
        """
        if failure.again:
            row = NO_ROW
        job.deaths[row] += 1
        if row == NO_ROW:
            # An exception that belongs to no document would come again; a death or an OSError may not.
            if (failure.details and not failure.again) or job.deaths[row] > RETRIES:
                raise _given_up(job.task, failure)
            time.sleep(PAUSE * job.deaths[row])
        elif job.deaths[row] > 1:
            if len(job.quarantined) >= quarantine.MOST_PER_SHARD:
                quarantine.forget(self.store, job.task)
                raise _given_up(job.task, failure)
            job.quarantined = quarantine.add(self.store, job.task, row, failure.reason)
            self.progress.note(
                f"{job.task.stage.name} {job.task.label}: input row {row} {failure.reason}; it counts as failed"
            )


def _given_up(task: Task, failure: Failure) -> EngineError:
    where = f"{task.stage.name} {task.label}"
    if failure.again:  # an OSError: of a disk or a server, which it names
        mend = "check the disk, the server and the connection, and run the same command again; what is finished stays"
        return EngineError(f"the stage failed: {failure.reason}", where=where, mend=mend)
    return EngineError(
        f"the stage failed: {failure.reason}\n{failure.details}".rstrip(),
        where=where,
        mend="run the same command again; if it fails again, please report it with the lines above",
    )


def _common(tasks: Sequence[Task]) -> str:
    """What stands before the slash in the labels of all tasks: the name of their source."""
    sources = {task.label.partition("/")[0] if "/" in task.label else "" for task in tasks}
    return sources.pop() if len(sources) == 1 else ""


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

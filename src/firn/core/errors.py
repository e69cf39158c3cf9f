"""The one family of errors that a user meets: each names the place, the key and the mend."""

from __future__ import annotations


class FirnError(Exception):
    """A problem that a user can understand and mend.

    problem: what is wrong, one sentence without a full stop.
    where: the file, URL, shard or document it is about.
    key: the recipe key, column, signal or option it is about.
    mend: what to do about it.
    """

    exit_code = 1

    def __init__(self, problem: str, *, where: str | None = None, key: str | None = None, mend: str | None = None):
        super().__init__(problem)
        self.problem, self.where, self.key, self.mend = problem, where, key, mend

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.where, self.key) if part)
        text = f"{place}: {self.problem}" if place else self.problem
        return f"{text}\n  mend: {self.mend}" if self.mend else text

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword arguments do not pickle by themselves; ours cross process borders.
        return (_rebuild, (type(self), self.problem, self.where, self.key, self.mend))


def _rebuild(kind: type[FirnError], problem: str, where: str | None, key: str | None, mend: str | None) -> FirnError:
    return kind(problem, where=where, key=key, mend=mend)


class RecipeError(FirnError):
    """The recipe or an option is wrong: unknown key, value out of range, unknown signal or preset."""

    exit_code = 2


class InputError(FirnError):
    """An input that the recipe names is missing or unreadable as a whole."""


class FormatError(FirnError):
    """One of our own files has another format version, lacks a column, or its hash is not the manifest's."""


class StoreError(FirnError):
    """The store cannot be written or read: disk full, no permission."""


class EngineError(FirnError):
    """A task failed for good, after its retries."""


class ConservationError(FirnError):
    """A stage lost or invented documents: in != kept + changed + split + merged + removed + failed."""


class ResumeError(FirnError):
    """A checkpoint does not belong to this recipe, corpus or plan."""

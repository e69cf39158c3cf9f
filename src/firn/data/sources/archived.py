"""Documents of several files in an archive, whose files may lie anywhere in it, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from firn.core.stage import Work
from firn.data.markup import archive
from firn.data.markup.work import MarkupError

U = TypeVar("U")


def members(
    work: Work, name: str, max_bytes: int, wanted: Callable[[str], bool]
) -> Iterator[archive.Member | archive.Unread]:
    """The files of the archive that is the task's only input, from the first on. Raises MarkupError."""
    with open(work.local(), "rb") if name.lower().endswith(".zip") else work.stream() as stream:
        yield from archive.members(stream, name, max_bytes, wanted)


class Kept:
    """Files of an archive that are parts of documents. limit: bytes of all that are held.

    What fits is held, and given out when the archive has been read. Where it does not fit, only the names are held; the
    archive is read once more, and each document is given out as its last file comes.
    """

    def __init__(self, limit: int):
        self._limit, self._size = limit, 0
        self._names: set[str] = set()
        self._data: dict[str, bytes] = {}

    def add(self, member: archive.Member) -> None:
        """One of the files."""
        self._names.add(member.name)
        self._size += len(member.data)
        if self._size <= self._limit:
            self._data[member.name] = member.data
        else:
            self._data.clear()

    def documents(
        self,
        divide: Callable[[set[str]], Iterable[tuple[U, list[str]]]],
        again: Callable[[Callable[[str], bool]], Iterable[archive.Member | archive.Unread]],
        most: int,
    ) -> Iterator[tuple[U, Mapping[str, bytes] | None]]:
        """Each document and the data of its files; None where they are more than `most` bytes.

        divide: the documents that names make, with the files of each. again: the archive's files once more, of the
        names that are wanted.
        """
        documents = list(divide(self._names))
        if self._size <= self._limit:
            for document, files in documents:
                yield document, {name: self._data[name] for name in files}
        else:
            yield from _as_they_come(documents, again(self._names.__contains__), most)


def _as_they_come(
    documents: list[tuple[U, list[str]]], members: Iterable[archive.Member | archive.Unread], most: int
) -> Iterator[tuple[U, Mapping[str, bytes] | None]]:
    parts: dict[str, list[int]] = {}  # file -> the documents that it is of, which may be several
    for number, (_, files) in enumerate(documents):
        for name in files:
            parts.setdefault(name, []).append(number)
    missing = {number: set(files) for number, (_, files) in enumerate(documents)}
    held: dict[int, dict[str, bytes]] = {}
    sizes: dict[int, int] = {}
    try:
        for member in members:
            if isinstance(member, archive.Unread):
                continue
            for number in parts.get(member.name, ()):
                if number not in missing or member.name not in missing[number]:
                    continue  # a second file of one name
                missing[number].discard(member.name)
                sizes[number] = sizes.get(number, 0) + len(member.data)
                held.setdefault(number, {})[member.name] = member.data
                if sizes[number] > most or sum(sizes[other] for other in held) > 4 * most:
                    del held[number], missing[number]
                    yield documents[number][0], None
                elif not missing[number]:
                    del missing[number]
                    yield documents[number][0], held.pop(number)
    except MarkupError:
        pass  # the archive breaks off, as it did the first time; what is there is read
    for number in missing:
        yield documents[number][0], held.pop(number, {})

"""Documents of several files, as papers and books are: loose, or anywhere in an archive, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from firn.core.inputs import External
from firn.core.stage import Work
from firn.data.markup import archive
from firn.data.markup.work import MarkupError
from firn.data.raw import Rows
from firn.data.sources.listing import Found, Rule, bundles

U = TypeVar("U")


def shards(
    documents: Mapping[str, tuple[str, Sequence[str]]], found: Mapping[str, Found], one: int, several: int
) -> Iterator[tuple[str, list[list[Any]], tuple[External, ...]]]:
    """Loose documents, put together by the hashes of their names: the name of each shard, its documents, their files.

    documents: kind and files of each, by name. found: the files by name. one, several: most bytes of a document that is
    one file, and of one that is several. A document is [name, kind, files, rule].
    """
    sizes = [Found("", "", name, sum(found[file].bytes for file in files)) for name, (_, files) in documents.items()]
    for bits, bundle in bundles(sizes):
        rows: list[list[Any]] = []
        inputs: list[External] = []
        for document in bundle:
            kind, names = documents[document.name]
            files = [found[name] for name in names]
            limit = several if len(files) > 1 else one
            rule: Rule | None = ("too_large", document.bytes, limit) if document.bytes > limit else None
            if len(files) == 1 and files[0].link:
                rule = ("link",)
            rows.append([document.name, kind, [] if rule else list(names), list(rule) if rule else None])
            inputs += [file.external() for file in files] if rule is None else []
        yield bits, rows, tuple(inputs)


def loose(work: Work, rows: Rows, documents: Iterable[list[Any]]) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    """Name, kind and data of each document that `shards` put together; its row is entered, and ended by the caller."""
    inputs = iter(range(len(work.inputs)))
    for name, kind, files, rule in documents:
        indices = [next(inputs) for _ in files]
        if not rows.enter(name):
            continue
        if rule:
            rows.remove(*rule)
        else:
            yield name, kind, {file: work.local(i).read_bytes() for file, i in zip(files, indices, strict=True)}
        rows.leave()
        work.advance(bytes=sum(work.inputs[index].bytes for index in indices))


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

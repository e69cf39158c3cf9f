"""Archives from outside: whatever bytes one holds, its files come, or errors that say why they do not."""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
import tarfile
import zipfile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firn.data.markup import archive, epub
from firn.data.markup.archive import Member, Unread
from firn.data.markup.work import MarkupError

TEXT = b"".join(b"x = %d\n" % number for number in range(300))
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
NAMES = ("p/a.py", "p/é.py", "p/b.py")
CONTAINER = '<container><rootfiles><rootfile full-path="p.opf"/></rootfiles></container>'
PACKAGE = '<package><item id="a" href="a.xhtml"/><itemref idref="a"/></package>'


def zipped(method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as target:
        for name in NAMES:
            target.writestr(name, TEXT)
    return out.getvalue()


def book() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("META-INF/container.xml", CONTAINER)
        target.writestr("p.opf", PACKAGE)
        target.writestr("a.xhtml", "<html><body><p>text</p></body></html>")
    return out.getvalue()


def tarred(format: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as target:
        for name in ("p/a.py", "p/" + "é" * 60 + ".py", "p/b.py"):
            info = tarfile.TarInfo(name[:20] if format == tarfile.USTAR_FORMAT else name)
            info.size = len(TEXT)
            target.addfile(info, io.BytesIO(TEXT))
    return out.getvalue()


ZIPS = [zipped(method) for method in METHODS]
TARS = [tarred(format) for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]


def read(data: bytes, name: str = "a.zip", limit: int = 1 << 20) -> list[Member | Unread]:
    return list(archive.members(io.BytesIO(data), name, limit))


def told(data: bytes) -> dict[str, str]:
    """Of each file whether its text came, or else the error."""
    return {
        each.name: (each.error or str(each.rule)) if isinstance(each, Unread) else "read" if each.data == TEXT else "?"
        for each in read(data)
    }


def changed(data: bytes, at: int, by: bytes) -> bytes:
    return data[:at] + by + data[at + len(by) :]


#: Where bytes are changed, and to what; a negative place counts from the end, where a zip's directory is.
EDITS = st.lists(
    st.tuples(
        st.integers(-400, 4000),
        st.one_of(
            st.binary(min_size=1, max_size=4), st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"PK"])
        ),
    ),
    min_size=1,
    max_size=6,
)


def edited(data: bytes, edits: list[tuple[int, bytes]], cut: int) -> bytes:
    for at, by in edits:
        data = changed(data, at % len(data), by)
    return data[: len(data) - cut]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([("a.zip", data) for data in ZIPS] + [("a.tar", data) for data in TARS]), EDITS, st.integers(0, 9)
)
def test_damaged_archives_give_files_or_errors(
    kind: tuple[str, bytes], edits: list[tuple[int, bytes]], cut: int
) -> None:
    name, data = kind
    try:
        found = read(edited(data, edits, cut), name, 4000)
    except MarkupError:
        return
    for each in found:
        assert each.name.encode("utf-8")
        assert len(each.data) <= 4000 if isinstance(each, Member) else each.rule or each.error


@settings(max_examples=200, deadline=None)
@given(EDITS, st.integers(0, 9))
@example([(0, b"PK")], 0)
def test_damaged_books_are_read_or_refused(edits: list[tuple[int, bytes]], cut: int) -> None:
    with contextlib.suppress(MarkupError):
        epub.read(edited(book(), edits, cut))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for name in ("a.zip", "a.tar", "a.tar.gz", "a.tar.xz"):
        with contextlib.suppress(MarkupError):
            read(data, name)


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_damaged_member_is_an_error_and_reading_goes_on(method: int) -> None:
    data = zipped(method)
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        at = whole.getinfo(NAMES[1]).header_offset + 30 + len(NAMES[1].encode()) + 20
    found = told(changed(data, at, b"\xa5" * 60))
    assert found.pop("p/é.py").startswith("cannot be unpacked: ")
    assert found == {"p/a.py": "read", "p/b.py": "read"}


def test_what_a_directory_says_wrongly_is_an_error_of_that_file() -> None:
    data = zipped(zipfile.ZIP_DEFLATED)
    entries = [at for at in range(len(data)) if data.startswith(b"PK\x01\x02", at)]
    header = data.index(b"PK\x03\x04", 1)

    def others(data: bytes, broken: str) -> dict[str, str]:
        found = told(data)
        assert found.pop(broken) not in ("read", "?")
        return found

    rest = {"p/é.py": "read", "p/b.py": "read"}
    assert others(changed(data, entries[0] + 10, struct.pack("<H", 99)), "p/a.py") == rest, "an unknown method"
    assert others(changed(data, entries[0] + 8, struct.pack("<H", 1)), "p/a.py") == rest, "encrypted"
    assert others(changed(data, entries[0] + 42, b"\xff\xff\xff\x7f"), "p/a.py") == rest, "it lies beyond the end"
    no_utf8 = changed(data, header + 30, b"\xff\xfe")
    assert others(no_utf8, "p/é.py") == {"p/a.py": "read", "p/b.py": "read"}, "a name that is none"
    with pytest.raises(MarkupError, match="not a zip archive: zip file version"):
        read(changed(data, entries[0] + 6, struct.pack("<H", 199)))


def test_a_file_without_a_name_stops_nothing() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.writestr(zipfile.ZipInfo("a"), TEXT)
        target.writestr(zipfile.ZipInfo("b"), TEXT)
    data = out.getvalue()
    entry = data.index(b"PK\x01\x02")
    # The length of the name becomes 0, and the name's byte the first of a comment of 1.
    data = changed(changed(data, entry + 28, b"\0\0"), entry + 32, b"\1\0")
    assert [each.name for each in read(data)] == [".", "b"]


def test_a_member_larger_than_it_says_is_an_error() -> None:
    data = zipped(zipfile.ZIP_BZIP2)
    found = told(changed(data, data.index(b"PK\x01\x02") + 24, struct.pack("<I", 1000)))
    assert found.pop("p/a.py").startswith("cannot be unpacked: Bad CRC")
    assert found == {"p/é.py": "read", "p/b.py": "read"}


def test_members_that_fail_count_as_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of entries of one member with a wrong checksum each would unpack it thousands of times."""
    monkeypatch.setattr(archive.compressed, "FREE", 1 << 20)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("a.py", bytes(1 << 20))
        target.writestr("b.py", b"")
    data = out.getvalue()
    entry, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    one = changed(data[entry : data.index(b"PK\x01\x02", entry + 4)], 16, b"\0\0\0\0")
    many = one * 2000
    tail = data[end : end + 8] + struct.pack("<HHIIH", 2000, 2000, len(many), entry, 0)
    entries = archive.members(io.BytesIO(data[:entry] + many + tail), "a.zip", 1 << 20)
    assert all(isinstance(each, Unread) for each in itertools.islice(entries, 1))
    with pytest.raises(MarkupError, match="unpacks to more than 200 times its size"):
        list(entries)

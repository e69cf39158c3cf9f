from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data.charset import codec, declared_in, decode

RUSSIAN = "Комитет снова соберётся в четверг, чтобы обсудить бюджет на следующий год. " * 4
JAPANESE = "委員会は来年の予算を議論するために木曜日に再び会合を開きます。" * 4
GERMAN = "Der Ausschuss für Haushaltsfragen tritt am Donnerstag erneut zusammen; größere Änderungen. " * 4


@given(st.binary(max_size=300), st.sampled_from([None, "utf-8", "koi8-r", "zlib", "nonsense", "iso-2022-jp", ""]))
def test_never_fails(data: bytes, label: str | None) -> None:
    found = decode(data, label)
    assert found.replaced == found.text.count("\ufffd")


@pytest.mark.parametrize("label", ["utf-8", "windows-1251", "koi8-r", "iso-8859-5", "utf-16", "cp866"])
def test_declared_by_the_server(label: str) -> None:
    found = decode(RUSSIAN.encode(label), label)
    assert (found.text, found.replaced) == (RUSSIAN, 0)


@pytest.mark.parametrize("label", ["shift_jis", "euc-jp", "iso-2022-jp", "utf-8"])
@pytest.mark.parametrize(
    "meta", ['<meta charset="{}">', '<meta http-equiv=Content-Type content="text/html; charset={}">']
)
def test_declared_by_the_page(label: str, meta: str) -> None:
    page = (f"<html><head>{meta.format(label)}</head>" + JAPANESE).encode(label)
    found = decode(page)
    assert JAPANESE in found.text
    assert found.told_by == ("utf-8" if label == "utf-8" else "page")


@pytest.mark.parametrize("label", ["windows-1251", "koi8-r"])
def test_told_by_the_bytes(label: str) -> None:
    found = decode(RUSSIAN.encode(label))
    assert (found.text, found.told_by) == (RUSSIAN, "bytes")


@pytest.mark.parametrize("wrong", ["iso-8859-1", "windows-1251", "shift_jis", "ascii", "us-ascii", "nonsense"])
def test_wrong_label_on_utf8(wrong: str) -> None:
    assert decode(GERMAN.encode(), wrong).text == GERMAN


def test_utf8_claimed_for_another_set() -> None:
    found = decode(RUSSIAN.encode("windows-1251"), "utf-8")
    assert found.text == RUSSIAN
    page = b'<meta charset="windows-1251">' + RUSSIAN.encode("windows-1251")
    assert decode(page, "utf-8").told_by == "page"  # the header is wrong, the page is right


def test_a_few_broken_bytes_do_not_turn_utf8_into_mojibake() -> None:
    found = decode(GERMAN.encode() * 10 + b"\xff\xc3(", "utf-8")
    assert GERMAN in found.text
    assert 0 < found.replaced < 4


def test_byte_order_mark_beats_the_header() -> None:
    for label in ("utf-8-sig", "utf-16", "utf-32"):
        assert decode(GERMAN.encode(label), "koi8-r").text == GERMAN


def test_utf16_without_mark() -> None:
    assert decode(GERMAN.encode("utf-16-le")).text == GERMAN
    assert decode(GERMAN.encode("utf-16-be")).text == GERMAN


def test_labels_mean_what_browsers_take_them_for() -> None:
    assert decode(b"\x93quoted\x94", "ISO-8859-1").text == "“quoted”"
    assert codec(" UTF8\n") == "utf-8"
    assert codec("gb2312") == "gb18030"
    assert codec("x-sjis") == "cp932"
    # Names that Python takes for codecs, and that no page may reach.
    for name in (
        "zlib",
        "hex",
        "rot13",
        "unicode_escape",
        "idna",
        "punycode",
        "utf-7",
        "mbcs",
        "\0",
        "é",
        "a" * 10_000,
    ):
        assert codec(name) is None


def test_meta_is_found_in_many_spellings() -> None:
    assert declared_in(b"<META CHARSET = koi8-r >") == "koi8-r"
    assert declared_in(b'<?xml version="1.0" encoding="windows-1252"?><html>') == "cp1252"
    assert declared_in(b"<meta charset=utf-16>") == "utf-8"  # HTML Standard: it was readable, so it is not
    assert declared_in(b"<p>charset=koi8-r</p>") is None
    assert declared_in(b" " * 5000 + b"<meta charset=koi8-r>") is None


def test_real_files_of_fifty_encodings(shared_data: Callable[[str], Path]) -> None:
    right = wrong = 0
    with tarfile.open(shared_data("extra/chardet-tests.tar.xz")) as archive:
        for member in archive:
            folder = Path(member.name).parent.name.lower()
            label = "-".join(folder.split("-")[:3] if folder.startswith("iso") else folder.split("-")[:2])
            name = codec(label)
            file = archive.extractfile(member)
            if name is None or file is None:
                continue
            data = file.read()
            try:
                text = data.decode(name).lstrip("\ufeff")
            except UnicodeDecodeError:
                continue
            assert decode(data, label).text == text or folder.startswith("utf-16"), member.name
            if decode(data).text == text:
                right += 1
            else:
                wrong += 1
    assert right + wrong > 300
    assert wrong / (right + wrong) < 0.03

"""The source `files`: CSV whose quotes or bytes are not as they should be is failed rows, never other texts."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from firn.core.store import Store
from firn.data import read, tables
from firn.data.extract import ExtractSettings
from firn.data.sources import FilesSource

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline
from shards import read as table


def run(tmp_path: Path, content: bytes) -> tuple[list[str], list[str]]:
    """Texts of the documents, and the errors of the failed rows."""
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    engine = Inline(Store(tmp_path / "store"))
    source = FilesSource(paths=(str(path),))
    (manifest,) = engine.run(read.tasks("mine", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    ledger = table(engine.store, manifest, "ledger").to_pylist()
    texts = table(engine.store, manifest).column("text").to_pylist()
    return texts, [f"{row['address']}: {row['error']}" for row in ledger if row["verdict"] == "failed"]


def test_a_quote_that_is_not_closed_is_a_failed_row(tmp_path: Path) -> None:
    texts, failed = run(tmp_path, b'text,url\n"a ""b"", c\nd",1\nplain,2\n"open,3\nnext,4\n')
    assert texts == ['a "b", c\nd', "plain"]
    assert failed == ["a.csv#row=3: row 3: a quote that is not closed; 2 lines are lost with it"]


def test_text_behind_a_closing_quote(tmp_path: Path) -> None:
    texts, failed = run(tmp_path, b'text,url\n"a" b,1\nafter,2\n"open,3\nlost,4\n"closed",5\nlast,6\n')
    assert texts == ["after", "last"]
    assert failed == [
        "a.csv#row=1: row 1: text behind a closing quote",
        "a.csv#row=3: row 3: text behind a closing quote; 3 lines are lost with it",
    ]


def test_what_may_be_the_rest_of_a_broken_record_is_no_document(tmp_path: Path) -> None:
    texts, failed = run(tmp_path, b'text,url\n"a" b "c\nd\ne",1\n\nf,2\ng\n')
    assert texts == ["f", "g"]
    assert [error.split(": ", 2)[-1] for error in failed] == [
        "text behind a closing quote",
        "behind a record whose end is not known, and perhaps a part of it",
        "behind a record whose end is not known, and perhaps a part of it",
    ]


def test_quotes_behind_backslashes_end_the_file(tmp_path: Path) -> None:
    for cell in (b'"a \\"b\\" c"', b'"\\"b\\" c"', b'"two\nlines \\"b\\" c"'):
        texts, failed = run(tmp_path, b"text,url\nfirst,0\n" + cell + b",1\nnext,2\n")
        assert texts == ["first"]
        (error,) = failed
        assert error.endswith("cannot be read on: quotes escaped by backslashes, not doubled, at row 2")
    # A cell that ends in a backslash is none of these.
    assert run(tmp_path, b'text,url\n"C:\\dir\\",1\n') == (["C:\\dir\\"], [])


def test_a_broken_header_is_told(tmp_path: Path) -> None:
    texts, failed = run(tmp_path, b'text,"url\na,1\n')
    assert not texts
    assert "its first record, which names the columns: a quote that is not closed" in failed[0]


@pytest.mark.parametrize(
    ("head", "late", "good"),
    [
        ("plain", "café".encode("latin-1"), b"plain too"),
        ("plain", "café".encode("latin-1"), "snow ❄ and \ufffd".encode()),
        ("é", b"cut \xe2\x9d", "snow ❄".encode()),
        ("日本語のテキスト", "日本".encode("cp932") + b"\x81\xff", "日本".encode("cp932")),
        ("wide", b"\x00\xd8", "wide".encode("utf-16-le")),
    ],
)
def test_bytes_of_another_character_set_behind_the_head(head: str, late: bytes, good: bytes, tmp_path: Path) -> None:
    charset = {"日": "cp932", "w": "utf-16"}.get(head[0], "utf-8")
    wide = "utf-16-le" if charset == "utf-16" else charset
    rows = f"text,url\n{'x,1' + chr(10)}" + f"{head * 40},1\n" * 2000
    end = ",2\n".encode(wide)
    texts, failed = run(tmp_path, rows.encode(charset) + late + end + good + end)
    assert texts[-1] == good.decode(wide)
    assert len(texts) == 2002
    assert len(failed) == 1
    assert failed[0].startswith("a.csv#row=2002: row 2002: not in the character set of the file's beginning, ")


@given(st.lists(st.lists(st.text(alphabet='ab",\n\r \\é❄\ufffd', max_size=9), min_size=2, max_size=2), max_size=9))
def test_what_follows_the_rules_is_read_as_it_was(cells: list[list[str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([["text", "url"], *cells])
    found = list(tables.rows(io.BytesIO(buffer.getvalue().encode()), "csv", lambda names: names, 1 << 20, None))
    assert found == [{"text": text, "url": url} for text, url in cells]


@pytest.mark.parametrize("sign", ["\n", "\r", '"', "", ";;"])
def test_a_delimiter_is_one_sign_that_divides(sign: str) -> None:
    wrong: dict[str, Any] = {"delimiter": sign}
    with pytest.raises(ValidationError):
        FilesSource(paths=("a.csv",), **wrong)
    assert FilesSource(paths=("a.csv",), delimiter="\x01").delimiter == "\x01"

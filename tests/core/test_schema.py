"""Every stage checks what it reads: version, columns and types, with the mend named."""

from __future__ import annotations

import pyarrow as pa
import pytest

from firn.core.errors import FormatError
from firn.core.schema import DOCUMENT, check


def test_the_schema_passes_its_own_check() -> None:
    check(DOCUMENT, DOCUMENT, "a.parquet")
    check(DOCUMENT.append(pa.field("more", pa.int64())), DOCUMENT, "a.parquet")


@pytest.mark.parametrize("name", DOCUMENT.names)
def test_a_missing_column_is_named(name: str) -> None:
    broken = DOCUMENT.remove(DOCUMENT.get_field_index(name))
    with pytest.raises(FormatError, match=f"a.parquet: {name}: the column is missing"):
        check(broken, DOCUMENT, "a.parquet")


def test_another_type_is_named() -> None:
    index = DOCUMENT.get_field_index("copies")
    with pytest.raises(FormatError, match="copies: the column has type string, expected int32"):
        check(DOCUMENT.set(index, pa.field("copies", pa.string())), DOCUMENT, "a.parquet")


@pytest.mark.parametrize("metadata", [None, {"format": "firn.document", "format_version": "999"}])
def test_another_version_is_refused(metadata: dict[str, str] | None) -> None:
    with pytest.raises(FormatError, match="this firn reads"):
        check(DOCUMENT.with_metadata(metadata), DOCUMENT, "a.parquet")

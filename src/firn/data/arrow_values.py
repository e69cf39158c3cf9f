"""Values of Arrow in Python, also those that Python's own types cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa


def values(column: pa.Array) -> list[Any]:
    """As `to_pylist` has them; nanoseconds are cut off, and times with a zone are in UTC, whatever zones are known.

    A time beyond the years 1 to 9999, or a duration too long, is a string: its number and type.
    """
    if (kind := _held(column.type)) != column.type:
        column = column.cast(kind, safe=False)
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        return [_value(scalar) for scalar in column]


def _held(kind: pa.DataType) -> pa.DataType:
    """The type nearest to this one whose values Python's types have, but for their range."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp(_unit(kind), "+00:00" if kind.tz else None)  # which no database of zones is asked for
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_duration(kind):
        return pa.duration(_unit(kind))
    if pa.types.is_dictionary(kind):
        inside = _held(kind.value_type)
        return kind if inside == kind.value_type else inside
    if pa.types.is_struct(kind):
        return pa.struct([_field(field) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_field(kind.key_field), _field(kind.item_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_field(kind.value_field), kind.list_size)
    lists: dict[Callable[[pa.DataType], bool], Callable[[pa.Field], pa.DataType]] = {
        pa.types.is_list: pa.list_,
        pa.types.is_large_list: pa.large_list,
    }
    return next((make(_field(kind.value_field)) for test, make in lists.items() if test(kind)), kind)


def _unit(kind: pa.DataType) -> str:
    return "us" if kind.unit == "ns" else str(kind.unit)


def _field(field: pa.Field) -> pa.Field:
    return field.with_type(_held(field.type))


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        if isinstance(scalar, pa.StructScalar):
            return {name: _value(scalar[place]) for place, name in enumerate(scalar)}
        if isinstance(scalar, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar | pa.MapScalar):
            return [_value(each) for each in scalar.values]
        return f"{scalar.value} {scalar.type}"

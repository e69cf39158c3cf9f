"""What its owner says of a text's use: opt-outs from mining that a page declares, and licences that a recipe wants.

A page opts out by `tdm-reservation: 1` (W3C Community Group Final Report, TDM Reservation Protocol, 2024) or by the
directive `noai` for robots, in its HTTP header or in its HTML. `noimageai` speaks of pictures alone. Sources that see
headers or HTML keep what they find in `meta` as `opt_out`; the stage filter decides, by the rules `rights.opt_out`,
`rights.license` (a licence that is not wanted) and `rights.no_license` (none is known). What a site says in its
robots.txt is firn.data.robots' to find.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal

import pyarrow as pa
from pydantic import Field, model_validator

from firn.core.settings import Settings
from firn.data.spdx import holds

Choice = Literal["keep", "remove"]


def header_opt_outs(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The HTTP headers by which a page opts out, as `http:NAME`. headers: names in lower case."""
    return tuple(f"http:{key}" for key in ("tdm-reservation", "x-robots-tag") if opts_out(key, headers.get(key, "")))


def opts_out(name: str, value: str) -> bool:
    """Whether this header or meta element says no. name: in lower case; value: directives, joined by commas."""
    if name not in ("tdm-reservation", "x-robots-tag", "robots"):
        return False
    # `otherbot: noai` speaks to one robot, but of what the owner wants.
    directives = {part.rpartition(":")[2].strip().lower() for part in value.split(",")}
    return ("1" if name == "tdm-reservation" else "noai") in directives


class Licenses(Settings):
    """Which licences stay. Names are SPDX's, in any case, with `*` for any characters: `CC-BY-4.0`, `CC-BY-*`.

    Of a text under `A OR B` one must stay, under `A AND B` both; `AND` binds tighter, parentheses tightest.
    """

    allow: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Only these stay."""
    deny: tuple[str, ...] | None = Field(default=None, min_length=1)
    """All but these stay."""
    unknown: Choice
    """What happens to a document of which no licence is known."""

    @model_validator(mode="after")
    def _one_list(self) -> Licenses:
        if (self.allow is None) == (self.deny is None):
            raise ValueError("exactly one of allow and deny is needed")
        return self

    def accepts(self, license: str) -> bool:
        """Whether a document under this licence stays."""
        patterns = [pattern.lower() for pattern in self.allow or self.deny or ()]

        def accepted(name: str) -> bool:
            # The bare name too, so that GPL-2.0-only is meant with any exception to it.
            names = {name.lower(), name.split(" WITH ")[0].strip().lower()}
            listed = any(fnmatchcase(each, pattern) for each in names for pattern in patterns)
            return listed == (self.allow is not None)

        return holds(spdx(license), accepted)


class Rights(Settings):
    """What the stage filter does about opt-outs and licences."""

    opt_out: Choice = "keep"
    """What happens to a document whose page opted out of mining."""
    licenses: Licenses | None = None
    """Which licences stay; null: all, and none."""

    def broken(self, license: str | None, meta: str) -> str | None:
        """The rule that removes a document with these columns; None where none does."""
        if self.opt_out == "remove" and '"opt_out"' in meta and json.loads(meta).get("opt_out"):
            return "rights.opt_out"
        if self.licenses is None:
            return None
        if not license:
            return "rights.no_license" if self.licenses.unknown == "remove" else None
        return None if self.licenses.accepts(license) else "rights.license"

    def of(self, documents: pa.RecordBatch | pa.Table) -> list[str | None]:
        """The same for each row of a table with the columns `license` and `meta`."""
        if self == Rights():
            return [None] * documents.num_rows
        columns = (documents.column(name).to_pylist() for name in ("license", "meta"))
        return [self.broken(license, meta) for license, meta in zip(*columns, strict=True)]


def declared(rule: str, license: str | None, meta: str) -> str | None:
    """What a document says by which a rule of `Rights` removes it, in words; None where it says nothing."""
    if rule == "rights.opt_out":
        said = json.loads(meta)["opt_out"]
        return f"it opts out by {', '.join(map(str, said)) if isinstance(said, list) else said}"
    return f"its licence is {license}" if license else None


def spdx(license: str) -> str:
    """A Creative Commons licence's address as SPDX names the licence; anything else as it is."""
    _, found, path = license.lower().partition("creativecommons.org/")
    kind, *rest = path.strip("/").split("/") if found else [""]
    if kind not in ("licenses", "publicdomain") or not rest:
        return license
    name = {"zero": "CC0", "mark": "CC-PDM"}.get(rest[0], f"CC-{rest[0].upper()}")
    return "-".join((name, *rest[1:2]))

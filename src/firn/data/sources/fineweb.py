"""The source `fineweb`: the published FineWeb, FineWeb-Edu and FineWeb-2, a preset of `files`.

Penedo et al. 2024, The FineWeb Datasets, arXiv:2406.17557; Penedo et al. 2025, FineWeb2, arXiv:2506.20920. A row of
the ledger is a row of a Parquet file, under the rules of `files`. `date` is when the page was fetched, and never when
it was written; `meta.warc` names the file of Common Crawl that holds the page, whose record is `meta.id`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from firn.core.settings import Settings
from firn.core.stage import Task
from firn.data.extract import ExtractSettings
from firn.data.raw import Pattern
from firn.data.sources.files import FilesSettings, shards
from firn.data.sources.listing import Found, chosen, find

_HUB = "hf://datasets/HuggingFaceFW"


class FinewebSource(Settings):
    """Web pages as FineWeb, FineWeb-Edu or FineWeb-2 publish them."""

    kind: Literal["fineweb"] = "fineweb"
    dataset: Literal["fineweb", "fineweb-edu", "fineweb-2"] = "fineweb"
    """Which of them."""
    dump: str | None = Field(default=None, pattern=r"^CC-MAIN-\d{4}-\d{2,3}$")
    """Crawl that the pages are of, `CC-MAIN-2024-10`; not for FineWeb-2."""
    config: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """What the dataset calls a subset: `sample-10BT`, or of FineWeb-2 a language, `fra_Latn`."""
    share: float = Field(default=1.0, gt=0, le=1, strict=True)
    """Share of its files, rounded, at least one."""
    seed: int = 0
    """Which files these are. A larger share holds those of a smaller one."""
    base: str | None = None
    """Local folder or fsspec URL with the same layout; None: the Hugging Face Hub."""
    revision: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Commit or tag on the Hub; None: its newest."""
    group: Pattern | None = None
    """As of `files`; None: the host of the page's URL."""
    max_bytes: int = Field(default=32 << 20, ge=1)
    """Largest text, in bytes."""

    @model_validator(mode="after")
    def _one_subset(self) -> FinewebSource:
        if (self.dump is None) == (self.config is None):
            raise ValueError("name a `dump` or a `config`, one of them")
        if self.dataset == "fineweb-2" and self.dump:
            raise ValueError("fineweb-2 is not published by dump: name a language as `config`, `fra_Latn`")
        return self

    @property
    def folder(self) -> str:
        """Where the subset's files lie within the dataset."""
        if self.dump:
            return f"data/{self.dump}"
        config = self.config or ""
        return f"sample/{config.removeprefix('sample-')}" if config.startswith("sample-") else f"data/{config}"


def tasks(name: str, source: FinewebSource, settings: ExtractSettings) -> list[Task]:
    """Shards of the chosen files. Raises InputError."""
    own = FilesSettings(layout="fineweb", group=source.group, max_bytes=source.max_bytes)
    return shards(name, listed(source), own, settings)


def listed(source: FinewebSource) -> list[Found]:
    """The chosen files, named as in the dataset. Raises InputError."""
    at = f"@{source.revision}" if source.revision else ""
    base = (source.base or f"{_HUB}/{source.dataset}{at}").rstrip("/")
    # FineWeb-2 divides a language into `train` and `test`.
    inside = "train/*.parquet" if source.dataset == "fineweb-2" else "*.parquet"
    found = find([f"{base}/{source.folder}/{inside}"])
    names = set(chosen([file.name for file in found], source.share, source.seed))
    return [replace(file, name=f"{source.folder}/{file.name}") for file in found if file.name in names]

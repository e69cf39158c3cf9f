"""Where documents come from: one file per kind of source.

A source is a settings class with a `kind` of its own, and a function `tasks` that gives the shards of the stage `read`
for such settings: which raw files each shard has, known by content (`firn.core.inputs.external`), and under names that
are the same on every machine. What runs in the worker makes a row (`firn.data.raw.Rows`) of every raw record that could
be a document, and ends it: a document, a rule, or an error. `firn.data.read.tasks` and the recipe know all kinds.
"""

from __future__ import annotations

from firn.data.sources.books import BooksSource
from firn.data.sources.code import CodeSource
from firn.data.sources.commoncrawl import CommonCrawlSource
from firn.data.sources.files import FilesSource
from firn.data.sources.fineweb import FinewebSource
from firn.data.sources.papers import PapersSource
from firn.data.sources.pydocs import PydocsSource
from firn.data.sources.warc import WarcSource
from firn.data.sources.wikipedia import WikipediaSource

__all__ = [
    "BooksSource",
    "CodeSource",
    "CommonCrawlSource",
    "FilesSource",
    "FinewebSource",
    "PapersSource",
    "PydocsSource",
    "Source",
    "WarcSource",
    "WikipediaSource",
]

Source = (
    WarcSource
    | BooksSource
    | CodeSource
    | CommonCrawlSource
    | FilesSource
    | FinewebSource
    | PapersSource
    | PydocsSource
    | WikipediaSource
)

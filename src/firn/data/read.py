"""The stage `read`: raw files to documents. Each kind of source has its own way, in firn.data.sources.

The stage's outputs are `documents` and the ledger. A row of the ledger stands for a raw record that could have been a
document, with the URL and address it has; what a source passes over unread (WARC request records, hidden folders) is
said by that source, and counted in the shard's notes.
"""

from __future__ import annotations

from firn.core.engine import LocalEngine
from firn.core.stage import Task
from firn.data.extract import ExtractSettings
from firn.data.sources import (
    BooksSource,
    CodeSource,
    CommonCrawlSource,
    FilesSource,
    FinewebSource,
    PapersSource,
    PydocsSource,
    Source,
    WarcSource,
    WikipediaSource,
    books,
    code,
    commoncrawl,
    files,
    fineweb,
    papers,
    pydocs,
    warc,
    wikipedia,
)


def tasks(name: str, source: Source, extract: ExtractSettings, engine: LocalEngine) -> list[Task]:
    """The shards of a source, labelled `<name>/<part>`.

    name: what the recipe calls the source. extract: how HTML becomes text; it changes only shards with HTML in them.
    engine: makes what a source must have before it can be read. Raises InputError where a path holds nothing.
    """
    match source:
        case WarcSource():
            return warc.tasks(name, source, extract)
        case BooksSource():
            return books.tasks(name, source)
        case CodeSource():
            return code.tasks(name, source)
        case CommonCrawlSource():
            return commoncrawl.tasks(name, source, extract, engine)
        case FilesSource():
            return files.tasks(name, source, extract)
        case FinewebSource():
            return fineweb.tasks(name, source, extract)
        case PapersSource():
            return papers.tasks(name, source)
        case PydocsSource():
            return pydocs.tasks(name, source, extract, engine)
        case WikipediaSource():
            return wikipedia.tasks(name, source)

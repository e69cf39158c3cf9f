"""Where documents come from: one file per kind of source."""

from __future__ import annotations

from firn.data.sources.code import CodeSource
from firn.data.sources.files import FilesSource
from firn.data.sources.pydocs import PydocsSource
from firn.data.sources.warc import WarcSource
from firn.data.sources.wikipedia import WikipediaSource

__all__ = ["CodeSource", "FilesSource", "PydocsSource", "Source", "WarcSource", "WikipediaSource"]

Source = WarcSource | CodeSource | FilesSource | PydocsSource | WikipediaSource

"""What all sources with HTML in them share."""

from __future__ import annotations

import re
from typing import Any

from firn.core.errors import RecipeError
from firn.core.stage import library_versions
from firn.data import extract
from firn.data.extract import ExtractSettings

# Characters that no text holds (WHATWG MIME Sniffing, section 3: binary data bytes), and the replacement character.
_BINARY = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\ufffd]")
_SNIFFED = 2048


def is_binary(text: str) -> bool:
    """Whether what was read as text is none: one in fifty of its first 2,048 characters belongs to no text."""
    return len(_BINARY.findall(text, 0, _SNIFFED)) > min(len(text), _SNIFFED) / 50


def extraction(settings: ExtractSettings) -> dict[str, Any]:
    """What a shard with extracted text depends on besides the settings: firn's extractor and the libraries it uses."""
    libraries = tuple(name for name in extract.LIBRARIES if name != "trafilatura" or settings.method == name)
    try:
        return {"version": extract.VERSION, "libraries": library_versions(libraries)}
    except RecipeError as error:
        mend = f'pip install "firn[{settings.method}]"'
        raise RecipeError(f"{settings.method} is not installed", key="extract.method", mend=mend) from error

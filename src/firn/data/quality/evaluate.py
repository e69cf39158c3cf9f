"""Evaluation of a quality model, linear or a classifier, on documents that are known to be good or bad."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firn.core.errors import InputError
from firn.data.quality.documents import Document, documents
from firn.data.quality.report import Report, report
from firn.data.quality.settings import ClassifierSettings

# Documents that a classifier is given at a time.
_AT_A_TIME = 1024


def evaluate(
    model: str,
    *,
    positive: Sequence[str] = (),
    negative: Sequence[str] = (),
    labelled: Sequence[str] = (),
    label: str = "label",
    good: str = "1",
    text: str = "text",
    classifier: ClassifierSettings | None = None,
) -> Report:
    """The report on a model's scores.

    model: a file that `firn quality train` wrote, or the folder of a Hugging Face sequence classifier. positive,
    negative: files of good and of bad documents. labelled: files whose rows say in the field `label` what they are:
    good ones have the value `good`. text: field of the text. classifier: how a classifier reads.
    Raises InputError for files that cannot be read, or where documents of one kind are missing.
    """
    labels: list[bool] = []

    def rows() -> Iterator[Document]:
        for paths, kind in ((positive, True), (negative, False)):
            for document in documents(paths, text=text):
                labels.append(kind)
                yield document
        for document in documents(labelled, text=text, label=label):
            labels.append(document.label == good)
            yield document

    scores = _scores(model, rows(), classifier or ClassifierSettings())
    if labelled and not any(labels):
        mend = "name the value of good documents"
        raise InputError(f"no row has the value {good!r} in the field {label!r}", where=labelled[0], mend=mend)
    return report(scores, np.array(labels, bool))


def _scores(model: str, rows: Iterable[Document], settings: ClassifierSettings) -> NDArray[np.float64]:
    if not Path(model).is_dir():
        from firn.data.quality.linear import load

        linear = load(model)
        return np.array([linear.score(np.frombuffer(row.text, np.uint8)) for row in rows], np.float64)
    from firn.data.quality.classifier import Classifier, files

    files(model)
    reader = Classifier(model, settings)
    found, waiting = [np.empty(0, np.float32)], []
    for row in rows:
        waiting.append(reader.encode(np.frombuffer(row.text, np.uint8)))
        if len(waiting) == _AT_A_TIME:
            found.append(reader.scores(waiting))
            waiting = []
    found.append(reader.scores(waiting))
    return np.concatenate(found).astype(np.float64)

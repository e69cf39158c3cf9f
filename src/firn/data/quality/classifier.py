"""Any Hugging Face sequence classifier as a quality model, in batches, as FineWeb-Edu's (arXiv:2406.17557, section 4).

Only safetensors are loaded, and no code out of the folder is run. A model with one output gives it as it is (a grade,
such as FineWeb-Edu's 0 to 5), one with several labels the probability of one of them.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firn.core.errors import InputError, RecipeError
from firn.core.inputs import External, external
from firn.data.quality.settings import ClassifierSettings

if TYPE_CHECKING:
    import torch

#: Distributions whose versions change the scores.
LIBRARIES = ("torch", "transformers", "tokenizers")
# A token is rarely longer; a longer text is cut before it comes to the tokenizer, so that its time is bounded.
_BYTES_PER_TOKEN = 32
_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_MORE = (".json", ".txt", ".model", ".safetensors")


def files(folder: str) -> list[External]:
    """The classifier's files, config.json first. Raises InputError where one is missing, or what reads them is."""
    if importlib.util.find_spec("transformers") is None:
        raise InputError("transformers is not installed", where=folder, mend="pip install 'transformers>=4.57'")
    path = Path(folder).expanduser()
    found = {file.name: file for file in sorted(path.glob("*")) if file.is_file() and file.suffix in _MORE}
    sharded = "model.safetensors.index.json" in found
    missing = [name for name in _FILES if name not in found and not (sharded and name == "model.safetensors")]
    if missing:
        raise InputError(
            f"holds no {missing[0]}",
            where=folder,
            mend="give the local folder of a sequence classifier: config.json, model.safetensors, tokenizer.json",
        )
    return [external(found[name]) for name in ["config.json", *sorted(found.keys() - {"config.json"})]]


def output(folder: str, settings: ClassifierSettings) -> int | None:
    """Which of the model's labels is the score; None for a model with one output.

    Raises RecipeError where that is not said, or is none of them; InputError for a folder without a configuration.
    """
    where = f"{folder}/config.json"
    try:
        config = json.loads(Path(folder).expanduser().joinpath("config.json").read_bytes())
        named = config.get("id2label") or {n: f"LABEL_{n}" for n in range(config.get("num_labels", 2))}
        names = {int(number): str(name) for number, name in named.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"cannot be read: {error}", where=where, mend="check the folder") from error
    if len(names) == 1:
        return None
    if settings.label is None and len(names) == 2:
        return 1
    if settings.label not in names.values():
        none = "" if settings.label is None else f", none of them {settings.label!r}"
        mend = f"give one of {', '.join(names[number] for number in sorted(names))}"
        raise RecipeError(f"the model has {len(names)} labels{none}", where=where, key="label", mend=mend)
    return next(number for number, name in names.items() if name == settings.label)


class Classifier:
    """A loaded model. Raises InputError where the folder is none that transformers can load."""

    def __init__(self, folder: str, settings: ClassifierSettings):
        import torch

        self.settings, self.output = settings, output(folder, settings)
        self.tokenizer, self.model = _load(folder)
        if settings.device == "cuda" and not torch.cuda.is_available():
            raise InputError("no CUDA device is there", where=folder, key="device", mend="say device: cpu")
        most = getattr(self.model.config, "max_position_embeddings", None) or settings.tokens
        self.tokens = min(settings.tokens, int(most), int(self.tokenizer.model_max_length))
        self.model = self.model.to(settings.device).eval()

    def encode(self, text: NDArray[np.uint8]) -> list[int]:
        """The tokens of a text (UTF-8, uint8 [n]), cut to what the model reads."""
        start = text[: self.tokens * _BYTES_PER_TOKEN].tobytes().decode("utf-8", "ignore")
        ids: list[int] = self.tokenizer(start, truncation=True, max_length=self.tokens)["input_ids"]
        return ids

    def scores(self, encoded: list[list[int]]) -> NDArray[np.float32]:
        """A score for each text, float32 [n]; batches are of texts of like length, so that little is padded."""
        found = np.zeros(len(encoded), np.float32)
        order = sorted(range(len(encoded)), key=lambda at: (len(encoded[at]), at))
        with _one_thread():
            for first in range(0, len(order), self.settings.batch):
                chosen = order[first : first + self.settings.batch]
                found[chosen] = self._logits([encoded[at] for at in chosen]).numpy()
        return found

    def _logits(self, batch: list[list[int]]) -> torch.Tensor:
        import torch

        width = max(1, *(len(ids) for ids in batch))
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in batch], device=self.settings.device)
        lengths = torch.tensor([len(row) for row in batch], device=self.settings.device)
        mask = (torch.arange(width, device=self.settings.device) < lengths[:, None]).long()
        with torch.inference_mode():
            logits = self.model(input_ids=ids, attention_mask=mask).logits.float()
        value = logits[:, 0] if self.output is None else logits.softmax(-1)[:, self.output]
        return value.cpu()


def _load(folder: str) -> tuple[Any, Any]:
    """Tokenizer and model. Raises InputError."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    path, about = Path(folder).expanduser(), {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, use_fast=True, **about)
        model, loaded = AutoModelForSequenceClassification.from_pretrained(
            path, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **about
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).partition("\n")[0][:300]
        problem = f"is no sequence classifier that can be loaded: {reason}"
        raise InputError(problem, where=folder, mend="check the folder") from error
    if loaded["missing_keys"]:
        # transformers would draw them at random.
        problem = f"is no sequence classifier: its weights lack {min(loaded['missing_keys'])}"
        raise InputError(problem, where=folder, mend="give a model that was trained to classify")
    return tokenizer, model


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, whatever the number of processors; documents are divided among workers."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def opened(folder: str, identity: str, settings: ClassifierSettings) -> Classifier:
    """The classifier in a folder whose files have this identity; loaded once by each worker."""
    return Classifier(folder, settings)

"""Settings of quality: of the stages in a recipe, and of training. Nothing heavy is imported with them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from firn.core.settings import Settings

#: The largest table takes 64 MiB.
MAX_BITS = 24


class FeatureSettings(Settings):
    """What the linear model sees of a text."""

    ngrams: Literal[1, 2] = 2
    """Words of the longest n-gram."""
    bits: int = Field(default=20, ge=10, le=MAX_BITS)
    """N-grams are hashed into a table of 2^bits weights, of 4 bytes each."""
    bytes: int = Field(default=16 << 10, ge=256, le=1 << 20)
    """Only the first so many UTF-8 bytes of a document are looked at."""


class TrainingSettings(FeatureSettings):
    """How the linear model is trained."""

    epochs: int = Field(default=5, ge=1, le=100)
    """Passes over the training documents."""
    rate: float = Field(default=1.0, gt=0, le=100)
    """Rate of AdaGrad (Duchi et al. 2011): about the step of a weight that is met for the first time."""
    held_out: float = Field(default=0.2, ge=0.05, le=0.5)
    """Share of groups held out: one half to calibrate by, the other to report on."""
    documents: int = Field(default=100_000, ge=100, le=10_000_000)
    """Most documents of each set; of more, those with the smallest hashes."""
    seed: int = Field(default=0, ge=0)
    """Seed of the order in which documents are learned."""


class ClassifierSettings(Settings):
    """How a Hugging Face classifier reads."""

    batch: int = Field(default=16, ge=1, le=1024)
    """Documents that go through the model at once."""
    tokens: int = Field(default=512, ge=8, le=1 << 17)
    """Only the first so many tokens of a document are looked at."""
    label: str | None = None
    """Of a model with several labels, the one whose probability is the score; the second of two where none is named."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the model runs. Scores of another device differ in their last digits."""


class DecisionSettings(Settings):
    """What score is needed."""

    at_least: float | None = Field(default=None, allow_inf_nan=False)
    """Documents with a lower score are removed."""


class QualitySettings(ClassifierSettings, DecisionSettings):
    """A model that scores documents, and which of them stay: with neither `keep` nor `at_least` all do, scored."""

    model: Literal["linear", "hf"] = "linear"
    """linear: a file that `firn quality train` wrote; hf: a Hugging Face sequence classifier."""
    file: str | None = None
    """The linear model, local or an fsspec URL."""
    folder: str | None = None
    """The classifier's folder: config.json, model.safetensors, tokenizer.json."""
    keep: float | None = Field(default=None, gt=0, le=1)
    """Share of documents to keep, those with the highest scores of all sources together; DCLM keeps 0.1 (Li et al.
    2024, arXiv:2406.11794, section 4.4)."""

    @model_validator(mode="after")
    def _one_model_and_one_bound(self) -> QualitySettings:
        needed, other = ("file", "folder") if self.model == "linear" else ("folder", "file")
        if getattr(self, needed) is None or getattr(self, other) is not None:
            raise ValueError(f"model {self.model} needs `{needed}` and takes no `{other}`")
        if self.keep is not None and self.at_least is not None:
            raise ValueError("give `keep` or `at_least`, not both")
        fields = ClassifierSettings.model_fields
        changed = [name for name in fields if getattr(self, name) != fields[name].default]
        if self.model == "linear" and changed:
            raise ValueError(f"only model hf takes {', '.join(changed)}")
        return self

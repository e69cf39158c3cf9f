"""The base of every settings class: frozen, and strict about unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of one stage. Only what changes the stage's bytes belongs in one: it is hashed into fingerprints."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

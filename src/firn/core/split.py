"""Which documents are held out: by a hash of their group, below a fixed bound."""

from __future__ import annotations

from pydantic import Field

from firn.core.hashing import hash64
from firn.core.settings import Settings


class SplitSettings(Settings):
    """How validation is held out."""

    validation: float = Field(default=0.02, ge=0.0, le=0.5)
    """Share of groups (hosts, books, repositories, modules) held out for validation."""


def is_validation(group: str, fraction: float) -> bool:
    """True when `group` is held out. Depends on the group alone, so it never moves as the corpus grows."""
    return hash64(group.encode("utf-8", "surrogatepass"), seed=0x5EED) < int(fraction * 2**64)

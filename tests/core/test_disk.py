"""Room on the disk, in units that people read."""

from __future__ import annotations

from pathlib import Path

import pytest

from firn.core.disk import require_room
from firn.core.errors import StoreError
from firn.core.store import Store


@pytest.mark.parametrize(
    ("needed", "free", "told"),
    [
        (37_400, 999, "needs about 37 kB and the disk has 999 bytes left"),
        (2_500_000_000, 41_000_000, "needs about 2.5 GB and the disk has 41 MB left"),
    ],
)
def test_small_sizes_are_told_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: int, free: int, told: str
) -> None:
    monkeypatch.setattr("firn.core.disk.free_bytes", lambda store: free)
    with pytest.raises(StoreError, match=told):
        require_room(Store(tmp_path), needed)

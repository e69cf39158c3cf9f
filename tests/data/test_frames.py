"""Frames that are whole and are still not unpacked."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import zstandard

from firn.data.compressed import Damaged, opened
from firn.data.warc import records


@pytest.mark.parametrize("log", [27, 28])
def test_a_long_window_of_zstd_is_a_limit_and_no_damage(log: int, tmp_path: Path) -> None:
    about = zstandard.ZstdCompressionParameters(window_log=log)
    compressor = zstandard.ZstdCompressor(compression_params=about).compressobj()  # as of a stream of unknown length
    data = compressor.compress(b"A line.\n" * 100) + compressor.flush()
    if log == 27:
        assert opened(io.BytesIO(data), "a.txt.zst").read() == b"A line.\n" * 100
        return
    with pytest.raises(Damaged, match="not unpacked: its window is longer than 128 MiB") as refused:
        opened(io.BytesIO(data), "a.txt.zst").read()
    (broken,) = records(io.BytesIO(data), 1 << 20, {"response"})
    for told in (str(refused.value), broken.error or ""):
        assert "`zstd -d --long=31`" in told
        assert "anew" not in told

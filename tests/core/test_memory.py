"""Memory that is freed and needed again."""

from __future__ import annotations

import platform
import resource

import pytest

from firn.core.memory import freed_memory_kept

BLOCK = 48 << 20


def pages_of_a_new_block() -> int:
    """How many pages the system hands out for a block that is filled and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    assert len(b"x" * BLOCK) == BLOCK
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_freed_block_is_used_again_within_and_given_back_afterwards() -> None:
    everything = BLOCK // resource.getpagesize()
    if pages_of_a_new_block() < everything // 2:
        pytest.skip("the system hands out large pages: nothing to be seen here")
    with freed_memory_kept():
        pages_of_a_new_block()
        assert pages_of_a_new_block() < everything // 100
    assert pages_of_a_new_block() > everything // 2

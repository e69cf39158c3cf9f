"""Kernels are compiled ahead once, and a failure to do so is not one of the run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from firn.data import ahead

MODULE = """
import os
from pathlib import Path
with (Path(__file__).parent / "loads").open("a") as loads:
    loads.write("x")
{then}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `slow_to_load` that is to be loaded ahead for `pii`, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(ahead, "KERNELS", ({"pii": "slow_to_load"},))
    ahead.folder.cache_clear()
    path = tmp_path / "slow_to_load.py"
    path.write_text(MODULE.format(then=""))
    return path


def test_what_is_compiled_once_is_not_compiled_again(module: Path) -> None:
    notes: list[str] = []
    for _ in range(2):
        ahead.compile_ahead(["pii"], 2, notes.append)
        assert (module.parent / "loads").read_text() == "x"
    assert len(notes) == 1
    assert notes[0].startswith("compile ")


def test_only_what_is_needed_is_compiled(module: Path) -> None:
    ahead.compile_ahead(["html", "text"], 2, pytest.fail)
    assert not (module.parent / "loads").exists()


@pytest.mark.parametrize("then", ["os._exit(3)", "raise OSError('no room')"])
def test_a_failure_is_left_to_the_worker_that_needs_the_kernel(module: Path, then: str) -> None:
    module.write_text(MODULE.format(then=then))
    notes: list[str] = []
    for _ in range(2):  # and it is tried again
        ahead.compile_ahead(["pii"], 2, notes.append)
    assert (module.parent / "loads").read_text() == "xx"
    assert len(notes) == 2


def test_a_folder_of_the_users_is_left_alone(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(module.parent))
    ahead.compile_ahead(["pii"], 2, pytest.fail)
    assert not (module.parent / "loads").exists()


def test_the_modules_named_are_there() -> None:
    assert all(importlib.util.find_spec(name) for group in ahead.KERNELS for name in group.values())


def test_compiled_code_is_named_by_what_it_is_made_of_and_no_more() -> None:
    sources = ahead.kernel_sources()
    assert {"firn.data.kernels", "firn.data.words", "firn.data.characters", "firn.data.compiled"} <= set(sources)
    assert not any(module.startswith(("firn.data.sources", "firn.data.read")) for module in sources)

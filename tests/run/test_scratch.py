"""Folders that a killed process left are taken away, and never one at which a process is at work, or another's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from firn.run import scratch
from firn.run.gc import collect

# Makes a folder, says where it lies, has another process hold it where it is told to, and waits.
MAKER = """
import subprocess, sys
from pathlib import Path
from firn.run.scratch import held, scratch
if sys.argv[1] == "child":
    with held(Path(sys.argv[2])):
        print(sys.argv[2], flush=True)
        sys.stdin.read()
else:
    with scratch(sys.argv[2]) as own:
        (own / "run.json").write_text('{"format": 1, "store": "%s/store", "shards": {}}' % sys.argv[2])
        print(own, flush=True)
        sys.stdin.read()
"""


def started(role: str, path: Path) -> tuple[subprocess.Popen[str], Path]:
    command = [sys.executable, "-c", MAKER, role, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def test_it_is_left_behind_when_the_last_of_its_processes_is_gone(tmp_path: Path) -> None:
    maker, own = started("maker", tmp_path)
    child, same = started("child", own)
    assert own == same
    assert scratch.left_behind(tmp_path) == []
    killed(maker)
    assert scratch.left_behind(tmp_path) == []
    killed(child)
    assert scratch.left_behind(tmp_path) == [own]

    other, living = started("maker", tmp_path)
    assert [found.store for found in collect(tmp_path, dry_run=True)] == [str(own), str(tmp_path / "store")]
    assert own.exists()
    assert (found := collect(tmp_path)[0]).store == str(own)
    assert found.files == 2
    assert not own.exists()
    assert living.exists()
    killed(other)


def test_it_is_gone_at_the_end_and_after_an_error(tmp_path: Path) -> None:
    with scratch.scratch(tmp_path) as own:
        assert scratch.left_behind(tmp_path) == []
    assert not own.exists()
    with pytest.raises(RuntimeError), scratch.scratch(tmp_path):
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_what_only_looks_like_one_stays(tmp_path: Path) -> None:
    named = tmp_path / "verify-french"  # a recipe's name
    elsewhere = tmp_path / "verify-elsewhere"
    target = tmp_path / "data"
    for folder in (named, elsewhere, target):
        folder.mkdir()
    (named / "run.json").write_text(json.dumps({"format": 1, "store": str(tmp_path / "store")}))
    (elsewhere / ".scratch").write_text("another machine")
    (target / ".scratch").write_text(scratch.platform.node())
    (tmp_path / "verify-link").symlink_to(target)
    (tmp_path / "verify-linked").mkdir()
    (tmp_path / "verify-linked" / ".scratch").symlink_to(target / ".scratch")
    (tmp_path / "verify-binary").mkdir()
    (tmp_path / "verify-binary" / ".scratch").write_bytes(b"\xff")
    assert scratch.left_behind(tmp_path) == []
    before = sorted(os.listdir(tmp_path))
    collect(tmp_path)
    assert sorted(os.listdir(tmp_path)) == before

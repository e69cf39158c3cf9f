"""Compiled kernels follow their sources, wherever these lie."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import firn

ASK = "from firn.data.shown import shown; print(shown(1))"
HELPER = """
from firn.data.compiled import helper
@helper
def add(x):
    return x + {number}
"""
KERNEL = """
from numba import types
from firn.data.added import add
from firn.data.compiled import kernel
@kernel(types.int64)
def shown(x):
    return add(x)
"""


def test_a_kernel_whose_helper_changed_in_another_file_is_compiled_anew(tmp_path: Path) -> None:
    package = tmp_path / "firn"
    for room in ("core", "data"):
        shutil.copytree(Path(firn.__file__).parent / room, package / room, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__init__.py").write_text("")
    (package / "data" / "shown.py").write_text(KERNEL)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("NUMBA_CACHE_DIR", None)

    def ask(number: int) -> str:
        (package / "data" / "added.py").write_text(HELPER.format(number=number))
        return subprocess.run(
            [sys.executable, "-c", ASK], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
        ).stdout.strip()

    assert ask(10) == "11"
    assert list((tmp_path / "cache").rglob("*.nbc"))
    assert ask(20) == "21"


def decorators(node: ast.AST) -> set[str]:
    """Names of a function's decorators, called or not."""
    found = getattr(node, "decorator_list", [])
    return {ast.unparse(each.func if isinstance(each, ast.Call) else each) for each in found}


def test_no_helper_is_called_from_python() -> None:
    """It has no wrapper, so that such a call ends the process."""
    room = Path(firn.__file__).parent / "data"
    trees = {path: ast.parse(path.read_text()) for path in sorted(room.rglob("*.py"))}
    helpers = {
        (".".join(["firn.data", *path.relative_to(room).with_suffix("").parts]), node.name)
        for path, tree in trees.items()
        for node in tree.body
        if "helper" in decorators(node) and isinstance(node, ast.FunctionDef)
    }
    assert len(helpers) > 50
    for path, tree in trees.items():
        own = ".".join(["firn.data", *path.relative_to(room).with_suffix("").parts])
        known = {name for module, name in helpers if module == own}
        known |= {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if (node.module, alias.name) in helpers
        }
        compiled = {inner for node in tree.body if decorators(node) & {"helper", "kernel"} for inner in ast.walk(node)}
        calls = {node for node in ast.walk(tree) if isinstance(node, ast.Call)} - compiled
        wrong = [ast.unparse(call) for call in calls if ast.unparse(call.func) in known]
        assert not wrong, f"{path}: {wrong}"

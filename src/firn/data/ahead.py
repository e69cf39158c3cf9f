"""Where compiled kernels are kept, and compiling them ahead: all that a run needs, on several processors at once.

A worker compiles what it lacks by itself when it comes to it, one kernel after the other, and every worker does so anew
until one of them is done. Ahead, each is compiled once. This module must not import numba, which takes long to import.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Collection
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from firn.core.files import cache_folder
from firn.core.hashing import fingerprint
from firn.core.worker import context

Work = Literal["html", "warc", "text", "near", "quality", "evaluation", "pii"]

ROOM = Path(__file__).parent

_IMPORT = re.compile(r"^from (firn\.data[\w.]*) import (\([^)]*\)|.*)", re.MULTILINE)

#: Work -> the module that compiles its kernels when it is imported. Those named together share kernels, and one process
#: imports them, so that none is compiled twice. What compiles longest comes first.
KERNELS: tuple[dict[Work, str], ...] = (
    {"html": "firn.data.extract.page"},
    {
        "text": "firn.data.measurement",
        "near": "firn.data.minhash",
        "quality": "firn.data.quality.linear",
        "evaluation": "firn.data.decontaminate_kernels",
    },
    {"pii": "firn.data.pii.find"},
    {"warc": "firn.data.warc_kernels"},
)  # fmt: skip


@cache
def folder() -> Path:
    """The folder of compiled kernels, named by all sources that they are made of.

    numba looks at a kernel's own file alone: one whose helpers or constants changed in another would be taken from the
    cache as it was, and measure by the old definition. Raises RuntimeError where there is no home to keep it in.
    """
    return cache_folder() / "kernels" / fingerprint({"room": ROOM.as_posix(), "sources": kernel_sources()})


def kernel_sources() -> dict[str, str]:
    """Module -> source, of the modules with kernels in them and of what these import of this room when they load."""
    sources = {}
    for path in sorted(ROOM.rglob("*.py")):
        inside = path.relative_to(ROOM).with_suffix("").parts
        sources[".".join(("firn.data", *(inside[:-1] if inside[-1] == "__init__" else inside)))] = path.read_text()
    waiting = [module for module, source in sources.items() if "from firn.data.compiled import" in source]
    found: dict[str, str] = {}
    while waiting:
        if (module := waiting.pop()) in sources and module not in found:
            found[module] = sources[module]
            for package, names in _IMPORT.findall(found[module]):
                waiting += [package, *(f"{package}.{name}" for name in re.findall(r"\w+", names))]
    return found


def compile_ahead(work: Collection[Work], processes: int, note: Callable[[str], None]) -> None:
    """Compile the kernels for `work`, each once; those that this machine has are left alone.

    processes: at most so many. note: is told of it, where there is something to do. A failure is left to whoever needs
    the kernel, who meets it too.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):  # the user's folder: what is in it is not ours to tell
        return
    with contextlib.suppress(OSError, RuntimeError):
        done = folder() / f"done-{sys.version_info[0]}{sys.version_info[1]}-{version('numba')}"
        lacking = [[m for w, m in group.items() if w in work and not (done / m).exists()] for group in KERNELS]
        if not any(lacking):
            return
        note(f"{'compile':<10}  the kernels for text, once for this version of firn")
        done.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(max(1, min(processes, sum(map(bool, lacking)))), context()) as pool:
            for modules in filter(None, lacking):
                pool.submit(_load, modules, done)


def _load(modules: list[str], done: Path) -> None:
    for module in modules:
        importlib.import_module(module)
        (done / module).touch()

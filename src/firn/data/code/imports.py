"""In which order the files of a repository are read, so that what a file imports stands before it.

Imports are found by their lines, and not by parsing: Python, JavaScript and TypeScript, Go, C and C++. What they name
is looked for among the repository's own files; the rest is somebody else's.
"""

from __future__ import annotations

import heapq
import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain

_STEPS = 1000  # files in which a circle is looked for
_HEAD = 64 << 10  # characters in which imports are looked for
_PYTHON = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+\(?([\w, \t]*)|import[ \t]+([\w., \t]+))", re.MULTILINE
)
_SCRIPT = re.compile(r"(?:\bfrom|\bimport|\brequire)\s*\(?\s*[\"'](\.{1,2}/[^\"'\n]{1,200})[\"']")
_GO = re.compile(r"^[ \t]*(?:import[ \t]+)?(?:[\w.]+[ \t]+)?\"([\w./~-]{1,200})\"[ \t]*$", re.MULTILINE)
_C = re.compile(r"^[ \t]*#[ \t]*(?:include|import)[ \t]+[\"<]([^\">\n]{1,200})[\">]", re.MULTILINE)
_SCRIPTS = (".ts", ".tsx", ".js", ".jsx", ".mjs", ".vue")


def ordered(files: Mapping[str, tuple[str, str]]) -> list[str]:
    """The paths of files, each after those that it imports, otherwise in the order of paths.

    files: path in the repository -> (language, text). Where files import each other in a circle, the first of its paths
    comes first.
    """
    known = _Known(files)
    needs = {path: known.needed(path, language, text) - {path} for path, (language, text) in files.items()}
    wanted_by: dict[str, list[str]] = defaultdict(list)
    for path, others in needs.items():
        for other in others:
            wanted_by[other].append(path)
    waiting = {path: len(others) for path, others in needs.items()}
    ready = [path for path, count in waiting.items() if not count]
    heapq.heapify(ready)
    rest: Iterator[str] = iter(sorted(files))
    order: list[str] = []
    while waiting:
        if not ready:
            first = next(path for path in rest if path in waiting)
            rest = chain([first], rest)
            ready.append(_of_circle(first, needs, waiting))
        path = heapq.heappop(ready)
        if path not in waiting:
            continue
        del waiting[path]
        order.append(path)
        for other in wanted_by[path]:
            if other in waiting:
                waiting[other] -= 1
                if not waiting[other]:
                    heapq.heappush(ready, other)
    return order


def _of_circle(path: str, needs: Mapping[str, set[str]], waiting: Collection[str]) -> str:
    """The first path of a circle that `path`, which waits as all do, leads to."""
    walked: dict[str, int] = {}
    while path not in walked and len(walked) < _STEPS:
        walked[path] = len(walked)
        path = min(other for other in needs[path] if other in waiting)
    return min([other for other in walked if walked[other] >= walked.get(path, 0)], default=path)


class _Known:
    """The files of a repository, by what imports call them."""

    def __init__(self, paths: Iterable[str]):
        self.paths = set(paths)
        self.modules: dict[str, str] = {}  # Python: dotted name -> path; the shortest path of a name
        self.packages: dict[str, list[str]] = defaultdict(list)  # Go: folder -> paths
        self.headers: dict[str, list[str]] = defaultdict(list)  # C: last part -> paths
        for path in sorted(self.paths, key=lambda path: (path.count("/"), path)):
            if path.endswith((".py", ".pyi")):
                parts = posixpath.splitext(path)[0].removesuffix("/__init__").split("/")
                # The folder that modules are looked for in may be `src`, or any other.
                for start in range(min(len(parts), 3)):
                    self.modules.setdefault(".".join(parts[start:]), path)
            elif path.endswith(".go"):
                self.packages[posixpath.dirname(path)].append(path)
            self.headers[posixpath.basename(path)].append(path)

    def needed(self, path: str, language: str, text: str) -> set[str]:
        """The files of the repository that a file imports."""
        head = text[:_HEAD]
        match language:
            case "Python" | "Cython":
                return set(self._python(path, head))
            case "JavaScript" | "TypeScript" | "Vue":
                return set(self._script(path, head))
            case "Go":
                return set(self._go(path, head))
            case "C" | "C++" | "Objective-C" | "Cuda" | "OpenCL":
                return set(self._c(path, head))
        return set()

    def _python(self, path: str, head: str) -> Iterator[str]:
        for found in _PYTHON.finditer(head):
            if found[3]:
                names = [part.split()[0] for part in found[3].split(",") if part.split()]
            else:
                module = found[1]
                if module.startswith("."):
                    level = len(module) - len(module.lstrip("."))
                    above = path.split("/")[:-level]
                    module = ".".join([*above, *filter(None, module.lstrip(".").split("."))])
                members = [part.split()[0] for part in found[2].split(",") if part.split()]
                names = [f"{module}.{member}" if module else member for member in members]
                # A package of which only modules are taken need not be read before.
                if not names or not all(name in self.modules for name in names):
                    names.append(module)
            for name in names:
                if (other := self.modules.get(name)) is not None:
                    yield other

    def _script(self, path: str, head: str) -> Iterator[str]:
        for found in _SCRIPT.finditer(head):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), found[1]))
            stem = target.removesuffix(".js")  # TypeScript names what it is compiled to
            for other in (target, *(stem + end for end in _SCRIPTS), *(f"{target}/index{end}" for end in _SCRIPTS)):
                if other in self.paths:
                    yield other
                    break

    def _go(self, path: str, head: str) -> Iterator[str]:
        for found in _GO.finditer(head):
            parts = found[1].split("/")
            # The first parts are the module's own path, which `go.mod` says; folders follow.
            for start in range(1, len(parts)):
                folder = "/".join(parts[start:])
                if folder in self.packages:
                    yield from (other for other in self.packages[folder] if not other.endswith("_test.go"))
                    break

    def _c(self, path: str, head: str) -> Iterator[str]:
        for found in _C.finditer(head):
            near = posixpath.normpath(posixpath.join(posixpath.dirname(path), found[1]))
            if near in self.paths:
                yield near
                continue
            named = [
                other
                for other in self.headers.get(posixpath.basename(found[1]), ())
                if f"/{other}".endswith(f"/{found[1]}")
            ]
            if len(named) == 1:
                yield named[0]

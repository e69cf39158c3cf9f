"""Renders the standard library's documentation as HTML. A program of its own: it imports nothing of firn.

    python -s -S -P -X utf8 pydocs_render.py

writes one JSON object per page to standard output: {"path", "html"}. All modules are imported first, since the links
that pydoc sets depend on what is loaded. What a machine, its build of Python or its environment decide is left out:
values of data, defaults of parameters that are more than a literal, addresses, paths.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import pydoc
import re
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import BuiltinFunctionType, FunctionType

# Left out by name, with all that lies below it, since the page would not be the same on every machine.
LEFT_OUT = {
    "what it offers depends on the operating system": (
        "crypt", "curses", "errno", "fcntl", "grp", "locale", "mmap", "msilib", "msvcrt", "nis", "nt", "os",
        "ossaudiodev", "posix", "pty", "pwd", "resource", "select", "selectors", "signal", "socket", "spwd", "sys",
        "syslog", "termios", "time", "tty", "winreg", "winsound", "asyncio.unix_events", "asyncio.windows_events",
        "asyncio.windows_utils", "ctypes", "distutils", "multiprocessing.popen_spawn_win32", "urllib.request",
        "encodings.mbcs", "encodings.oem",
    ),
    "it needs a C library that not every build has": (
        "bz2", "dbm", "hashlib", "hmac", "lzma", "multiprocessing.synchronize", "readline", "rlcompleter", "secrets",
        "sqlite3", "ssl", "tkinter", "turtle", "uuid",
    ),
    "it describes this installation of Python": ("ensurepip", "site", "sysconfig", "venv"),
    "importing it does something": ("antigravity", "idlelib", "lib2to3", "this", "turtledemo"),
    "it is no documentation": ("encodings", "pydoc_data", "test"),
}  # fmt: skip

# Packages of tests within packages, entry points, and the parts that a package keeps to itself.
_PRIVATE = re.compile(r"(^|\.)(_(?!_)\w*|__main__|tests?)(\.|$)")
_ADDRESS = re.compile(r"(?: |&nbsp;)at(?: |&nbsp;)0x[0-9a-fA-F]{6,16}")
# What is left of a list of attributes after those that every class has are gone.
_EMPTY_LIST = re.compile(r"(?:<hr>\n)?Data descriptors [^\n]*:<br>\n(?=<hr>|</td>)")


def module_names() -> list[str]:
    """Every documented module of the standard library, sorted."""
    left_out = {name for names in LEFT_OUT.values() for name in names}
    library = Path(sysconfig.get_path("stdlib"))
    names = []
    for top in sys.stdlib_module_names:
        names.append(top)
        for path in library.glob(f"{top}/**/*.py"):
            parts = path.relative_to(library).with_suffix("").parts
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return sorted({n for n in names if not _PRIVATE.search(n) and not left_out & set(_prefixes(n))})


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:i]) for i in range(1, len(parts) + 1))


class Pages(pydoc.HTMLDoc):
    """pydoc's pages without what a machine decides."""

    def getdocloc(self, object: object, basedir: str = "") -> None:
        """No link to the online page: whether there is one depends on where the library is installed."""

    def heading(self, title: str, extras: str = "") -> str:
        """The page's heading without the file's path."""
        return super().heading(title)

    def bigsection(self, title: str, cls: str, contents: str) -> str:
        """A section; those of data and of imported modules are left out."""
        if cls in ("data", "pkg-content"):
            return ""
        return super().bigsection(title, cls, contents)

    def preformat(self, text: str) -> str:
        """A piece of a docstring, with its line breaks and plain spaces."""
        return self.escape(text.expandtabs())

    def markup(self, text: str, escape: Callable[[str], str] | None = None, *names: Mapping[str, str]) -> str:
        """A docstring, whose layout counts."""
        marked = super().markup(text, escape, *names)
        return f"<pre>{marked}</pre>" if marked and escape == self.preformat else marked

    def docdata(self, object: object, name: str | None = None, *rest: object, **more: object) -> str:
        """A descriptor, unless it is one of the two that nearly every class has."""
        if name in ("__dict__", "__weakref__"):
            return ""
        return super().docdata(object, name, *rest, **more)

    def docother(self, object: object, name: str | None = None, *rest: object, **more: object) -> str:
        """The name of a piece of data, without its value."""
        return f"<strong>{self.escape(name or '')}</strong>"


class Elided:
    """Stands for a default that a machine decides."""

    def __repr__(self) -> str:
        return "..."


def neutral_signature(signature: Callable[..., inspect.Signature]) -> Callable[..., inspect.Signature]:
    """`inspect.signature` whose result shows no default that is more than a literal, a name or a member of an enum."""

    def shown(*args: object, **options: object) -> inspect.Signature:
        found = signature(*args, **options)
        parameters = [
            parameter if is_neutral(parameter.default) else parameter.replace(default=Elided())
            for parameter in found.parameters.values()
        ]
        return found.replace(parameters=parameters)

    return shown


def is_neutral(value: object) -> bool:
    """Whether a default is written in the source as it is shown, so that every machine shows the same."""
    if isinstance(value, tuple):
        return all(map(is_neutral, value))
    if isinstance(value, str):
        return not re.match(r"/.|[A-Za-z]:[/\\\\]", value)  # no path
    return value is None or value is ... or isinstance(value, _PLAIN)


_PLAIN = (int, float, complex, bytes, type, Enum, FunctionType, BuiltinFunctionType)


def pages() -> Iterator[dict[str, str]]:
    """Every page: the modules, then the topics of `help()`, which are the language reference."""
    loaded = {}
    for name in module_names():
        try:
            loaded[name] = importlib.import_module(name)
        except ImportError as error:
            print(f"{name}: {error}", file=sys.stderr)
    topics = importlib.import_module("pydoc_data.topics").topics
    render = Pages()
    for name in sorted(loaded):
        # Not pydoc's title, which says of a module in C whether this build has it built in.
        page = render.page(f"module {name}", render.docmodule(loaded[name]))
        yield {"path": f"{name.replace('.', '/')}.html", "html": _neutral(page)}
    for name in sorted(topics):
        body = render.heading(f'<strong class="title">{name}</strong>')
        body += f"<pre>{render.markup(topics[name].strip(), render.escape)}</pre>"
        # Beside the module that holds them.
        yield {"path": f"pydoc_data/topics.html?{name}", "html": _neutral(render.page(f"topic {name}", body))}


def _neutral(html: str) -> str:
    """The page without memory addresses, and without the headings whose contents are left out."""
    return _EMPTY_LIST.sub("", _ADDRESS.sub("", html))


def main() -> None:
    """Write all pages."""
    warnings.simplefilter("ignore")
    # For what has no docstring pydoc looks for a comment above it: half of all the time, and the code source has them.
    inspect.getcomments = lambda object: None
    inspect.signature = neutral_signature(inspect.signature)
    out, sys.stdout = sys.stdout, io.StringIO()  # a module that prints when imported does not spoil the output
    for page in pages():
        out.write(json.dumps(page) + "\n")
    out.flush()


if __name__ == "__main__":
    main()

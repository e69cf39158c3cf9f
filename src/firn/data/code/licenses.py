"""Which licence source code is under: by its headers, the licence texts beside it, and its package's metadata.

A licence text is known by its sentences: of each licence a few that no other one has stand in `licenses.yaml`, and the
share of their trigrams of words that a text holds is the similarity. Names are SPDX identifiers.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from firn.data.rights import holds

#: Largest licence text or metadata that is read, in bytes.
MAX_BYTES = 256 << 10
#: Share of a licence's trigrams that a text must hold; names, years and reworded lines take the rest.
SIMILAR = 0.85

#: Licences under which code may be used in nearly any way, as the Blue Oak Council and OSI have them.
PERMISSIVE = frozenset(
    """0BSD AFL-3.0 Apache-2.0 Artistic-2.0 BSD-1-Clause BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause
    BSD-3-Clause-Clear BSL-1.0 BlueOak-1.0.0 CC0-1.0 CNRI-Python ECL-2.0 FTL HPND ICU ISC Intel JSON Libpng MIT MIT-0
    MIT-CMU MS-PL MulanPSL-2.0 NCSA OFL-1.1 PHP-3.01 PSF-2.0 PostgreSQL Python-2.0 TCL UPL-1.0 Unicode-3.0
    Unicode-DFS-2016 Unlicense Vim W3C WTFPL X11 Xnet ZPL-2.1 Zlib curl libtiff zlib-acknowledgement""".split()
)

_TEXTS: dict[str, str] = yaml.safe_load((Path(__file__).parent / "licenses.yaml").read_text("utf-8"))

# Licences whose text holds that of another one: what says more is the closer description.
_HOLDS = (
    ("BSD-4-Clause", "BSD-3-Clause"), ("BSD-4-Clause", "BSD-2-Clause"), ("BSD-3-Clause", "BSD-2-Clause"),
    ("MIT", "MIT-0"), ("ISC", "0BSD"), ("LGPL-2.0-only", "GPL-2.0-only"),
)  # fmt: skip

_LICENSE_NAME = re.compile(r"(?:licen[cs]e|copying|unlicense|copyright)(?:[-_.].*)?$", re.IGNORECASE)
_WHOLE = re.compile(r"(?:licen[cs]e|copying)(?:\.(?:txt|md|rst))?$", re.IGNORECASE)
_METADATA = {"package.json", "composer.json", "pyproject.toml", "Cargo.toml", "setup.cfg"}
_HEADER = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]+)*)")
_HEAD = 4096
_EXPRESSION = re.compile(r"\(?[A-Za-z0-9.+-]+\)?(?: (?:AND|OR|WITH) \(?[A-Za-z0-9.+-]+\)?)*")
_SETUP = re.compile(r"^license\s*=\s*(\S.*?)\s*$", re.MULTILINE)
# What people write instead of identifiers.
_ALIASES = {
    "apache": "Apache-2.0", "apache 2": "Apache-2.0", "apache 2.0": "Apache-2.0", "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0", "apache software license": "Apache-2.0", "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause", "bsd-3": "BSD-3-Clause", "gplv2": "GPL-2.0-only", "gplv3": "GPL-3.0-only",
    "isc license": "ISC", "mit license": "MIT", "mozilla public license 2.0": "MPL-2.0",
    "public domain": "public-domain",
    "the mit license": "MIT", "the unlicense": "Unlicense", "gpl-2.0": "GPL-2.0-only", "gpl-3.0": "GPL-3.0-only",
    "mit/apache-2.0": "MIT OR Apache-2.0", "apache-2.0/mit": "Apache-2.0 OR MIT",
}  # fmt: skip


def _trigrams(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[at : at + 3]) for at in range(len(words) - 2)}


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


_KNOWN = {name: _trigrams(_words(text)) for name, text in _TEXTS.items()}

_SPELLED = {name.lower(): name for name in (*PERMISSIVE, *_TEXTS)} | _ALIASES


def is_notice(name: str) -> bool:
    """Whether a file of this name may say under which licence its folder is."""
    last = PurePosixPath(name).name
    return last in _METADATA or (
        _LICENSE_NAME.match(last) is not None and not last.endswith((".py", ".js", ".go", ".rs"))
    )


def in_header(text: str) -> str | None:
    """The licence that a source file itself names (SPDX specification, annex E)."""
    found = _HEADER.search(text, 0, _HEAD)
    return found[1] if found else None


def in_text(text: str) -> str | None:
    """The licence whose text this is; where it holds the texts of several, all of them hold (`AND`)."""
    held = _trigrams(_words(text[:MAX_BYTES]))
    fits = {name for name, known in _KNOWN.items() if len(known & held) >= SIMILAR * len(known)}
    return " AND ".join(sorted(fits - {less for more, less in _HOLDS if more in fits})) or None


def in_metadata(name: str, text: str) -> str | None:
    """The licence that a package's metadata name, where they name one that SPDX knows or people commonly mean."""
    last, said = PurePosixPath(name).name, ""
    try:
        if last.endswith(".json"):
            said = _string(_dict(json.loads(text)).get("license"), "type")
        elif last.endswith(".toml"):
            tree = tomllib.loads(text)
            project = _dict(tree.get("project"))
            said = _string(project.get("license") or _dict(tree.get("package")).get("license"), "text")
        elif found := _SETUP.search(text):
            said = found[1]
    except (ValueError, RecursionError):
        return None
    said = " ".join(said.split())[:200]
    known = _ALIASES.get(said.lower().rstrip("."))
    return known or (said if _EXPRESSION.fullmatch(said) and _is_known(said) else None)


def told_by(name: str, text: str) -> str | None:
    """What a file that `is_notice` names tells: a licence; an empty string where its text is not known; or nothing."""
    last = PurePosixPath(name).name
    if last in _METADATA:
        return in_metadata(name, text)
    return in_text(text) or ("" if _WHOLE.match(last) and text.strip() else None)


def of_folders(told: Mapping[str, str | None]) -> dict[str, str]:
    """The licence of each folder that says one, by its path: its licence texts, or else its metadata.

    told: what each notice tells (`told_by`), by path. Of several texts that differ, all hold (`AND`), unless
    the metadata say how they go together, or they are called as licences that one may choose from. A text that is not
    known gives an empty string: what is below it is not under the licence of what is above.
    """
    texts: dict[str, dict[str, str]] = {}
    said: dict[str, str] = {}
    unknown: list[str] = []
    for name in sorted(told):
        path, found = PurePosixPath(name), told[name]
        folder = "" if str(path.parent) == "." else str(path.parent)
        if found == "":
            unknown.append(folder)
        elif found and path.name in _METADATA:
            said.setdefault(folder, found)
        elif found:
            texts.setdefault(folder, {}).setdefault(found, path.name)
    licenses = dict(said)
    for folder, found_in in texts.items():
        names = sorted(found_in)
        metadata = said.get(folder, "")
        if len(names) > 1 and set(_identifiers(metadata)) == set(names):
            continue
        choice = (
            len(names) > 1
            and all(" " not in name for name in names)
            and all(re.match(r"licen[cs]e[-_]", file, re.I) for file in found_in.values())
        )
        licenses[folder] = (" OR " if choice else " AND ").join(names)
        # A text cannot say whether later versions may be chosen; metadata can.
        if len(names) == 1 and metadata.removesuffix("-or-later") == names[0].removesuffix("-only"):
            licenses[folder] = metadata
    return {**dict.fromkeys(unknown, ""), **licenses}


def of_file(path: str, folders: Mapping[str, str]) -> str | None:
    """The licence of the nearest folder above a file that says one."""
    folder = PurePosixPath(path).parent
    for above in (folder, *folder.parents):
        if (found := folders.get("" if str(above) == "." else str(above))) is not None:
            return found or None
    return None


def spelled(said: str | Sequence[Any] | None) -> str | None:
    """What a table says, as SPDX spells it; of a list all hold."""
    names = [said] if isinstance(said, str) else [str(name) for name in said or ()]
    return " AND ".join(sorted({_SPELLED.get(name.lower(), name) for name in names if name})) or None


def is_permissive(license: str | None) -> bool:
    """Whether an SPDX expression allows use in nearly any way: of `OR` one part, of `AND` all."""
    return bool(license) and holds(license or "", lambda part: part.split(" WITH ")[0].strip() in PERMISSIVE)


def _identifiers(expression: str) -> list[str]:
    return [part for part in re.split(r" (?:AND|OR|WITH) |[()]", expression) if part]


def _is_known(expression: str) -> bool:
    """Whether all of its names could be SPDX's: they are in this file, or have a version or number of clauses."""
    return all(
        name in PERMISSIVE or name in _TEXTS or re.search(r"-\d", name) is not None for name in _identifiers(expression)
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _string(value: Any, key: str) -> str:
    """A string, or the one that an object has under a key."""
    value = value.get(key) if isinstance(value, dict) else value
    return value if isinstance(value, str) else ""

"""Which licence source code is under: by what it says itself, the licence texts beside it, its package's metadata.

A licence text is known by its sentences: of each licence a few that no other one has stand in `licenses.yaml`, and the
share of their trigrams of words that a text holds is the similarity. Names are SPDX identifiers.

None is what says nothing of a licence; an empty string is what says something that is not known, which is then not the
licence of the folders above either.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from firn.data import spdx
from firn.data.code import languages, notices

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

_LICENSE_NAME = re.compile(
    r"(?:(?:mit|bsd|apache|isc|[al]?gpl|mpl)[-_.])?(?:licen[cs]e|copying|unlicense|copyright)\d*(?:[-_.].*)?$",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"(?:licen[cs]e|copying)(?:\.(?:txt|md|rst))?$", re.IGNORECASE)
# `LICENSE-MIT`, `LICENSE.GPLv3`, `MIT-LICENSE.txt`: of such files one may choose.
_CHOICE = re.compile(r"(?:licen[cs]e[-_.])?([a-z]+?)(?:v?\d|[-_.]licen[cs]e|[^a-z]|$)", re.IGNORECASE)
_COMPANION = ".license"
#: What a licence text tells that takes back what it grants; its folder's licence is unknown, whatever else lies there.
_REFUSED = "NOASSERTION"
_RESTRICTS = re.compile(
    rf"\b(?:{notices.RESTRICTIVE}|fields? of use"
    r"|(?<!commercial or )(?<!commercial and )non ?commercial(?! (?:and|or) commercial)"
    r"|(?<!any )additional (?:terms|conditions|restrictions)|(?:not|no) (?:\w+ ){0,4}commercial (?:use|purposes?)"
    r"|commercial use (?:is |are )?(?:not|prohibited|forbidden|requires)"
    r"|(?:academic|research|educational|personal|evaluation) (?:\w+ ){0,3}only)\b"
)
# Where the licences of Python, and LLVM's exception, speak of the GPL and grant nothing by it.
_OF_OTHERS = re.compile(
    r"distributing python under the gpl|software that is (?:released|licensed) under the gpl"
    r"|conflicts with the conditions of the gpl|was previously distributed under the gnu general public license"
)
_METADATA = {"package.json", "composer.json", "pyproject.toml", "Cargo.toml", "setup.cfg"}
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

_SPELLED = {name.lower(): name for name in (*PERMISSIVE, *_TEXTS)}


def is_notice(name: str) -> bool:
    """Whether a file of this name may say under which licence its folder, or the file beside it, is."""
    last = PurePosixPath(name).name
    if last in _METADATA or last.endswith(_COMPANION):
        return True
    return _LICENSE_NAME.match(last) is not None and languages.by_name(last) is None


def in_header(text: str) -> str | None:
    """The licence that a source file itself names: by SPDX tags, of which all hold, or else by a copyleft notice."""
    if not (said := notices.tagged(text)):
        return notices.noticed(text)
    return "" if None in map(spdx.parse, said) else _all(said)


def in_text(text: str) -> str | None:
    """The licence whose text this is; where it holds the texts of several, or says that some of it is under a copyleft
    licence, all of them hold (`AND`)."""
    held = _trigrams(words := _words(text[:MAX_BYTES]))
    fits = {name for name, known in _KNOWN.items() if len(known & held) >= SIMILAR * len(known)}
    fits -= {less for more, less in _HOLDS if more in fits}
    if fits <= PERMISSIVE:
        said = notices.granted(_OF_OTHERS.sub("", whole := " ".join(words)))
        if _RESTRICTS.search(whole) or (fits and said == ""):
            return _REFUSED
        fits |= {said} if said else set()
    return " AND ".join(sorted(fits)) or None


def in_metadata(name: str, text: str) -> str | None:
    """The licence that a package's metadata name, where they name one that SPDX knows or people commonly mean."""
    last, said = PurePosixPath(name).name, ""
    try:
        if last.endswith(".json"):
            package = _dict(json.loads(text))
            said = _string(package.get("license") or package.get("licenses"), "type")
        elif last.endswith(".toml"):
            package = tomllib.loads(text)
            within = (_dict(package.get(key)).get(name) for key, name in (("tool", "poetry"), ("workspace", "package")))
            tables = (package.get("project"), package.get("package"), *within)
            said = next(filter(None, (_string(_dict(table).get("license"), "text") for table in tables)), "")
        elif found := _SETUP.search(text):
            said = found[1]
    except (ValueError, RecursionError):
        return None
    said = " ".join(said.split())
    if not said:
        return None
    said = _ALIASES.get(said.lower().rstrip("."), said)
    tree = spdx.parse(said)
    return _all([said]) if tree is not None and all(map(_is_known, spdx.terms(tree))) else ""


def told_by(name: str, text: str) -> str | None:
    """What a file that `is_notice` names tells."""
    last = PurePosixPath(name).name
    if last in _METADATA:
        return in_metadata(name, text)
    if last.endswith(_COMPANION) and (said := in_header(text)) is not None:
        return said
    return in_text(text) or in_header(text) or ("" if _WHOLE.match(last) and text.strip() else None)


def of_folders(told: Mapping[str, str | None]) -> dict[str, str]:
    """The licence of each folder that says one, by its path: its licence texts, or else its metadata; and of each file
    beside which lies what says one, by the path of that (`a.c.license`, as REUSE has it).

    told: what each notice tells (`told_by`), by path. Of several texts that differ, all hold (`AND`), unless
    the metadata say how they go together, or they are called as licences that one may choose from. Metadata that say
    more than a text does hold beside it. A text that is not known gives an empty string: what is below it is not under
    the licence of what is above.
    """
    texts: dict[str, dict[str, str]] = {}
    said: dict[str, dict[str, None]] = {}
    unknown: dict[str, str] = {}
    refused: dict[str, str] = {}
    licenses: dict[str, str] = {}
    for name in sorted(told):
        path, found = PurePosixPath(name), told[name]
        folder = "" if str(path.parent) == "." else str(path.parent)
        if found is None:
            continue
        if path.name.endswith(_COMPANION):
            licenses[name] = "" if found == _REFUSED else found
        elif found in ("", _REFUSED):
            (refused if found else unknown)[folder] = ""
        elif path.name in _METADATA:
            said.setdefault(folder, {})[found] = None
        else:
            texts.setdefault(folder, {}).setdefault(found, path.name)
    metadata = {folder: _all(names) for folder, names in said.items()}
    for folder, files in texts.items():
        # Beside a text that is not known another one may be of a part only.
        if folder in metadata or folder not in unknown or _are_choices(files):
            metadata[folder] = _of_texts(files, metadata.get(folder, ""))
    return {**licenses, **unknown, **metadata, **refused}


def _of_texts(texts: Mapping[str, str], metadata: str) -> str:
    """The licence of a folder. texts: licence -> the file that has its text. metadata: what they say, or nothing."""
    names = sorted(texts)
    if len(names) > 1 and (tree := spdx.parse(metadata)) and set(spdx.terms(tree)) == set(names):
        return metadata
    # A text cannot say whether later versions may be chosen; metadata can.
    if len(names) == 1 and metadata.removesuffix("-or-later") == names[0].removesuffix("-only"):
        return metadata
    whole = " OR ".join(names) if _are_choices(texts) else _all(names)
    return _all([whole, metadata]) if is_permissive(whole) and metadata and not is_permissive(metadata) else whole


def _are_choices(texts: Mapping[str, str]) -> bool:
    """Whether there are several licences, and the file of each is called as it is."""
    called = {license: _CHOICE.match(file) for license, file in texts.items()}
    return len(called) > 1 and all(
        found is not None and license.lower().startswith(found[1].lower()) for license, found in called.items()
    )


def of_file(path: str, folders: Mapping[str, str]) -> str | None:
    """The licence that stands beside a file, or else that of the nearest folder above it that says one."""
    if (own := folders.get(path + _COMPANION)) is not None:
        return own or None
    folder = PurePosixPath(path).parent
    for above in (folder, *folder.parents):
        if (found := folders.get("" if str(above) == "." else str(above))) is not None:
            return found or None
    return None


def spelled(said: str | Sequence[Any] | None) -> str | None:
    """What a table says, as SPDX spells it; of a list all hold. What is no expression stays as it is."""
    names = [said] if isinstance(said, str) else [str(name) for name in said or ()]
    return _all(sorted({(_SPELLED | _ALIASES).get(name.lower(), name) for name in names if name})) or None


def is_permissive(license: str | None) -> bool:
    """Whether an SPDX expression leaves a choice all of whose licences allow use in nearly any way."""
    return spdx.parse(license or "") is not None and spdx.holds(license or "", _is_permissive)


def _is_permissive(term: str) -> bool:
    name, _, exception = term.partition(" WITH ")
    # An exception permits more; what is called otherwise (`Commons-Clause`) may take away.
    return name.removesuffix("+") in PERMISSIVE and (not exception or "exception" in exception.lower())


def _all(names: Iterable[str]) -> str:
    """Licences that hold together, in SPDX's spelling; what is no expression stays as it is."""
    trees = [spdx.parse(name) or name for name in names]
    if not trees:
        return ""
    return spdx.written(spdx.joined("AND", trees), _spelled)


def _spelled(name: str) -> str:
    later = "+" if name.endswith("+") else ""
    return _SPELLED.get(name.lower().removesuffix("+"), name.removesuffix("+")) + later


def _is_known(term: str) -> bool:
    """Whether a name could be SPDX's: it is in this file, or has a version or number of clauses."""
    name = term.split(" WITH ")[0].lower()
    return name in _SPELLED or re.search(r"-\d", name) is not None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _string(value: Any, key: str) -> str:
    """A string, the one that an object has under a key, or of a list a choice of those (npm, composer)."""
    if isinstance(value, list):
        return " OR ".join(f"({part})" for part in (_string(each, key) for each in value[:20]) if part)
    value = value.get(key) if isinstance(value, dict) else value
    return value if isinstance(value, str) else ""

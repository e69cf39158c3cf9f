"""That no licence which forbids more is taken for a permissive one: expressions, notices, texts with more terms."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from firn.data.code import licenses, notices

sys.path.insert(0, str(Path(__file__).parent))
from test_code_facts import BSD, GPL, ISC, MIT, folders_of

TAG = "SPDX-" + "License-Identifier:"


@pytest.mark.parametrize(
    ("line", "license", "permissive"),
    [
        ("# {} (GPL-2.0-only OR BSD-3-Clause)", "GPL-2.0-only OR BSD-3-Clause", True),
        ("# {} GPL-3.0-or-later AND (MIT OR Apache-2.0)", "GPL-3.0-or-later AND (MIT OR Apache-2.0)", False),
        ("# {} MIT AND (GPL-3.0-only OR GPL-2.0-only)", "MIT AND (GPL-3.0-only OR GPL-2.0-only)", False),
        ("# {} (GPL-2.0-only)", "GPL-2.0-only", False),
        ("/* {} ((GPL-2.0 WITH Linux-syscall-note) OR MIT) */", "GPL-2.0 WITH Linux-syscall-note OR MIT", True),
        ("// {} MIT and GPL-2.0-only", "MIT AND GPL-2.0-only", False), ("// {} MIT/GPL-2.0", "MIT OR GPL-2.0", True),
        ("// {} LicenseRef-Proprietary", "LicenseRef-Proprietary", False), ("{}MIT", "MIT", True),
        ("{} gpl-2.0+", "gpl-2.0+", False), ("{} apache-2.0+", "Apache-2.0+", True), ("* {} MIT.", "MIT", True),
        ("# {} Apache-2.0 OR\n# MIT\nx", "Apache-2.0 OR MIT", True), ("<!-- {} MIT --> GPL", "MIT", True),
        ("# {} (MIT AND\n#   GPL-2.0-only)\nx", "MIT AND GPL-2.0-only", False), ('"{} MIT",', "MIT", True),
        ("# {} MIT/\n# GPL-2.0", "MIT OR GPL-2.0", True), ("# {} (MIT\r\n# AND ISC)\r\n", "MIT AND ISC", True),
        ("# {} MIT\n# {} GPL-2.0-only", "MIT AND GPL-2.0-only", False), ("# {} MIT\n# {} MIT", "MIT", True),
        ("# {} Apache-2.0 WITH Commons-Clause", "Apache-2.0 WITH Commons-Clause", False),
        ("# spdx-license-identifier: MIT", "MIT", True), ("|* {} MIT  *|\n|* x *|", "MIT", True),
        # What is no expression is unknown, and never the folder's licence.
        ("# {}", "", False), ("# {} MIT, GPL-2.0-only", "", False), ("# {} MIT,\n# GPL-2.0", "", False),
        ("# {} MIT & GPL-2.0-only", "", False), ("# {} (MIT", "", False), ("# {} MIT | GPL-2.0", "", False),
        ("# {} MIT GPL-2.0", "", False), ("# {} see LICENSE.txt", "", False), ("# {} MIT\n# {} ?", "", False),
        ("# {} MIT [and GPL-2.0]", "", False), ("# {} MIT # or not", "", False), ("x", None, False),
    ],
)  # fmt: skip
def test_spdx_tags_are_read_whole(line: str, license: str | None, permissive: bool) -> None:
    found = licenses.in_header(line.replace("{}", TAG))
    assert found == license
    assert licenses.is_permissive(found) == permissive


def notice(license: str, version: str) -> str:
    return (
        "/*\n * Copyright 2020 Somebody\n *\n * This program is free software; you can redistribute it and/or modify\n"
        f" * it under the terms of the {license} as published by\n * the Free Software Foundation; {version}\n */\n"
    )


LATER = "either version 2 of the License, or\n * (at your option) any later version."


@pytest.mark.parametrize(
    ("text", "license"),
    [
        (notice("GNU General Public License", LATER), "GPL-2.0-or-later"),
        (notice("GNU General\n * Public License", "version 3."), "GPL-3.0-only"),
        (notice("GNU Lesser General Public License", "version 2.1 of the License."), "LGPL-2.1-only"),
        (notice("GNU Library General Public License", LATER), "LGPL-2.0-or-later"),
        (notice("GNU Affero General Public License", "version 3 of the License."), "AGPL-3.0-only"),
        (notice("GNU General Public License", "see COPYING."), "GPL-1.0-or-later"),
        ("REM under the terms of the GNU\nREM General\nREM Public License version 2 only", "GPL-2.0-only"),
        ("C     under the terms of version 2 of the GNU General\nC     Public License", "GPL-2.0-only"),
        ("# This Source Code Form is subject to the terms of the Mozilla Public\n# License, v. 2.0. If", "MPL-2.0"),
        ("# subject to the Mozilla Public License Version 1.1 (the License)", "MPL-1.1"),
        ("# License: GPLv3+\n", "GPL-3.0-or-later"), ("# Licensed under the GPL.", "GPL-1.0-or-later"),
        ('MODULE_LICENSE("GPL v2");', "GPL-2.0-only"), ("# released under LGPL 2.1 or later", "LGPL-2.1-or-later"),
        (notice("GNU General Public License", LATER + " Under section 7 of GPL version 2"), "GPL-2.0-or-later"),
        (" * Dual licensed under the MIT or GPL Version 2 licenses.", ""),
        (notice("GNU General Public License", "version 2.\n * Alternatively, under the terms of the BSD license"), ""),
        ("// Licensed under the Elastic License 2.0", ""), ("# subject to the Commons Clause license", ""),
        ("# under the AGPL version 7", ""),
        ("# Licensed under the Apache License, Version 2.0", None), ("public class License {}", None),
        ("# see the GNU General Public License for more details", None), ("# a parser of gpl files", None),
        ("/* " + ISC + " */", None), ("/* " + MIT + " */", None), ("/* " + BSD + " */", None),
        ("# under a Creative Commons Attribution 4.0 International Public License", None),
    ],
)  # fmt: skip
def test_copyleft_notices_are_known_by_their_words(text: str, license: str | None) -> None:
    assert licenses.in_header(text) == license
    assert licenses.in_header("x = 1\n" + text + "\nx = 2\n") == license


def test_a_tag_says_more_than_a_notice() -> None:
    both = f"// {TAG} GPL-2.0-only OR MIT\n" + notice("GNU General Public License", LATER)
    assert licenses.in_header(both) == "GPL-2.0-only OR MIT"
    assert licenses.in_header("\n" * notices.HEAD + f"# {TAG} MIT") is None


COMMONS = (
    '"Commons Clause" License Condition v1.0\n\nThe Software is provided to you under the License. License: MIT\n\n'
)


@pytest.mark.parametrize(
    "text",
    [
        COMMONS + MIT, MIT + "\nThis software may be used for NON-COMMERCIAL purposes only.\n",
        MIT + "\nCommercial use requires a paid licence.\n", BSD + "* Fields of use: none but research.\n",
        MIT + "\nIt may not be used for any commercial purpose.\n", ISC + "\nFor academic use only.\n",
        MIT + "\nADDITIONAL TERMS\nYou must say thanks.\n", "Business Source License 1.1\nLicensor: X\n" + MIT,
        "Server Side Public License\nVERSION 1\n", "Elastic License 2.0\n\nAcceptance", MIT + "not for commercial use",
    ],
)  # fmt: skip
def test_a_licence_text_that_takes_something_back_is_unknown(text: str) -> None:
    for files in (
        {"LICENSE": text},
        {"LICENSE": text, "package.json": '{"license": "MIT"}'},
        {"LICENSE-FULL.md": text, "LICENSE": MIT, "COPYING": ISC},
    ):
        assert folders_of(files)[""] == ""
        assert (
            licenses.of_file("a/b.py", folders_of({"LICENSE": MIT, **{f"a/{k}": v for k, v in files.items()}})) is None
        )


def test_a_permissive_text_that_speaks_of_a_copyleft_licence_is_under_both() -> None:
    """As the file `copyright` of a Debian package, or a licence of parts that are under others."""
    parts = f"Files: *\nLicense: GPL-3\n\nFiles: lib/*\nLicense: ISC\n{ISC}"
    assert folders_of({"debian/copyright": parts})["debian"] == "GPL-3.0-only AND ISC"
    mixed = MIT + "\nThe folder x is under the terms of the Mozilla Public License, version 2.0.\n"
    assert licenses.in_text(mixed) == "MIT AND MPL-2.0"
    assert folders_of({"LICENSE": "Dual licensed under MIT or GPL.\n" + MIT}) == {"": ""}
    assert folders_of({"LICENSE": notice("GNU General Public License", LATER)}) == {"": "GPL-2.0-or-later"}
    assert folders_of({"COPYING": f"{TAG} GPL-2.0 WITH Linux-syscall-note"}) == {"": "GPL-2.0 WITH Linux-syscall-note"}
    python = licenses._TEXTS["PSF-2.0"] + (
        " GPL-compatible doesn't mean that we're distributing Python under the GPL. They make it possible to combine "
        "Python with other software that is released under the GPL."
    )
    llvm = licenses._TEXTS["Apache-2.0"] + (
        " If you combine this Software with software that is licensed under the GPLv2, and it conflicts with the "
        "conditions of the GPLv2, you may choose to waive it."
    )
    assert (licenses.in_text(python), licenses.in_text(llvm)) == ("PSF-2.0", "Apache-2.0")


def test_files_that_may_hold_a_licence() -> None:
    names = "LICENSE licence.txt LICENSE-MIT COPYING COPYING3.LIB COPYING.LESSER MIT-LICENSE gpl_license.txt UNLICENSE"
    for name in (*names.split(), "copyright", "a/package.json", "a/x.c.license"):
        assert licenses.is_notice(name), name
    for name in ("license.py", "license.ts", "copyright.h", "licenses.txt", "my-license", "LICENSING", "relicense.md"):
        assert not licenses.is_notice(name), name


def test_what_licences_say_of_themselves_takes_nothing_back() -> None:
    unlicense = licenses._TEXTS["Unlicense"] + " for any purpose, commercial or non-commercial, and by any means."
    assert licenses.in_text(unlicense) == "Unlicense"
    apache = licenses._TEXTS["Apache-2.0"] + " under this License, without any additional terms or conditions."
    assert licenses.in_text(apache) == "Apache-2.0"
    assert licenses.in_text(GPL + "allowed only for noncommercial distribution. ADDITIONAL TERMS") == "GPL-3.0-only"


def test_files_called_as_their_licences_leave_a_choice_and_others_do_not() -> None:
    assert folders_of({"LICENSE.MIT": MIT, "LICENSE.GPL": GPL}) == {"": "GPL-3.0-only OR MIT"}
    assert folders_of({"LICENSE-MIT.txt": MIT, "license_gplv3.md": GPL}) == {"": "GPL-3.0-only OR MIT"}
    assert folders_of({"MIT-LICENSE.txt": MIT, "GPL-LICENSE.txt": GPL}) == {"": "GPL-3.0-only OR MIT"}
    for names in (("LICENSE.md", "LICENSE.txt"), ("LICENSE-lodash", "LICENSE-ours"), ("LICENSE", "LICENSE.GPL")):
        assert folders_of(dict(zip(names, (MIT, GPL), strict=True))) == {"": "GPL-3.0-only AND MIT"}
    # Beside a text that is not known, another one may be of a part.
    assert folders_of({"LICENSE": "All rights reserved.", "LICENSE-lodash": MIT}) == {"": ""}
    assert (
        folders_of({"LICENSE": "MIT or ISC, as you like.", "LICENSE-MIT": MIT, "LICENSE-ISC": ISC})[""] == "ISC OR MIT"
    )


@pytest.mark.parametrize(
    ("name", "text", "license"),
    [
        ("package.json", '{"license": "(MIT OR GPL-2.0)"}', "MIT OR GPL-2.0"),
        ("package.json", '{"licenses": [{"type": "MIT"}, {"type": "GPL-2.0"}]}', "MIT OR GPL-2.0"),
        ("composer.json", '{"license": ["LGPL-2.1-only", "GPL-3.0-or-later"]}', "LGPL-2.1-only OR GPL-3.0-or-later"),
        ("Cargo.toml", '[package]\nlicense = "MIT/Apache-2.0"', "MIT OR Apache-2.0"),
        ("Cargo.toml", '[workspace.package]\nlicense = "mit"', "MIT"),
        ("Cargo.toml", "[package]\nlicense.workspace = true", None),
        ("pyproject.toml", '[tool.poetry]\nlicense = "GPL-3.0-only"', "GPL-3.0-only"),
        ("package.json", '{"license": "SEE LICENSE IN X.md"}', ""), ("package.json", '{"license": "UNLICENSED"}', ""),
        ("package.json", '{"license": "MIT, GPL-2.0"}', ""), ("package.json", '{"license": "MIT AND Odd"}', ""),
        ("package.json", "{}", None), ("package.json", '{"license": [[[]], 1, {"type": {}}]}', None),
    ],
)  # fmt: skip
def test_metadata(name: str, text: str, license: str | None) -> None:
    assert licenses.in_metadata(name, text) == license


def test_what_metadata_say_is_never_less_than_the_text() -> None:
    gpl = '{"license": "GPL-3.0-only"}'
    assert folders_of({"LICENSE": MIT, "package.json": gpl}) == {"": "MIT AND GPL-3.0-only"}
    assert folders_of({"COPYING": GPL, "package.json": '{"license": "MIT"}'}) == {"": "GPL-3.0-only"}
    assert folders_of({"composer.json": '{"license": "MIT"}', "package.json": gpl}) == {"": "MIT AND GPL-3.0-only"}
    sub = folders_of({"LICENSE": MIT, "sub/package.json": '{"license": "UNLICENSED"}'})
    assert licenses.of_file("sub/a.js", sub) is None


def test_a_companion_speaks_of_its_file() -> None:
    folders = folders_of(
        {
            "LICENSE": MIT,
            "side.c.license": f"{TAG} GPL-3.0-only\n",
            "odd.c.license": f"{TAG} what?\n",
            "old.c.license": notice("GNU General Public License", LATER),
            "isc.c.license": ISC,
            "none.c.license": "import os\n",
        }
    )
    of = {name: licenses.of_file(f"{name}.c", folders) for name in ("side", "odd", "old", "isc", "none", "other")}
    assert of == {
        "side": "GPL-3.0-only", "odd": None, "old": "GPL-2.0-or-later", "isc": "ISC", "none": "MIT", "other": "MIT",
    }  # fmt: skip
    assert licenses.of_file("side.c/x.c", folders) == "MIT", "a companion speaks of no folder"


def test_heads_that_are_made_to_take_long_do_not() -> None:
    """Linear, or thousands of times longer than anyone would wait."""
    rng = random.Random(1)
    words = [
        "under ",
        "license ",
        "gpl ",
        "public ",
        "\n",
        "* ",
        "((",
        "or ",
        "later ",
        "2 ",
        "-",
        f"{TAG} (MIT OR\n",
        TAG,
    ]
    for _ in range(20):
        piece = "".join(rng.choices(words, k=4))
        licenses.in_header(piece * (200_000 // len(piece)))
    licenses.in_header((TAG + "a ") * 600 + "a" * (1 << 20))
    licenses.in_text("not " * 60_000)
    licenses.in_text("additional research " * 10_000)

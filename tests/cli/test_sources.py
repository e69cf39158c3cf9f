"""`firn sources`: what it lists, from a server with Common Crawl's layout."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from firn.cli.main import execute

sys.path.insert(0, str(Path(__file__).parents[1] / "data/sources"))
from cc_server import CRAWL, make, serving


def test_crawls_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path)
    with serving(tmp_path) as server:
        assert execute(["sources", "commoncrawl", "list", "--base", server.url]) == 0
        assert execute(["sources", "commoncrawl", "list", "--base", server.url, "--json"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out[:2]] == ["CC-MAIN-2024-26", CRAWL]
    assert [json.loads(line)["id"] for line in out[2:]] == ["CC-MAIN-2024-26", CRAWL]


def test_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["sources", "commoncrawl", "list", "--help"]) == 0
    assert "Example: firn sources commoncrawl list" in capsys.readouterr().out


def test_a_base_without_a_list_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["sources", "commoncrawl", "list", "--base", str(tmp_path)]) == 1
    (tmp_path / "collinfo.json").write_text("[1]")
    assert execute(["sources", "commoncrawl", "list", "--base", str(tmp_path)]) == 1
    assert "mend:" in capsys.readouterr().err

"""The recipes that the guide to each source shows are recipes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from firn.run.recipe import load

PAGES = sorted((Path(__file__).parents[2] / "docs" / "sources").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_recipe_on_the_page(page: Path, tmp_path: Path) -> None:
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL) if "sources:" in block]
    assert blocks
    for block in blocks:
        path = tmp_path / "shown.yaml"
        path.write_text(block)
        assert page.stem in {source.kind for source in load(path).sources.values()}

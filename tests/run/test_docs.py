"""The recipes in the guides to objectives and models are read as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from firn.core.errors import FirnError
from firn.run.planning import plan
from firn.run.recipe import Recipe, load, schema

ROOT = Path(__file__).parents[2]
NEEDS_A_RUN = "# firn: needs a finished run"


def blocks(name: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / name).read_text(), re.DOTALL)


@pytest.mark.parametrize("block", [*blocks("objectives.md"), *blocks("models.md")])
def test_a_snippet_is_a_recipe(block: str, tmp_path: Path) -> None:
    base = yaml.safe_load((ROOT / "recipes" / "quickstart.yaml").read_text())
    for section, keys in yaml.safe_load(block).items():
        replaces = section == "model" or keys.get("objective") == "masked"
        base[section] = keys if replaces else {**base.get(section, {}), **keys}
    if "masked" in block:
        del base["watch"]["prompts"]
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(base))
    recipe = load(file)
    assert Recipe.model_validate(recipe.resolved()) == recipe
    jsonschema.validate(base, schema())
    jsonschema.validate(recipe.resolved(), schema())
    if NEEDS_A_RUN in block:
        with pytest.raises(FirnError, match=r"cannot be read|no run of this name"):
            plan(recipe, tmp_path / "runs")


def test_the_recipe_for_an_encoder_is_read() -> None:
    recipe = load(ROOT / "recipes" / "masked.yaml")
    assert recipe.train.objective == "masked"
    assert recipe.tokenizer.special_tokens[-1] == "<|mask|>"


def test_every_page_is_linked_from_the_readme_and_the_contents() -> None:
    pages = set((ROOT / "docs").rglob("*.md")) - {ROOT / "docs" / "README.md"}
    for name in ("README.md", "docs/README.md"):
        file = ROOT / name
        links = re.findall(r"\]\(([^)#:]+)\)", file.read_text())
        targets = {(file.parent / link).resolve() for link in links}
        assert all(target.exists() for target in targets)
        assert pages <= targets


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_fences_stand_on_lines_of_their_own(page: Path) -> None:
    fences = [line for line in page.read_text().splitlines() if "```" in line]
    assert all(re.fullmatch(r" {0,6}```[a-z]*", line) for line in fences)
    assert len(fences) % 2 == 0

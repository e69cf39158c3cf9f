"""Reading settings: every mistake is named by line, key and nearest valid name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from firn.core.errors import InputError, RecipeError
from firn.core.settings import Settings
from firn.run.reading import PLACED, read


class Rules(Settings):
    preset: str = "none"
    off: dict[str, str] = Field(default_factory=dict)
    bounds: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Rules:
        if self.preset == "finewebb":
            raise RecipeError("unknown preset 'finewebb'", key="preset", mend="did you mean 'fineweb'?")
        return self


class Warc(Settings):
    kind: Literal["warc"] = "warc"
    paths: list[str]
    """What is read."""
    rules: Annotated[Rules, PLACED] = Rules()


class Code(Settings):
    kind: Literal["code"] = "code"
    paths: list[str]
    suffix: str | None = None


class Train(Settings):
    steps: int = Field(default=100, gt=0)
    """Optimizer steps."""
    lr: float = 0.01


class Tree(Settings):
    name: str
    sources: dict[str, Annotated[Warc | Code, Field(discriminator="kind")]]
    train: Train = Train()


GOOD = """\
sources:
  web:
    kind: warc
    paths: [a.warc.gz]
    rules:
      off: {fineweb.newlines: they are code}
  code:
    kind: code
    paths: [src]
train:
  steps: 1_000
  lr: 1e-3
"""


@pytest.fixture
def tree(tmp_path: Path):
    def load(text: str, *overrides: str) -> Tree:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return read(Tree, path, overrides, {"name": "recipe"})

    return load


def test_yaml_words_are_words_and_numbers_are_numbers(tree) -> None:
    recipe = tree(GOOD)
    assert recipe.name == "recipe"
    assert recipe.sources["web"].rules.off == {"fineweb.newlines": "they are code"}  # `off` is no boolean
    assert (recipe.train.steps, recipe.train.lr) == (1000, 0.001)


def test_overrides_reach_every_depth_and_names_with_dots(tree) -> None:
    recipe = tree(
        GOOD,
        "train.steps=7",
        "sources.web.rules.bounds.fineweb.char_duplicates=0.5",
        "sources.code.suffix=yes",
        "sources.web.paths=[x, y]",
        "name=other",
    )
    assert recipe.train.steps == 7
    assert recipe.sources["web"].rules.bounds == {"fineweb.char_duplicates": 0.5}
    assert recipe.sources["code"].suffix == "yes"
    assert recipe.sources["web"].paths == ["x", "y"]
    assert recipe.name == "other"


def test_an_override_may_make_what_the_file_leaves_out(tree) -> None:
    text = "sources: {web: {kind: warc, paths: [a]}}\n"
    assert tree(text, "train.steps=3").train.steps == 3
    assert tree(text + "train:\n", "train.steps=3").train.steps == 3


MISTAKES = [
    (GOOD.replace("steps", "stepz"), "recipe.yaml:11", "train.stepz", "did you mean 'steps'"),
    (GOOD + "steps: 3\n", "recipe.yaml:13", "steps", "did you mean 'train.steps'"),
    (GOOD.replace("a.warc.gz]", "a]\n    suffix: x"), "recipe.yaml:5", "sources.web.suffix", "leave it out"),
    (GOOD.replace("[src]", "5"), "recipe.yaml:9", "sources.code.paths", None),
    (GOOD.replace("[src]", "src/a"), "recipe.yaml:9", "sources.code.paths", "write `[src/a]`"),
    (GOOD.replace("[src]", "[1]"), "recipe.yaml:9", "sources.code.paths.0", None),
    (GOOD.replace("kind: warc", "kind: wrac"), "recipe.yaml:2", "sources.web.kind", "did you mean 'warc'"),
    (GOOD.replace("    kind: warc\n", ""), "recipe.yaml:2", "sources.web", "warc, code"),
    (GOOD.replace("    paths: [src]\n", ""), "recipe.yaml:7", "sources.code.paths", "add it"),
    (GOOD.replace("1_000", "-1"), "recipe.yaml:11", "train.steps", "Optimizer steps."),
    (GOOD.replace("1_000", "many"), "recipe.yaml:11", "train.steps", "Optimizer steps."),
    (
        GOOD.replace("rules:", "rules:\n      preset: finewebb"),
        "recipe.yaml:5",
        "sources.web.rules.preset",
        "'fineweb'",
    ),
    (GOOD.replace("train:", "sources:"), "recipe.yaml:10", "sources", "take one of them away"),
    (GOOD.replace("  lr: 1e-3", "  steps: 3"), "recipe.yaml:12", "steps", "take one of them away"),
    (GOOD.replace("steps: 1_000", "steps 1_000"), "recipe.yaml:", None, "indentation"),
    ("- a\n", "recipe.yaml", None, None),
    ("a: \x00\n", "recipe.yaml", None, None),
    ("", "recipe.yaml", "sources", "add it"),
    ("sources: {}\nsources.web: 3\n", "recipe.yaml:2", "sources.web", None),
]


@pytest.mark.parametrize(("text", "where", "key", "mend"), MISTAKES)
def test_a_mistake_is_named(tree, text: str, where: str, key: str | None, mend: str | None) -> None:
    with pytest.raises(RecipeError) as caught:
        tree(text)
    assert where in (caught.value.where or "")
    assert caught.value.key == key
    assert mend is None or mend in (caught.value.mend or "")


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("train.stepz=5", "unknown key"),
        ("train.steps", "key=value"),
        ("train.steps=[", "not YAML"),
        ("train.steps.x=1", "no keys below"),
        ("train.steps=0", "greater than 0"),
    ],
)
def test_a_wrong_override_is_named_as_it_was_typed(tree, override: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=problem) as caught:
        tree(GOOD, override)
    assert override in (caught.value.where or "")


def test_a_key_of_another_kind_is_not_offered_again(tree) -> None:
    with pytest.raises(RecipeError, match="kind warc has no such key, though others have") as caught:
        tree(GOOD, "sources.web.suffix=x")
    assert caught.value.mend == (
        "leave it out (on the command line: give the section anew, sources.web={...}); there are: kind, paths, rules"
    )


def test_several_mistakes_are_counted(tree) -> None:
    with pytest.raises(RecipeError, match="2 more"):
        tree(GOOD.replace("steps: 1_000", "stepz: 1\n  lrr: 1").replace("[src]", "5"))


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read(Tree, tmp_path / "absent.yaml")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "noise.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(RecipeError, match="UTF-8"):
        read(Tree, tmp_path / "noise.yaml")

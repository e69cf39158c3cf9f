"""The form of a preset file, and reading one: what is wrong in it is told with the nearest right name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import TypeVar, get_args

import yaml
from pydantic import Field, ValidationError

from firn.core.errors import RecipeError
from firn.core.settings import Settings
from firn.data.filter import Bound
from firn.data.measure import Edit, EditName, Family, Point

Table = TypeVar("Table", bound=Settings)


class _Words(yaml.SafeLoader):
    """YAML in which `off`, `on`, `yes` and `no` are words, as YAML 1.2 has it."""

    yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class CitedEdit(Edit):
    """An edit and where it comes from."""

    source: str
    """Key of `sources`."""

    def uncited(self) -> Edit:
        """What changes bytes."""
        return Edit(**self.model_dump(exclude={"source"}))


class CitedBound(Bound):
    """A bound and where it comes from."""

    source: str
    """Key of `sources`."""

    def uncited(self) -> Bound:
        """What changes decisions."""
        return Bound(**self.model_dump(exclude={"source"}))


class Language(Settings):
    """How the language is told."""

    bytes: int = Field(ge=0)
    """UTF-8 bytes from the start of the text; 0: it is not told."""
    of_file: bool = False
    """Of a source file, it is that of the file (Python, JSON), which limits by language then go by."""


class Change(Settings):
    """Another limit for a rule of the preset that is extended."""

    limit: float | tuple[str, ...] | dict[str, float]
    """The limit, on the same side as before; or limits by language, beside the general one."""
    reason: str
    """Why."""


class ByLanguage(Settings):
    """What rules ask of one language."""

    stop_words: tuple[str, ...] = ()
    """Words that a text in it is full of. ~ before one: it is looked for anywhere, as endings are."""
    limits: dict[str, float] = {}
    """Rule -> limit."""
    also: dict[str, dict[str, float]] = {}
    """Codes that other models give the language -> rules with limits of their own for that model."""


class LanguageTable(Settings):
    """A file of languages."""

    about: str
    """What it is for."""
    languages: dict[str, ByLanguage]
    """Code of the language, as lid.176 has it -> what is asked of it."""

    def entries(self) -> dict[str, ByLanguage]:
        """An entry for every code."""
        found = dict(self.languages)
        for entry in self.languages.values():
            for code, limits in entry.also.items():
                found[code] = ByLanguage(stop_words=entry.stop_words, limits={**entry.limits, **limits})
        return found


class UrlTable(Settings):
    """A file of scored words in URLs (firn.data.urls)."""

    about: str
    """What it is for."""
    words: dict[str, float] = {}
    """Word -> score."""
    subwords: dict[str, float] = {}
    """String -> score."""


class Preset(Settings):
    """A preset file."""

    about: str
    """What it is for."""
    extends: str | None = None
    """Preset whose steps and bounds come first."""
    sources: dict[str, str] = Field(default={})
    """Where edits and bounds come from: short name -> citation."""
    language: Language | None = None
    """How the language is told."""
    languages: str | None = None
    """File of languages (LanguageTable): the name of a table of firn, or a path from the preset's folder."""
    url: str | None = None
    """File of scored words in URLs (UrlTable), likewise; without one, URLs are not looked at."""
    steps: tuple[Point | CitedEdit, ...] = ()
    """Points and edits, in order, in place of those of the preset that is extended."""
    bounds: tuple[CitedBound, ...] = ()
    """Rules, in order, after those of the preset that is extended."""
    off: dict[str, str] = Field(default={})
    """Rules and edits of the extended preset that do not hold, and why."""
    changed: dict[str, Change] = Field(default={})
    """Rules of the extended preset with other limits."""

    @property
    def edits(self) -> tuple[CitedEdit, ...]:
        """The edits, in order."""
        return tuple(step for step in self.steps if isinstance(step, CitedEdit))


def names() -> list[str]:
    """The presets that come with firn."""
    folder = resources.files("firn.data") / "presets"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def read(name: str) -> Preset:
    """A preset by name, or by path where it ends in .yaml or .yml.

    Raises RecipeError where there is none, or it is not of the form.
    """
    if name.endswith((".yaml", ".yml")):
        return _parsed(Preset, _text(Path(name), name), name)
    if name not in names():
        raise RecipeError(f"unknown preset {name!r}", key="preset", mend=near(name, names()))
    return _parsed(Preset, (resources.files("firn.data") / "presets" / f"{name}.yaml").read_text("utf-8"), name)


def read_table(form: type[Table], name: str, preset: str) -> Table:
    """A table that a preset names, beside the preset's file where the name ends in .yaml or .yml.

    Raises RecipeError where there is none, or it is not of the form.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(preset).parent / name
        return _parsed(form, _text(path, preset), str(path))
    folder = resources.files("firn.data") / "presets" / "tables"
    known = sorted(file.name.removesuffix(".yaml") for file in folder.iterdir())
    if name not in known:
        raise RecipeError(f"unknown table {name!r}", where=preset, mend=near(name, known))
    return _parsed(form, (folder / f"{name}.yaml").read_text("utf-8"), name)


def _text(path: Path, where: str) -> str:
    if not path.is_file():
        raise RecipeError(f"there is no file {str(path)!r}", where=where, mend="check the path")
    return path.read_text(encoding="utf-8")


def _parsed(form: type[Table], text: str, where: str) -> Table:
    try:
        return form.model_validate(yaml.load(text, _Words))
    except yaml.YAMLError as error:
        raise RecipeError(f"not YAML: {error}", where=where, mend="mend the file") from error
    except ValidationError as error:
        raise _translated(error, where) from error


def near(name: str, known: Iterable[str]) -> str:
    """A mend that says which of the known names is nearest."""
    ordered = sorted(known)
    close = difflib.get_close_matches(name, ordered, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are: {', '.join(ordered)}" if ordered else "there are none"


_FORMS = (Preset, CitedEdit, CitedBound, Point, Language, Change, LanguageTable, ByLanguage, UrlTable)
_KEYS = {key for form in _FORMS for key in form.model_fields}


def _translated(error: ValidationError, where: str) -> RecipeError:
    """The most telling of pydantic's complaints: an unknown edit or family, else the first."""
    problems = error.errors()
    problem = next((p for p in problems if p["type"] == "literal_error"), problems[0])
    key = ".".join(str(part) for part in problem["loc"] if part not in ("Point", "CitedEdit"))
    if problem["type"] == "literal_error":
        kind, known = ("edit", EditName) if "edit" in problem["loc"] else ("family", Family)
        value = str(problem["input"])
        return RecipeError(f"unknown {kind} {value!r}", where=where, key=key, mend=near(value, get_args(known)))
    if problem["type"] == "extra_forbidden":
        return RecipeError("unknown key", where=where, key=key, mend=near(str(problem["loc"][-1]), _KEYS))
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return RecipeError(message, where=where, key=key or None, mend="see the presets that come with firn")

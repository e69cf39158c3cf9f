"""Rules as data: presets, and what a recipe changes in them.

A preset is a YAML file: an ordered list of steps (points where signals are measured, edits between them) and of bounds,
each with its source. Steps and bounds are apart from here on: `MeasureSettings` has all that changes a measurement,
`FilterSettings` all that changes a decision, so that a changed bound measures nothing again.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from firn.core.errors import RecipeError
from firn.core.settings import Settings
from firn.data.filter import MAX_BOUNDS, Bound, FilterSettings
from firn.data.measure import Edit, EditName, Family, MeasureSettings, Point
from firn.data.signals import FAMILY

#: Columns of the measurement that are no point's signals.
DOCUMENT_SIGNALS = ("language", "language_score")


class Rules(Settings):
    """A preset, resolved: what `extends` says is done."""

    measure: MeasureSettings
    """What is measured."""
    bounds: tuple[Bound, ...]
    """Rules in force."""
    off: dict[str, str]
    """Rules switched off, and why."""
    sources: dict[str, str]
    """Rule or edit -> where it comes from."""


class RulesSettings(Settings):
    """A recipe's rules for one source: a preset and what is changed in it."""

    preset: str = "none"
    """A preset of firn (fineweb, reference-docs, code, none), or the path of a YAML file of the same form."""
    off: dict[str, str] = Field(default={})
    """Rules to switch off, each with the reason."""
    bounds: dict[str, float | tuple[str, ...]] = Field(default={})
    """Other limits, by rule."""
    language_characters: int | None = Field(default=None, ge=0)
    """Characters by which the language is told; the preset's own number by default."""

    @model_validator(mode="after")
    def _known(self) -> RulesSettings:
        self.resolve()
        return self

    def resolve(self) -> Rules:
        """The rules in force. Raises RecipeError for an unknown preset, rule or signal."""
        rules = load(self.preset)
        if self.language_characters is not None:
            measure = rules.measure.model_copy(update={"language_characters": self.language_characters})
            rules = rules.model_copy(update={"measure": measure})
        return _changed(rules, self.off, self.bounds, f"rules ({self.preset})")

    @property
    def measure(self) -> MeasureSettings:
        """Settings of the stage measure."""
        return self.resolve().measure

    @property
    def filter(self) -> FilterSettings:
        """Settings of the stage filter."""
        return FilterSettings(bounds=self.resolve().bounds)


def presets() -> list[str]:
    """Names of the presets that come with firn."""
    folder = resources.files("firn.data") / "presets"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def load(name: str) -> Rules:
    """A preset by name, or by path where it ends in .yaml or .yml.

    Raises RecipeError where there is none, or where it has an unknown key, family, edit, signal, rule or source.
    """
    return _load(name, ())


def _load(name: str, within: tuple[str, ...]) -> Rules:
    if name in within:
        raise RecipeError("the presets extend one another in a circle", where=name, mend="take one `extends` away")
    raw = _read(name)
    base = _load(raw.pop("extends"), (*within, name)) if "extends" in raw else None
    try:
        preset = _Preset.model_validate(raw)
    except ValidationError as error:
        raise _translated(error, name) from error
    sources = dict(base.sources) if base else {}
    steps: list[Point | Edit] = []
    for step in preset.steps:
        if isinstance(step, _CitedEdit):
            sources[step.edit] = _cited(preset, step.source, name, step.edit)
            steps.append(Edit(edit=step.edit, limit=step.limit, phrases=step.phrases))
        else:
            steps.append(step)
    measure = base.measure if base else MeasureSettings()
    if preset.steps:
        measure = measure.model_copy(update={"steps": tuple(steps)})
    if preset.language:
        measure = measure.model_copy(update={"language_characters": preset.language.characters})
    own = tuple(Bound(**cited.model_dump(exclude={"source"})) for cited in preset.bounds)
    for cited in preset.bounds:
        sources[cited.rule] = _cited(preset, cited.source, name, cited.rule)
    rules = Rules(
        measure=measure,
        bounds=(*(base.bounds if base else ()), *own),
        off=base.off if base else {},
        sources=sources,
    )
    names = [bound.rule for bound in rules.bounds]
    if twice := {rule for rule in names if names.count(rule) > 1}:
        raise RecipeError("the rule is there twice", where=name, key=min(twice), mend="name one of them otherwise")
    points = [point.point for point in measure.points]
    if repeated := {point for point in points if points.count(point) > 1}:
        raise RecipeError("the point is there twice", where=name, key=min(repeated), mend="name one of them otherwise")
    if len(rules.bounds) > MAX_BOUNDS:
        raise RecipeError(f"more than {MAX_BOUNDS} rules", where=name, mend="take some away")
    for bound in rules.bounds:
        _check_signal(bound, measure, name)
    return _changed(rules, preset.off, {rule: change.limit for rule, change in preset.changed.items()}, name)


def _moved(bound: Bound, limit: float | tuple[str, ...], where: str) -> Bound:
    """The rule with another limit."""
    kind = "at_least" if bound.at_least is not None else "at_most" if bound.at_most is not None else "among"
    if (kind == "among") != isinstance(limit, tuple):
        need = "a list of languages" if kind == "among" else "a number"
        raise RecipeError(f"the limit is {limit!r}, expected {need}", where=where, key=bound.rule, mend=f"give {need}")
    return bound.model_copy(update={kind: limit})


def _changed(rules: Rules, off: dict[str, str], limits: dict[str, float | tuple[str, ...]], where: str) -> Rules:
    """Rules with some switched off and some limits moved."""
    names = [bound.rule for bound in rules.bounds]
    for rule in (*off, *limits):
        if rule not in names:
            already = f"; it is off already: {rules.off[rule]}" if rule in rules.off else ""
            raise RecipeError(
                f"there is no rule in force of this name{already}", where=where, key=rule, mend=near(rule, names)
            )
    for rule, reason in off.items():
        if not reason.strip():
            raise RecipeError("a rule is switched off without a reason", where=where, key=rule, mend="say why")
    bounds = tuple(
        _moved(bound, limits[bound.rule], where) if bound.rule in limits else bound
        for bound in rules.bounds
        if bound.rule not in off
    )
    return rules.model_copy(update={"bounds": bounds, "off": {**rules.off, **off}})


def near(name: str, names: Iterable[str]) -> str:
    """A mend that names what is nearest to `name`."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are: {', '.join(known)}" if known else "there are none"


def _check_signal(bound: Bound, measure: MeasureSettings, where: str) -> None:
    columns: Collection[str] = (*DOCUMENT_SIGNALS, *measure.columns)
    if bound.signal in columns:
        return
    point, _, signal = bound.signal.partition("/")
    if signal in FAMILY and point in {p.point for p in measure.points}:
        mend = f"add {FAMILY[signal]!r} to the families of the point {point!r}"
        raise RecipeError(f"the signal {bound.signal!r} is not measured", where=where, key=bound.rule, mend=mend)
    raise RecipeError(f"unknown signal {bound.signal!r}", where=where, key=bound.rule, mend=near(bound.signal, columns))


class _CitedEdit(Edit):
    source: str


class _CitedBound(Bound):
    source: str


class _Language(Settings):
    characters: int


class _Change(Settings):
    limit: float | tuple[str, ...]
    reason: str


class _Preset(Settings):
    """The form of a preset file, without `extends`."""

    about: str
    sources: dict[str, str] = Field(default={})
    language: _Language | None = None
    steps: tuple[Point | _CitedEdit, ...] = ()
    bounds: tuple[_CitedBound, ...] = ()
    off: dict[str, str] = Field(default={})
    changed: dict[str, _Change] = Field(default={})


def _read(name: str) -> dict[str, Any]:
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise RecipeError("there is no such preset file", where=name, mend="check the path")
        text = path.read_text(encoding="utf-8")
    elif name in presets():
        text = (resources.files("firn.data") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    else:
        raise RecipeError(f"unknown preset {name!r}", key="preset", mend=near(name, presets()))
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"not YAML: {error}", where=name, mend="mend the file") from error
    if not isinstance(raw, dict):
        raise RecipeError("a preset is a mapping with about, steps and bounds", where=name, mend="mend the file")
    return raw


def _cited(preset: _Preset, source: str, where: str, key: str) -> str:
    if source not in preset.sources:
        raise RecipeError(f"unknown source {source!r}", where=where, key=key, mend=near(source, preset.sources))
    return preset.sources[source]


def _translated(error: ValidationError, where: str) -> RecipeError:
    """The most telling of pydantic's complaints, with the nearest valid name where a name is unknown."""
    problems = error.errors()
    for problem in problems:
        if problem["type"] == "literal_error":  # an edit or a family
            names = get_args(EditName if "edit" in problem["loc"] else Family)
            kind, value = ("edit" if "edit" in problem["loc"] else "family"), str(problem["input"])
            return RecipeError(
                f"unknown {kind} {value!r}", where=where, key=_place(problem["loc"]), mend=near(value, names)
            )
    first = problems[0]
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        return RecipeError("unknown key", where=where, key=_place(first["loc"]), mend=near(key, _KEYS))
    mend = "see the presets that come with firn"
    return RecipeError(first["msg"][0].lower() + first["msg"][1:], where=where, key=_place(first["loc"]), mend=mend)


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part not in ("Point", "_CitedEdit"))


_KEYS = {key for form in (_Preset, _CitedEdit, _CitedBound, Point) for key in form.model_fields} | {"extends"}

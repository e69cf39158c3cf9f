"""Rules as data: a preset, and what a recipe changes in it.

A preset is a YAML file: an ordered list of steps (points where signals are measured, edits between them) and of bounds,
each with its source. Steps and bounds are apart from here on: `MeasureSettings` has all that changes a measurement,
`FilterSettings` all that changes a decision, so that a changed bound measures nothing again.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import Field, model_validator

from firn.core.errors import InputError, RecipeError
from firn.core.files import Files
from firn.core.inputs import External, external
from firn.core.settings import Settings
from firn.data.cuts import MAX_EDITS, EditRule
from firn.data.filter import MAX_BOUNDS, Bound, FilterSettings, Limit
from firn.data.measure import MODEL, WORDS, Edit, MeasureSettings, Point
from firn.data.preset import CitedBound, CitedEdit, LanguageTable, UrlTable, near, read, read_table
from firn.data.rights import Choice, Licenses, Rights
from firn.data.robots.settings import RobotsRules
from firn.data.signals import FAMILY
from firn.data.urls import UT1_FILES, UrlSettings

#: Columns of the measurement that are no point's signals.
DOCUMENT_SIGNALS = ("language", "language_score")
#: Languages written without spaces, as lid.176 and GlotLID call them.
UNSPACED = frozenset("zh ja th lo km my bo wuu yue cmn jpn tha lao khm mya bod".split())
_BY_SPACES = ("words", "ngrams", "ngrams_all", "spaced_words")


@dataclass(frozen=True)
class Rules:
    """Rules in force. off: rules and edits switched off, and why. sources: rule or edit -> where it comes from."""

    measure: MeasureSettings
    bounds: tuple[Bound, ...]
    off: Mapping[str, str]
    sources: Mapping[str, str]


class RulesSettings(Settings):
    """A recipe's rules for one source: a preset and what is changed in it."""

    preset: str = "none"
    """A preset of firn (gopher, c4, fineweb, fineweb2, refinedweb, dclm, code, reference-docs, none), or the path of a
    YAML file of the same form."""
    off: dict[str, str] = Field(default={})
    """Rules and edits to switch off, each with the reason."""
    bounds: dict[str, Limit] = Field(default={})
    """Other limits, by rule: a number for all languages, numbers by language beside it, or a list of languages."""
    language_bytes: int | None = Field(default=None, ge=0)
    """UTF-8 bytes by which the language is told, 0 for not at all; null: as many as the preset says."""
    language_of_lines: float | None = Field(default=None, ge=0, le=1)
    """Lines told, with at least this score, to be in another language than their document are cut; null: none."""
    repair: bool = False
    """Lines that read like UTF-8 taken for Windows-1252 are decoded anew, before all else. Needs ftfy: firn[repair]."""
    language_model: str | None = None
    """File or URL of a fastText model that tells the language in place of lid.176, as GlotLID's model.bin."""
    word_lists: dict[str, str] = Field(default={})
    """Language -> file or URL of words that documents in it should not hold (firn.data.word_lists)."""
    blocklists: dict[str, str] = Field(default={})
    """URLs that are removed: name -> file, folder in the layout of UT1, or archive of one (firn.data.urls)."""
    opt_out: Choice = "keep"
    """What happens to documents whose page says that it is not to be mined (firn.data.rights)."""
    robots: RobotsRules | None = None
    """Pages that robots.txt keeps from robots that gather text for training are removed, `{}` for those of the default
    list; null: robots.txt is not looked at (firn.data.robots.stage)."""
    licenses: Licenses | None = None
    """Licences that stay, `{allow: [CC-BY-*], unknown: remove}`, or that do not, `{deny: [...], unknown: keep}`."""

    @model_validator(mode="after")
    def _known(self) -> RulesSettings:
        self.resolve()
        return self

    def resolve(self) -> Rules:
        """The rules in force. Raises RecipeError for an unknown preset, rule or signal."""
        rules = load(self.preset)
        if self.language_bytes is not None:
            measure = rules.measure.model_copy(update={"language_bytes": self.language_bytes})
            rules = replace(rules, measure=measure)
        rules = self._with_words(self._with_edits(replace(rules, measure=self._with_files(rules.measure))))
        _check(rules, f"preset {self.preset}")
        rules = _changed(rules, self.off, self.bounds, f"preset {self.preset}")
        _check_scripts(rules, f"preset {self.preset}")
        return rules

    def _with_words(self, rules: Rules) -> Rules:
        """The rules with one on listed words, behind all steps, where there are lists and the preset looks at none."""
        if not self.word_lists or any("listed_words" in point.families for point in rules.measure.points):
            return rules
        steps = (*rules.measure.steps, Point(point="listed", families=("listed_words",)))
        bound = Bound(rule="words.listed", signal="listed/listed_words.count", at_most=0)
        sources = {**rules.sources, bound.rule: "the recipe's word_lists; C4's rule (Raffel et al. 2020, section 2.2)"}
        measure = rules.measure.model_copy(update={"steps": steps})
        return replace(rules, measure=measure, bounds=(*rules.bounds, bound), sources=sources)

    def _with_edits(self, rules: Rules) -> Rules:
        """The rules with the edits that the recipe asks for, which come first."""
        edits: tuple[Edit, ...] = ()
        update: dict[str, object] = {}
        if self.repair:
            edits += (Edit(edit="repair.encoding", rule="repair.encoding"),)
            update["libraries"] = {"ftfy": _version("ftfy", "the recipe's repair")}
        if self.language_of_lines is not None:
            limit = round(100 * self.language_of_lines)
            edits += (Edit(edit="drop_lines.language", rule="language.lines", limit=limit),)
        if not edits:
            return rules
        measure = rules.measure.model_copy(update={**update, "steps": (*edits, *rules.measure.steps)})
        return replace(rules, measure=measure, sources={**rules.sources, **{e.rule: "the recipe" for e in edits}})

    def _with_files(self, measure: MeasureSettings) -> MeasureSettings:
        update: dict[str, object] = {"language_model": self.language_model is not None}
        if self.word_lists:
            update["word_lists"] = tuple(sorted(self.word_lists))
        if self.blocklists:
            if measure.url is None:
                mend = "take fineweb, fineweb2, refinedweb or dclm, or give your preset a table of words in URLs"
                raise RecipeError(f"the preset {self.preset} has no rules on URLs", key="blocklists", mend=mend)
            update["url"] = measure.url.model_copy(update={"lists": tuple(sorted(self.blocklists))})
        return measure.model_copy(update=update)

    @cached_property
    def measure(self) -> MeasureSettings:
        """Settings of the stage measure."""
        return self.resolve().measure

    @cached_property
    def files(self) -> dict[str, tuple[External, ...]]:
        """What the stage measure reads beside documents (measure.task). Raises InputError where a file is missing."""
        found = {name: _list_files(path) for name, path in self.blocklists.items()}
        found |= {WORDS.format(code): (_word_file(code, path),) for code, path in self.word_lists.items()}
        if self.language_model is not None:
            found[MODEL] = (external(self.language_model),)
        return found

    @cached_property
    def filter(self) -> FilterSettings:
        """Settings of the stage filter."""
        rules = self.resolve()
        edits = tuple(
            EditRule(rule=step.rule, step=number, repairs=step.edit == "repair.encoding")
            for number, step in enumerate(rules.measure.steps)
            if isinstance(step, Edit)
        )
        return FilterSettings(bounds=rules.bounds, rights=self.rights, edits=edits)

    @property
    def rights(self) -> Rights:
        """What happens to opt-outs and licences."""
        return Rights(opt_out=self.opt_out, licenses=self.licenses)


def load(name: str, within: tuple[str, ...] = ()) -> Rules:
    """A preset by name, or by path where it ends in .yaml or .yml, with those it extends.

    Raises RecipeError where there is none, or where it has an unknown key, family, edit, signal, rule or source.
    """
    if name in within:
        raise RecipeError("presets extend one another in a circle", where=name, mend="take one `extends` away")
    preset = read(name)
    base = load(preset.extends, (*within, name)) if preset.extends else Rules(MeasureSettings(), (), {}, {})
    sources = dict(base.sources)
    everything: tuple[CitedEdit | CitedBound, ...] = (*preset.edits, *preset.bounds)
    for cited in everything:
        if cited.source not in preset.sources:
            mend = near(cited.source, preset.sources)
            raise RecipeError(f"unknown source {cited.source!r}", where=name, key=cited.rule, mend=mend)
        sources[cited.rule] = preset.sources[cited.source]
    update: dict[str, object] = {}
    if preset.steps:
        update["steps"] = tuple(step if isinstance(step, Point) else step.uncited() for step in preset.steps)
    if preset.language:
        update |= {"language_bytes": preset.language.bytes, "language_of_file": preset.language.of_file}
    if any(edit.edit == "repair.encoding" for edit in preset.edits):
        update["libraries"] = {"ftfy": _version("ftfy", name)}
    if preset.url:
        table = read_table(UrlTable, preset.url, name)
        update["url"] = UrlSettings(words=table.words, subwords=table.subwords)
    bounds = (*base.bounds, *(bound.uncited() for bound in preset.bounds))
    if preset.languages:
        languages = read_table(LanguageTable, preset.languages, name).entries()
        stop_words = {code: entry.stop_words for code, entry in languages.items() if entry.stop_words}
        update["stop_words"] = {**base.measure.stop_words, **stop_words}
        limits: dict[str, dict[str, float]] = {}
        for code, entry in languages.items():
            for rule, limit in entry.limits.items():
                limits.setdefault(rule, {})[code] = limit
        bounds = _limited(bounds, limits, preset.languages)
    rules = Rules(base.measure.model_copy(update=update), bounds, base.off, sources)
    _check(rules, name)
    return _changed(rules, preset.off, {rule: change.limit for rule, change in preset.changed.items()}, name)


def _limited(bounds: tuple[Bound, ...], limits: Mapping[str, Mapping[str, float]], where: str) -> tuple[Bound, ...]:
    """The rules with limits by language. limits: rule -> language -> limit."""
    for rule in limits:
        if rule not in {bound.rule for bound in bounds}:
            raise RecipeError(
                "there is no rule of this name", where=where, key=rule, mend=near(rule, [b.rule for b in bounds])
            )
    return tuple(bound.moved(dict(limits[bound.rule]), where) if bound.rule in limits else bound for bound in bounds)


def _check(rules: Rules, where: str) -> None:
    """Raise RecipeError for names that are there twice, too many bounds or edits, and signals that are not measured."""
    named = [bound.rule for bound in rules.bounds] + [edit.rule for edit in rules.measure.edits]
    for kind, found in (("rule", named), ("point", [point.point for point in rules.measure.points])):
        if twice := {name for name in found if found.count(name) > 1}:
            raise RecipeError(f"the {kind} is there twice", where=where, key=min(twice), mend="name one otherwise")
    if len(rules.bounds) > MAX_BOUNDS:
        raise RecipeError(f"there are more than {MAX_BOUNDS} bounds", where=where, mend="take some away")
    if len(rules.measure.edits) > MAX_EDITS:
        raise RecipeError(f"there are more than {MAX_EDITS} edits", where=where, mend="take some away")
    columns = (*DOCUMENT_SIGNALS, *rules.measure.columns)
    for bound in rules.bounds:
        if bound.signal in columns:
            continue
        point, _, signal = bound.signal.partition("/")
        problem, mend = f"unknown signal {bound.signal!r}", near(bound.signal, columns)
        if signal in FAMILY and point in {p.point for p in rules.measure.points}:
            problem = f"the signal {bound.signal!r} is not measured"
            mend = f"add {FAMILY[signal]!r} to the families of the point {point!r}"
        raise RecipeError(problem, where=where, key=bound.rule, mend=mend)


def _check_scripts(rules: Rules, where: str) -> None:
    """Raise RecipeError where a language without spaces is accepted, and words are told by spaces."""
    accepted = {code for bound in rules.bounds for code in bound.among or ()}
    told = next((f for point in rules.measure.points for f in point.families if f in _BY_SPACES), None)
    if told and (unspaced := sorted(code for code in accepted if code.split("_")[0] in UNSPACED)):
        raise RecipeError(
            f"{', '.join(unspaced)} is written without spaces, by which the family {told!r} tells words",
            where=where,
            key="language.accepted",
            mend="take the preset fineweb2 for it, whose words are grouped, in a source of its own",
        )


def _changed(rules: Rules, off: Mapping[str, str], limits: Mapping[str, Limit], where: str) -> Rules:
    """Rules with some bounds and edits switched off and some limits moved."""
    bounded = [bound.rule for bound in rules.bounds]
    edits = [edit.rule for edit in rules.measure.edits]
    for asked, known in ((off, [*bounded, *edits]), (limits, bounded)):
        for rule in asked:
            if rule not in known:
                already = f"; it is off already: {rules.off[rule]}" if rule in rules.off else ""
                problem = f"there is no rule in force of this name{already}"
                raise RecipeError(problem, where=where, key=rule, mend=near(rule, known))
    for rule, reason in off.items():
        if not reason.strip():
            raise RecipeError("a rule is switched off without a reason", where=where, key=rule, mend="say why")
    steps = tuple(s for s in rules.measure.steps if not (isinstance(s, Edit) and s.rule in off))
    bounds = tuple(
        bound.moved(limits[bound.rule], where) if bound.rule in limits else bound
        for bound in rules.bounds
        if bound.rule not in off
    )
    measure = rules.measure.model_copy(update={"steps": steps})
    return Rules(measure, bounds, {**rules.off, **off}, rules.sources)


def _version(library: str, where: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        problem = f"the edit repair.encoding needs {library}"
        raise RecipeError(problem, where=where, mend="pip install 'firn[repair]'") from None


def _list_files(path: str) -> tuple[External, ...]:
    """The files of a blocklist: those of a folder in the layout of UT1, or the one file."""
    folder = Files(path)
    names = [name for name in UT1_FILES if folder.size(name) is not None]
    if not names and Path(path).is_dir():
        inside = sorted(each.parent.name for name in UT1_FILES for each in Path(path).glob(f"*/{name}"))
        mend = (
            f"name one of its folders, as {path}/{inside[0]}" if inside else "give a file, or a folder with `domains`"
        )
        raise InputError("is no list and no category of UT1, which has `domains` and `urls`", where=path, mend=mend)
    return tuple(external(folder.path(name), path) for name in names) or (external(path),)


def _word_file(code: str, path: str) -> External:
    if Path(path).is_dir():
        raise InputError("is a folder", where=path, mend=f"name the language's own file in it, as {path}/{code}")
    return external(path)

"""Settings read from YAML and the command line, with errors that name the line, the key and the nearest valid name."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from firn.core.errors import FirnError, InputError, RecipeError

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_COMMAND_LINE = "command line"


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: `on`, `off`, `yes`, `no` are words, `1e-3` is a number; and no dates."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        first: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in first and isinstance(key, yaml.ScalarNode):
                raise _Duplicate(key.value, line, first[key.value])
            first[key.value if isinstance(key, yaml.ScalarNode) else str(key)] = line
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    "": [("tag:yaml.org,2002:null", re.compile("^$"))],
    "~": [("tag:yaml.org,2002:null", re.compile("^~$"))],
    "<": [("tag:yaml.org,2002:merge", re.compile("^<<$"))],
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|Null|NULL)$"), list("nN"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|nan)$"),
    list("-+.0123456789"),
)


class _Duplicate(Exception):
    def __init__(self, key: str, line: int, first: int):
        self.key, self.line, self.first = key, line, first


def to_yaml(tree: Mapping[str, Any]) -> str:
    """Plain data as YAML that `read` takes back."""
    return yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True, width=120)


def read(
    model: type[Model],
    path: str | Path,
    overrides: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> Model:
    """The settings in the YAML file at `path`, with `dotted.key=value` overrides (values in YAML) put over them.

    defaults: values of top-level keys that the file may leave out. Raises InputError where the file cannot be read, and
    RecipeError, naming file, line and key, for whatever in it is not as `model` says: nothing is ignored.
    """
    data, places = _parse(Path(path))
    for key, value in (defaults or {}).items():
        data.setdefault(key, value)
    for override in overrides:
        _override(model, data, places, override)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explain(model, error, data, places, str(path)) from None
    except RecipeError as error:  # about the tree as a whole
        place = tuple((error.key or "").split("."))
        where = next((places[place[:n]] for n in range(len(place), 0, -1) if place[:n] in places), str(path))
        raise RecipeError(error.problem, where=where, key=error.key, mend=error.mend) from None


def _parse(path: Path) -> tuple[dict[str, Any], dict[Place, str]]:
    """The mapping in a YAML file, and where each of its keys stands: `file:line`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        mend = "check the path; recipes that come with firn lie in recipes/"
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(path), mend=mend) from error
    except UnicodeDecodeError as error:
        raise RecipeError("is not a UTF-8 text", where=str(path), mend="save it as UTF-8") from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        places = {place: f"{path}:{line}" for place, line in _lines(node, ())} if node else {}
        data = loader.construct_document(node) if node else {}
    except _Duplicate as error:
        raise RecipeError(
            f"the key is there twice, first in line {error.first}",
            where=f"{path}:{error.line}",
            key=error.key,
            mend="take one of them away",
        ) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(
            f"is not YAML: {error.problem}", where=f"{path}:{line}", mend="check the indentation and the quotes there"
        ) from None
    except yaml.YAMLError as error:
        raise RecipeError(f"is not YAML: {error}", where=str(path), mend="save it as plain UTF-8 text") from None
    if not isinstance(data, dict):
        raise RecipeError("is not a mapping of keys to values", where=str(path), mend="see recipes/quickstart.yaml")
    return data, places


def _lines(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*place, index), value.start_mark.line + 1
            yield from _lines(value, (*place, index))


def _override(model: type[BaseModel], data: dict[str, Any], places: dict[Place, str], override: str) -> None:
    dotted, equals, text = override.partition("=")
    where = f"{_COMMAND_LINE}: {override}"
    if not equals or not dotted:
        raise RecipeError("is not of the form key=value", where=where, mend="write, for example, train.steps=500")
    try:
        value = yaml.load(text, _Loader)
    except (_Duplicate, yaml.YAMLError) as error:
        raise RecipeError(f"the value is not YAML: {error}", where=where, mend="quote it: 'key=\"value\"'") from None
    place = _split(model, dotted)
    at: Any = data
    for part in place[:-1]:
        if at.get(part) is None:
            at[part] = {}
        at = at[part]
        if not isinstance(at, dict):
            raise RecipeError(f"{part!r} has a value of its own, no keys below it", where=where, key=dotted)
    at[place[-1]] = value
    for known in [known for known in places if known[: len(place)] == place]:
        del places[known]
    places[place] = where


def _split(model: type[BaseModel], dotted: str) -> tuple[str, ...]:
    """The parts of a dotted key. Names in a mapping of plain values (rules, for one) hold dots themselves."""
    parts, at = dotted.split("."), model
    annotation: Any = model
    for index, part in enumerate(parts):
        models, values = _models(annotation), _mapping_value(annotation)
        if models:
            annotation = next((m.model_fields[part].annotation for m in models if part in m.model_fields), at)
        elif values is not None:
            if not _models(values):
                return (*parts[:index], ".".join(parts[index:]))
            annotation = values
    return tuple(parts)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes that a value of this annotation may be of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated, typing.Optional):
        return [model for part in get_args(annotation) for model in _models(part)]
    return []


def _mapping_value(annotation: Any) -> Any:
    """What a mapping's values are annotated with; None where the annotation is no mapping."""
    for part in (annotation, *get_args(annotation)):
        if get_origin(part) in (dict, Mapping):
            return get_args(part)[1]
    return None


def _explain(
    model: type[BaseModel], error: ValidationError, data: Mapping[str, Any], places: Mapping[Place, str], path: str
) -> RecipeError:
    """The most telling of pydantic's complaints: a name that is not known comes before a value that is missing."""
    rank = {"extra_forbidden": 0, "union_tag_invalid": 0, "missing": 2, "union_tag_not_found": 2}
    problems = sorted(error.errors(), key=lambda problem: rank.get(problem["type"], 1))
    first = problems[0]
    place, holders, description = _locate(model, first["loc"], data)
    where = next((places[place[:n]] for n in range(len(place), 0, -1) if place[:n] in places), path)
    key, context = ".".join(map(str, place)) or None, first.get("ctx", {})
    match first["type"]:
        case "extra_forbidden":
            problem, mend = _unknown(place, holders, model)
        case "missing":
            problem, mend = "is missing", f"add it. {description}" if description else "add it"
        case "union_tag_invalid":
            tags = re.findall(r"'([^']*)'", context["expected_tags"])
            problem, mend = f"unknown kind {context['tag']!r}", near(context["tag"], tags)
            key = f"{key}.kind"
        case "union_tag_not_found":
            kinds = [str(get_args(m.model_fields["kind"].annotation)[0]) for m in holders if "kind" in m.model_fields]
            problem, mend = "the kind is missing", f"add `kind:` and one of {', '.join(kinds)}"
        case "firn":
            inner: FirnError = context["error"]
            # Rooms name their keys with or without the section they expect to stand in.
            own = (inner.key or "").removeprefix(f"{place[-1]}.") if place else inner.key
            key = f"{key}.{own}" if key and own else own or key
            problem, mend = inner.problem, inner.mend or description
        case "value_error":
            problem, mend = str(context["error"]), description
        case "tuple_type" | "list_type" if isinstance(first["input"], str):
            problem, mend = "is a list, and here one text", f"write `[{first['input']}]`"
        case _:
            message = first["msg"][0].lower() + first["msg"][1:]
            problem = f"{message.removeprefix('input ')}, and is {first['input']!r}"
            mend = f"{place[-1]} is: {description}" if place and description else ""
    if len(problems) > 1:
        problem += f" (and {len(problems) - 1} more to mend)"
    return RecipeError(problem, where=where, key=key, mend=mend or None)


def _locate(
    model: type[BaseModel], location: Sequence[str | int], data: Any
) -> tuple[Place, list[type[BaseModel]], str]:
    """Of pydantic's location: the place in the data, the classes whose keys are valid there, the field's description.

    Pydantic names the member of a union within the location; such a name is no key of the data.
    """
    place: list[str | int] = []
    annotation: Any = model
    holders: list[type[BaseModel]] = [model]
    description = ""
    for index, part in enumerate(location):
        last = index == len(location) - 1
        models = _models(annotation)
        if isinstance(data, Mapping) and (part in data or (last and any(part in m.model_fields for m in models))):
            holders = models or holders
            fields = [m.model_fields[str(part)] for m in models if part in m.model_fields]
            annotation = fields[0].annotation if fields else _mapping_value(annotation)
            description = " ".join((fields[0].description or "").split()) if fields else ""
            data = data.get(part)
        elif isinstance(data, Sequence) and isinstance(part, int) and part < len(data):
            data, annotation = data[part], None
        else:
            chosen = [m for m in models if _tag(m) == part]
            annotation, holders = (chosen[0], chosen) if chosen else (annotation, holders)
            continue
        place.append(part)
    if location and isinstance(data, Mapping) and _models(annotation):
        holders = _models(annotation)
    return tuple(place), holders, description


def _tag(model: type[BaseModel]) -> str:
    kind = model.model_fields.get("kind")
    return str(get_args(kind.annotation)[0]) if kind else model.__name__


def _unknown(place: Place, holders: Sequence[type[BaseModel]], root: type[BaseModel]) -> tuple[str, str]:
    """What is said of a key that the classes it stands in do not have: the problem, and the mend."""
    name = str(place[-1])
    siblings = sorted({info.alias or key for holder in holders for key, info in holder.model_fields.items()})
    close = difflib.get_close_matches(name, siblings, n=1, cutoff=0.6)
    if close:
        return "unknown key", f"did you mean {close[0]!r}?"
    elsewhere = [path for path in _paths(root, "") if path.rsplit(".", 1)[-1] == name]
    if len(place) > 1 and any(_fits(path, place) for path in elsewhere):
        # Another kind of the same section has it.
        whole = f"{'.'.join(map(str, place[:-1]))}={{...}}"
        return (
            f"{' or '.join(map(_called, holders))} has no such key, though others have",
            f"leave it out (on the command line: give the section anew, {whole}); there are: {', '.join(siblings)}",
        )
    return "unknown key", f"did you mean {elsewhere[0]!r}?" if elsewhere else near(name, siblings)


def _fits(path: str, place: Place) -> bool:
    """Whether a dotted key of `_paths` may stand at this place."""
    parts = path.split(".")
    return len(parts) == len(place) and all(p in ("*", str(at)) for p, at in zip(parts, place, strict=True))


def _called(model: type[BaseModel]) -> str:
    """A settings class among its kind: by its key `kind`, else as its description begins."""
    if kind := model.model_fields.get("kind"):
        return f"kind {get_args(kind.annotation)[0]}"
    words = re.split(r"[.,:;]", " ".join((model.__doc__ or "This kind").split()))[0]
    return words[0].lower() + words[1:]


def _paths(annotation: Any, prefix: str) -> Iterator[str]:
    """Every dotted key of the tree."""
    for model in _models(annotation):
        for name, field in model.model_fields.items():
            yield f"{prefix}{name}"
            yield from _paths(field.annotation, f"{prefix}{name}.")
    values = _mapping_value(annotation)
    if values is not None and _models(values):
        yield from _paths(values, f"{prefix}*.")


def near(name: str, names: Sequence[str]) -> str:
    """A mend that names what is nearest to `name`."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}"


def _with_place(value: Any, handler: Any) -> Any:
    try:
        return handler(value)
    except FirnError as error:
        raise PydanticCustomError("firn", "{problem}", {"problem": error.problem, "error": error}) from None


#: Put on a field whose class raises FirnErrors of its own, so that they are reported with line and key.
PLACED = WrapValidator(_with_place)

"""What a recipe says of its model: a shape by its numbers, a published one by name, one dial, or a model to go on from.

Names and the dial are turned into numbers when the recipe is read, so that the resolved recipe holds them all. A key
that is given wins over what a name or the dial says.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from firn.core.errors import RecipeError
from firn.core.inputs import external
from firn.core.settings import Settings
from firn.model.config import PARTS, ModelSettings, RopeScaling
from firn.model.dial import derive
from firn.model.encoder_config import EncoderSettings
from firn.model.presets import DECODERS, ENCODERS
from firn.model.speedrun_config import SpeedrunSettings
from firn.run.reading import PLACED, near
from firn.tokens.bpe import TokenizerSettings
from firn.tokens.objectives import MASKS
from firn.tokens.tokenizer import load

SPEEDRUN = "speedrun"
#: What of a model with rotary positions may be other than in its training so far.
LENGTHENING = ("context", "rope_theta", "rope_scaling")
_DEFAULT_WINDOW = 2048


class Decoder(ModelSettings):
    """A dense decoder. The preset fixes the shape's kind, or with a published model's name (gpt2-small, gpt2-medium,
    gpt2-large, gpt2-xl, llama3-like, qwen3-like, olmo2-like) its numbers as well."""

    depth: int | None = Field(default=None, ge=1, le=200)
    """The dial: so many layers of qwen3's shape, and what follows from them for width, heads, window, batch, steps,
    learning rates and weight decay; `firn plan` says why. Keys that are given win."""


class Continued(Settings):
    """A model to go on from: its weights are where training begins. Beside `train.from` it says only how the model of
    that checkpoint is to be lengthened, and may be left out."""

    model_config = ConfigDict(populate_by_name=True)

    start: str | None = Field(default=None, alias="from")
    """A Hugging Face folder, or the name or folder of a finished run. null: the checkpoint that `train.from` names."""
    context: int | None = Field(default=None, ge=1)
    """Longest window, in tokens, where it is to be longer than before (rotary positions only); null: as it was."""
    rope_theta: float | None = Field(default=None, gt=0)
    """Base of the rotary frequencies for the longer context: a larger one turns positions more slowly (Xiong et al.
    2023); null: as it was."""
    rope_scaling: RopeScaling | None = None
    """Stretched rotary frequencies for the longer context; null: as they were."""


def branched(tree: Any) -> Any:
    """A recipe's tree that takes its model from the checkpoint that `train.from` names, where `model` is left out or
    says no more than how it is to be lengthened."""
    if not isinstance(tree, Mapping):
        return tree
    train, model = tree.get("train"), tree.get("model") or {}
    if not isinstance(train, Mapping) or not isinstance(model, Mapping) or train.get("from") is None:
        return tree
    return {**tree, "model": {"from": None, **model}} if model.keys() <= set(LENGTHENING) else tree


def _named(value: Any) -> Any:
    """A preset's name as its numbers, those that are given put over them."""
    if not isinstance(value, Mapping) or not isinstance(name := value.get("preset"), str):
        return value
    given = {key: item for key, item in value.items() if key != "preset"}
    if name == SPEEDRUN:
        return {"variant": SPEEDRUN, **given}
    if name in DECODERS or name in ENCODERS:
        published = (DECODERS | ENCODERS)[name].model_dump(exclude_unset=True, exclude={"vocab_size"})
        return {"preset": EncoderSettings().preset, **published, **given} if name in ENCODERS else published | given
    if name not in PARTS and name != EncoderSettings().preset:
        known = [*PARTS, *DECODERS, *ENCODERS, SPEEDRUN]
        raise RecipeError(f"there is no preset {name!r}", key="model.preset", mend=near(name, known))
    return value


def _kind(value: Any) -> str:
    """Which of the classes a value is of, by name."""
    if not isinstance(value, Mapping):
        return type(value).__name__
    if "from" in value or "start" in value:
        return Continued.__name__
    if value.get("preset") == EncoderSettings().preset:
        return EncoderSettings.__name__
    return SpeedrunSettings.__name__ if "variant" in value else Decoder.__name__


#: The section `model` of a recipe.
Said = Annotated[
    Annotated[Decoder, Tag(Decoder.__name__)]
    | Annotated[SpeedrunSettings, Tag(SpeedrunSettings.__name__)]
    | Annotated[EncoderSettings, Tag(EncoderSettings.__name__)]
    | Annotated[Continued, Tag(Continued.__name__)],
    Discriminator(_kind),
    BeforeValidator(_named),
    PLACED,
]


def with_names(schema: dict[str, Any]) -> None:
    """Let the JSON schema of recipes know the names that `model.preset` may be."""
    for kind, names in ((Decoder, DECODERS), (SpeedrunSettings, (SPEEDRUN,)), (EncoderSettings, ENCODERS)):
        preset = schema["$defs"][kind.__name__]["properties"]["preset"]
        known = preset.pop("enum", None) or [preset.pop("const")]
        preset["enum"] = [*known, *names]
    model = schema["properties"]["model"]
    model["anyOf"] = model.pop("oneOf")  # a shape by its numbers alone may be of several kinds


def words(shape: ModelSettings | EncoderSettings) -> str:
    """The name of a shape, for people."""
    if isinstance(shape, EncoderSettings):
        return "ModernBERT"
    if isinstance(shape, SpeedrunSettings):
        return "the speedrun variant"
    return {"gpt2": "GPT-2", "llama": "Llama", "qwen3": "Qwen3", "olmo2": "OLMo 2"}[shape.preset]


class Dialled(NamedTuple):
    """A number that the dial speaks of. given: the recipe says so itself, and the dial would have said `said`."""

    key: str
    value: Any
    given: bool
    said: float
    reason: str

    def __str__(self) -> str:
        if self.given:
            return f"{self.key} = {self.value:.4g}, given; the dial says {self.said:.4g}"
        return f"{self.key} = {self.value:.4g}: {self.reason}"


def dialled(tree: Any) -> Any:
    """A recipe's tree with the numbers that `model.depth` asks for, where it does not give them itself."""
    model = tree.get("model") if isinstance(tree, Mapping) else None
    if not isinstance(model, Mapping):
        return tree
    depth = model.get("depth")
    if type(depth) is not int or not 1 <= depth <= 200:
        return tree  # no dial, or what validation says better
    tree = deepcopy(dict(tree))
    sections = [tree.setdefault(name, {}) for name in ("train", "tokenizer")]
    if not all(isinstance(section, dict) for section in sections):
        return tree
    train, tokenizer = sections
    window = train.get("window", model.get("context", _DEFAULT_WINDOW))
    windows, steps = train.get("batch"), train.get("steps")
    if not all(type(number) is int and number > 0 for number in (window, windows or 1, steps or 1)):
        return tree
    size = _vocabulary(tokenizer.get("file"), tokenizer.get("vocab_size"))
    for found in derive(depth, size, window=window, windows=windows, steps=steps):
        *sections, name = found.key.split(".")
        at: Any = tree
        for section in sections:
            at = at.setdefault(section, {}) if isinstance(at, dict) else None
        if isinstance(at, dict):
            at.setdefault(name, found.value)
    return tree


def dial(model: Settings, train: Settings, tokenizer: TokenizerSettings) -> list[Dialled]:
    """What the dial says beside what a resolved recipe has; empty where `model` has no depth."""
    depth = getattr(model, "depth", None)
    if depth is None:
        return []
    size, window, windows = _vocabulary(tokenizer.file, tokenizer.vocab_size), train.window, train.batch  # type: ignore[attr-defined]
    alone = {found.key: found for found in derive(depth, size)}
    free = next(found.value for found in derive(depth, size, window=window) if found.key == "train.batch")
    found = []
    windows = None if free == windows else windows
    for number in derive(depth, size, window=window, windows=windows, steps=train.steps):  # type: ignore[attr-defined]
        value: Any = {"model": model, "train": train}[number.key.split(".")[0]]
        for name in number.key.split(".")[1:]:
            value = getattr(value, name)
        said = alone[number.key].value if number.key in ("model.context", "train.window") else number.value
        said = free if number.key == "train.batch" else said
        found.append(Dialled(number.key, value, value != said, said, number.reason))
    return found


def _vocabulary(file: str | None, size: Any) -> int:
    """Token ids of the tokenizer that a recipe asks for."""
    if isinstance(file, str):
        return load(external(file).local()).vocab_size
    return size if type(size) is int and size > 0 else TokenizerSettings().vocab_size


def with_mask(tree: Any) -> Any:
    """A recipe's tree whose tokenizer has a mask token, where the objective hides tokens and the tree lists none.

    Only then: a tokenizer for next tokens keeps its ids.
    """
    if not isinstance(tree, Mapping):
        return tree
    train, tokenizer = tree.get("train"), tree.get("tokenizer") or {}
    if not isinstance(train, Mapping) or not isinstance(tokenizer, Mapping) or train.get("objective") != "masked":
        return tree
    if "special_tokens" in tokenizer or tokenizer.get("file") is not None:
        return tree
    return {**tree, "tokenizer": {**tokenizer, "special_tokens": [*TokenizerSettings().special_tokens, MASKS[0]]}}

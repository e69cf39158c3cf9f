"""Whether a recipe's objective, model and tokenizer fit each other: said before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from firn.core.errors import RecipeError
from firn.model.encoder_config import EncoderSettings
from firn.run.reading import near
from firn.run.shape import Continued
from firn.tokens.bpe import TokenizerSettings
from firn.tokens.fim import NAMES
from firn.tokens.objectives import MASKS
from firn.train.settings import TrainSettings, WatchSettings


def check(
    model: object, train: TrainSettings, tokenizer: TokenizerSettings, watch: WatchSettings, sources: Collection[str]
) -> None:
    """Raises RecipeError, naming the key, where they do not."""
    if not isinstance(model, Continued):
        check_kind(isinstance(model, EncoderSettings), train)
    elif model.start is None and train.start is None:
        raise RecipeError("there is nothing to go on from", key="model.from", mend="name a folder or a finished run")
    for name in train.fim.sources if train.fim is not None else ():
        if name not in sources:
            raise RecipeError(f"there is no source {name!r}", key="train.fim.sources", mend=near(name, list(sources)))
    if tokenizer.file is None:
        check_tokens(
            tokenizer.special_tokens,
            train,
            "tokenizer.special_tokens",
            lambda names: f"add {names}, or leave special_tokens out",
        )
    if train.objective == "masked" and watch.prompts:
        raise RecipeError(
            "an encoder completes no prompts", key="watch.prompts", mend="leave it out, or train a decoder"
        )


def check_kind(is_encoder: bool, train: TrainSettings) -> None:
    """Raises RecipeError unless an encoder is to predict hidden tokens, and a decoder next ones."""
    if is_encoder and train.objective == "causal":
        raise RecipeError(
            "an encoder sees both sides of a token, so there is no next one to predict",
            key="train.objective",
            mend="set train.objective: masked, or take a decoder",
        )
    if not is_encoder and train.objective == "masked":
        raise RecipeError(
            "a decoder sees one side of a token; hidden tokens are for an encoder",
            key="train.objective",
            mend="set model.preset: modernbert-like, or train.objective: causal",
        )


def check_tokens(special: Iterable[str], train: TrainSettings, key: str, add: Callable[[str], str]) -> None:
    """Raises RecipeError where a special token that the objective needs is not among `special`. add: says how tokens of
    these names come to be among them."""
    special = set(special)
    if train.objective == "masked" and special.isdisjoint(MASKS):
        raise RecipeError(
            "no mask token is among them, and train.objective is masked", key=key, mend=add(repr(MASKS[0]))
        )
    if train.fim is not None and not any(special >= set(names) for names in NAMES):
        raise RecipeError(
            "no sentinels for train.fim are among them",
            key=key,
            mend=f"{add(', '.join(NAMES[1]))}, or leave train.fim out",
        )

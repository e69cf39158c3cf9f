"""Where a recipe's training begins: at random weights, at a model's, or at a checkpoint of another run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from firn.core.errors import InputError, RecipeError
from firn.core.inputs import external
from firn.model.build import Shape, shape_of
from firn.model.config import ModelSettings
from firn.model.encoder_config import EncoderSettings
from firn.model.lengthen import lengthened
from firn.run.folder import RunFolder
from firn.run.objective import check_kind, check_tokens
from firn.run.recipe import Recipe, narrowed
from firn.run.shape import Continued
from firn.tokens.tokenizer import Tokenizer, load
from firn.train.start import Start, from_checkpoint, from_folder


@dataclass(frozen=True)
class Beginning:
    """shape: of the model. start: None where its weights are random. tokenizer: the tokenizer.json that the start was
    trained with. said: what it is, for people."""

    shape: Shape
    start: Start | None = None
    tokenizer: bytes | None = None
    said: str = ""

    @property
    def identity(self) -> str | None:
        """Of what is loaded; None where nothing is."""
        return None if self.start is None else self.start.identity

    def check(self, tokenizer: Tokenizer) -> None:
        """Raises RecipeError where the corpus has another tokenizer than the start."""
        if self.tokenizer is not None and tokenizer.json != self.tokenizer:
            raise RecipeError(
                f"the corpus has another tokenizer than {self.said}, so its tokens would mean nothing to the model",
                key="tokenizer",
                mend="give `tokenizer: {file: FOLDER/tokenizer.json}`, FOLDER the model's",
            )


def beginning(recipe: Recipe, runs: str | Path) -> Beginning:
    """Where the recipe's training begins. runs: the folder of runs, in which names are looked up.

    Raises InputError where there is no such model or run, and RecipeError where it does not fit the recipe.
    """
    begin = _beginning(recipe, runs)
    if recipe.train.window > begin.shape.context:
        raise RecipeError(
            f"the window is {recipe.train.window} tokens, the model reads at most {begin.shape.context}",
            key="train.window",
            mend="make model.context at least as long",
        )
    return begin


def _beginning(recipe: Recipe, runs: str | Path) -> Beginning:
    if recipe.tokenizer.file is not None:
        special = load(external(recipe.tokenizer.file).local()).special_tokens
        check_tokens(special, recipe.train, "tokenizer.file")
    if isinstance(recipe.model, Continued):
        return _continued(recipe, recipe.model, runs)
    kind = next(k for k in type(recipe.model).__mro__ if k.__module__.startswith("firn.model."))
    shape: Shape = narrowed(kind, recipe.model)
    if recipe.train.start is None:
        return Beginning(shape)
    name, _, step = recipe.train.start.rpartition("@") if "@" in recipe.train.start else (recipe.train.start, "", "")
    if step and not step.isdigit():
        raise RecipeError(
            f"{step!r} is no step", key="train.from", mend="write RUN@STEP, or RUN for its newest checkpoint"
        )
    run = _other(recipe, name, runs, "train.from")
    tokenizer = run.store.lookup("tokenizer", run.state.get("tokenizer", ""))
    if run.training is None or tokenizer is None:
        raise InputError("the run has not begun to train", where=str(run.path), key="train.from")
    start = from_checkpoint(run.training, int(step) if step else None, shape, recipe.train.optimizer)
    data = run.store.local(tokenizer, "tokenizer").read_bytes()
    return Beginning(shape, start, data, f"run {run.path.name}" + (f" after step {step}" if step else ""))


def _continued(recipe: Recipe, said: Continued, runs: str | Path) -> Beginning:
    if recipe.train.start is not None:
        raise RecipeError("training begins from model.from already", key="train.from", mend="leave one of them out")
    folder, name = Path(said.start), Path(said.start).name
    if not (folder / "config.json").is_file():
        run = _other(recipe, said.start, runs, "model.from")
        folder, name = (run.training or run.path) / "model", f"run {run.path.name}"
        if not (folder / "config.json").is_file():
            raise InputError(
                "the run has no finished model yet", where=str(run.path), key="model.from", mend="run it to the end"
            )
    file = folder / "tokenizer.json"
    mend = f"give `tokenizer: {{file: {file}}}`"
    if recipe.tokenizer.file is None:
        raise RecipeError("a model goes on with the tokenizer it has", key="tokenizer.file", mend=mend)
    try:
        tokenizer = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file), mend="put it there") from error
    if external(recipe.tokenizer.file).local().read_bytes() != tokenizer:
        raise RecipeError(f"is another than that of {folder}", key="tokenizer.file", mend=mend)
    shape = shape_of(folder)
    check_kind(isinstance(shape, EncoderSettings), recipe.train)
    changes = {name: getattr(said, name) for name in ("context", "rope_theta", "rope_scaling")}
    if any(value is not None for value in changes.values()):
        if not isinstance(shape, ModelSettings):
            raise RecipeError("an encoder's context stays as it is", key="model.context", mend="leave it out")
        shape = lengthened(
            shape, said.context or shape.context, rope_theta=said.rope_theta, rope_scaling=said.rope_scaling
        )
    return Beginning(shape, from_folder(folder), tokenizer, name)


def _other(recipe: Recipe, name: str, runs: str | Path, key: str) -> RunFolder:
    """Another run than the recipe's own."""
    run = RunFolder.open(name, runs)
    if run.path.resolve() == (Path(runs) / recipe.name).resolve():
        raise RecipeError("a run cannot begin from itself", key=key, mend="give this recipe another name")
    return run
